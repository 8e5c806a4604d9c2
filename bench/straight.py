"""The script that the gateway is compared with, as a careful programmer writes it in an afternoon. It sends one message
at a time and loses none.

    python -m bench.straight JOB

For each order: validate, commit `accepted` and publish it with a confirm, make the bank's message, commit `sending`,
exchange, check the answer, commit the result and publish it with a confirm, acknowledge. So the ERP hears the same two
events of both contestants. It keeps the gateway's connection policy for each bank: one signed-on TLS session to
`sample`, a fresh TLS connection for every exchange with `pab`. It stands outside the product and imports nothing of
it. It has no resend rules, no enquiry after a crash, no duplicates, no limits, no sealing, no metrics.
"""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import ssl
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

import pika
import xmlsec
from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

CHINA = timezone(timedelta(hours=8))
ANSWER_S = 30.0
ASK_AGAIN_S = 0.05


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Debtor(_Model):
    """The party that pays."""

    account: str = Field(pattern=r"^[0-9A-Za-z]{4,34}$")
    name: str = Field(min_length=1, max_length=60)


class Creditor(_Model):
    """The party that is paid."""

    account: str = Field(pattern=r"^[0-9A-Za-z]{4,34}$")
    name: str = Field(min_length=1, max_length=60)
    bank_name: str = ""
    cnaps: str = Field("", pattern=r"^([0-9]{12})?$")
    kind: Literal["corporate", "person"] = "corporate"


class Order(_Model):
    """One payment order."""

    id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")
    debtor: Debtor
    creditor: Creditor
    amount: Decimal = Field(gt=0, max_digits=15, decimal_places=2)
    currency: Literal["CNY"]
    purpose: str = Field("", max_length=30)


class Job(_Model):
    """The script's job, given on its command line, as JSON in a file."""

    broker_host: str
    broker_port: int
    vhost: str
    user: str
    password: str
    exchange: str
    routing_key: str
    queue: str
    events_queue: str
    database: Path
    bank: Literal["sample", "pab"]
    port: int
    ca: Path
    cert: Path
    key: Path
    sign_key: Path
    bank_cert: Path
    login: tuple[str, str] = ("", "")
    enterprise: str = ""


class WrongAnswer(Exception):
    """The bank's answer is not signed by the bank, not about our payment, or not a success."""


def must(what: str, said: object, ours: object) -> None:
    """Raises WrongAnswer unless the answer's value equals ours."""
    if said != ours:
        raise WrongAnswer(f"{what}: the bank said {said!r}, not {ours!r}")


def secure(job: Job) -> ssl.SSLContext:
    """Mutual TLS with the bank's own CA."""
    context = ssl.create_default_context(cafile=str(job.ca))
    context.load_cert_chain(job.cert, job.key)
    return context


def connect(job: Job, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A TLS connection to the bank."""
    plain = socket.create_connection(("127.0.0.1", job.port), timeout=ANSWER_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def read_exactly(conn: ssl.SSLSocket, count: int) -> bytes:
    """`count` bytes, or ConnectionError."""
    data = b""
    while len(data) < count:
        piece = conn.recv(count - len(data))
        if not piece:
            raise ConnectionError("the bank hung up in the middle of an answer")
        data += piece
    return data


class Bank(Protocol):
    """The two operations that a payment needs of a bank."""

    def prepare(self, order: Order, reference: str) -> bytes:
        """The message that orders the payment."""

    def send(self, order: Order, reference: str, data: bytes) -> tuple[bytes, str]:
        """Send the message and check the answer; returns the answer and the bank's own number of the settled
        payment."""


class SampleBank:
    """XML in frames with 8 digits of length, signed both ways, over one kept session."""

    NS = "urn:sample-bank:1"

    def __init__(self, job: Job) -> None:
        self.use_keys(job.sign_key, job.bank_cert)
        self._conn = connect(job, secure(job))
        data = self._signed("SignOn", {"User": job.login[0], "Password": job.login[1]})
        self.verified_body(self._exchange(data), "SignOn")

    def use_keys(self, sign_key: Path, bank_cert: Path) -> None:
        """Set the key for signing and the bank's certificate for verifying. Request numbers begin with the time."""
        self._key = xmlsec.Key.from_file(str(sign_key), xmlsec.constants.KeyDataFormatPem)
        self._bank_key = xmlsec.Key.from_file(str(bank_cert), xmlsec.constants.KeyDataFormatCertPem)
        self._serial = time.time_ns() // 1000

    def _signed(self, operation: str, fields: dict[str, str]) -> bytes:
        self._serial += 1
        root = etree.Element(f"{{{self.NS}}}SampleBank", nsmap={None: self.NS})
        head = {
            "Customer": "0001",
            "Operation": operation,
            "Serial": str(self._serial),
            "Sent": datetime.now(CHINA).isoformat(timespec="seconds"),
            "Token": "",
        }
        for part, values in (("Head", head), ("Body", fields)):
            element = etree.SubElement(root, f"{{{self.NS}}}{part}")
            for name, value in values.items():
                etree.SubElement(element, f"{{{self.NS}}}{name}").text = value
        signature = xmlsec.template.create(
            root, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256, ns="ds"
        )
        root.append(signature)
        reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri="")
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
        xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
        # The template has several lines, and this bank refuses blanks between elements.
        for element in signature.iter():
            element.tail = None
            if len(element):
                element.text = None
        context = xmlsec.SignatureContext()
        context.key = self._key
        context.sign(signature)
        data: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
        return b"%08d%s" % (len(data), data)

    def _exchange(self, data: bytes) -> bytes:
        self._conn.sendall(data)
        return read_exactly(self._conn, int(read_exactly(self._conn, 8)))

    def verified_body(self, data: bytes, operation: str) -> dict[str, str]:
        """The body of a verified answer to our last request. Raises WrongAnswer."""
        root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
        signature = xmlsec.tree.find_node(root, xmlsec.constants.NodeSignature)
        if signature is None:
            raise WrongAnswer("the answer is not signed")
        context = xmlsec.SignatureContext()
        context.key = self._bank_key
        try:
            context.verify(signature)
        except xmlsec.Error as error:
            raise WrongAnswer(f"the answer's signature: {error}") from None
        head = self._texts(root, "Head")
        must("operation", head["Operation"], operation)
        must("serial", head["Serial"], str(self._serial))
        must("code", head["Code"], "0000")
        return self._texts(root, "Body")

    def _texts(self, root: etree._Element, part: str) -> dict[str, str]:
        found = root.find(f"{{{self.NS}}}{part}")
        if found is None:
            raise WrongAnswer(f"the answer has no {part}")
        return {etree.QName(child).localname: child.text or "" for child in found}

    def prepare(self, order: Order, reference: str) -> bytes:
        """The message that orders the payment."""
        return self._signed(
            "Pay",
            {
                "Reference": reference,
                "DebtorAccount": order.debtor.account,
                "DebtorName": order.debtor.name,
                "CreditorAccount": order.creditor.account,
                "CreditorName": order.creditor.name,
                "CreditorBankName": order.creditor.bank_name,
                "CreditorBankCode": order.creditor.cnaps,
                "Amount": str(order.amount),
                "Currency": order.currency,
                "Purpose": order.purpose,
                "Urgent": "N",
                "Private": "Y" if order.creditor.kind == "person" else "N",
            },
        )

    def send(self, order: Order, reference: str, data: bytes) -> tuple[bytes, str]:
        """Send the message and check the answer; returns the answer and the bank's own number of the settled
        payment."""
        answer = self._exchange(data)
        body = self.verified_body(answer, "Pay")
        must("reference", body["Reference"], reference)
        must("debtor", body["DebtorAccount"], order.debtor.account)
        must("creditor", body["CreditorAccount"], order.creditor.account)
        must("amount", Decimal(body["Amount"]), order.amount)
        must("status", (body["Status"], body["Reason"]), ("S", ""))
        return answer, body["BankSerial"]


@dataclass(slots=True)
class PabBank:
    """GBK XML behind a header of 222 bytes, a fresh connection for every exchange; settles only when asked."""

    job: Job
    context: ssl.SSLContext
    serial: int = 0

    def _message(self, operation: str, fields: dict[str, str]) -> bytes:
        self.serial = max(self.serial + 1, time.time_ns() // 1000)
        root = etree.Element("Result")
        for name, value in fields.items():
            etree.SubElement(root, name).text = value
        body: bytes = etree.tostring(root, xml_declaration=True, encoding="GBK")
        header = "".join(
            (
                "A001",
                "01",
                "01",
                "01",
                self.job.enterprise.ljust(20),
                f"{len(body):010d}",
                operation.ljust(6),
                "00000",
                "01",
                datetime.now(CHINA).strftime("%Y%m%d%H%M%S"),
                f"ST{self.serial:018d}",
                "000000",
                " " * 100,
                "0",
                "000",
                "0",
                "0",
                " " * 12,
                "0".rjust(10),
                "0",
            )
        )
        return header.encode("ascii") + body

    def _exchange(self, operation: str, data: bytes) -> tuple[bytes, dict[str, str]]:
        with connect(self.job, self.context) as conn:
            conn.sendall(data)
            header = read_exactly(conn, 222)
            body = read_exactly(conn, int(header[30:40]))
        must("operation", header[40:46].decode().strip(), operation)
        must("code", header[87:93].decode(), "000000")
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False, no_network=True, encoding="GBK"))
        return header + body, {str(child.tag): child.text or "" for child in root}

    def prepare(self, order: Order, reference: str) -> bytes:
        """The message that orders the payment."""
        return self._message(
            "4004",
            {
                "ThirdVoucher": reference,
                "CstInnerFlowNo": "",
                "CcyCode": "RMB",
                "OutAcctNo": order.debtor.account,
                "OutAcctName": order.debtor.name,
                "OutAcctAddr": "",
                "InAcctBankNode": order.creditor.cnaps,
                "InAcctRecCode": "",
                "InAcctNo": order.creditor.account,
                "InAcctName": order.creditor.name,
                "InAcctBankName": order.creditor.bank_name,
                "TranAmount": str(order.amount),
                "AmountCode": "",
                "UseEx": order.purpose,
                "UnionFlag": "0",
                "SysFlag": "N",
                "AddrFlag": "1",
            },
        )

    def send(self, order: Order, reference: str, data: bytes) -> tuple[bytes, str]:
        """Send the message and check the answer; returns the answer and the bank's own number of the settled
        payment."""
        _, said = self._exchange("4004", data)
        must("voucher", said["ThirdVoucher"], reference)
        while True:
            question = {"OrigThirdLogNo": "", "OrigThirdVoucher": reference, "OrigFrontLogNo": ""}
            answer, said = self._exchange("4005", self._message("4005", question))
            must("voucher", said["OrigThirdVoucher"], reference)
            must("debtor", said["OutAcctNo"], order.debtor.account)
            must("creditor", said["InAcctNo"], order.creditor.account)
            must("amount", Decimal(said["TranAmount"]), order.amount)
            if said["Stt"] == "20":
                return answer, said["FrontLogNo"]
            time.sleep(ASK_AGAIN_S)


class Journal:
    """The script's journal in SQLite: one row a payment, one commit a step."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY, state TEXT NOT NULL, reference TEXT UNIQUE,"
            " body BLOB NOT NULL, wire BLOB, answer BLOB, bank_serial TEXT, changed REAL NOT NULL)"
        )

    def accepted(self, order: Order, reference: str, body: bytes) -> None:
        """Record that the order was accepted."""
        self._db.execute(
            "INSERT INTO payments (id, state, reference, body, changed) VALUES (?, 'accepted', ?, ?, ?)",
            (order.id, reference, body, time.time()),
        )

    def sending(self, order: Order, wire: bytes) -> None:
        """Record the bytes before they leave."""
        self._db.execute(
            "UPDATE payments SET state = 'sending', wire = ?, changed = ? WHERE id = ?", (wire, time.time(), order.id)
        )

    def settled(self, order: Order, answer: bytes, bank_serial: str) -> None:
        """Record that the bank carried the order out."""
        self._db.execute(
            "UPDATE payments SET state = 'settled', answer = ?, bank_serial = ?, changed = ? WHERE id = ?",
            (answer, bank_serial, time.time(), order.id),
        )


def tell(channel: Any, job: Job, order: Order, state: str, final: bool, more: dict[str, str]) -> None:
    """Publish an event about a state; returns when the broker has confirmed it."""
    event = {
        "event": f"payment.{state}",
        "id": order.id,
        "state": state,
        "final": final,
        "amount": str(order.amount),
        "currency": order.currency,
        **more,
    }
    properties = pika.BasicProperties(
        message_id=f"{state}-{order.id}", type=f"payment.{state}", content_type="application/json", delivery_mode=2
    )
    channel.basic_publish("", job.events_queue, json.dumps(event).encode(), properties, mandatory=True)


def pay(channel: Any, job: Job, bank: Bank, journal: Journal, body: bytes, number: int) -> None:
    """Process one order from its message to its event."""
    order = Order.model_validate_json(body)
    reference = f"{number:020d}"
    journal.accepted(order, reference, body)
    tell(channel, job, order, "accepted", False, {})
    wire = bank.prepare(order, reference)
    journal.sending(order, wire)
    answer, bank_serial = bank.send(order, reference, wire)
    journal.settled(order, answer, bank_serial)
    tell(channel, job, order, "settled", True, {"bank_reference": reference, "bank_serial": bank_serial})


def clear(job: Job, queues: tuple[str, ...]) -> None:
    """Delete queues that an earlier run left. Raises WrongAnswer if a program consumes one of them."""
    login = pika.PlainCredentials(job.user, job.password)
    with pika.BlockingConnection(pika.ConnectionParameters(job.broker_host, job.broker_port, job.vhost, login)) as conn:
        for queue in queues:
            channel = conn.channel()
            try:
                found = channel.queue_declare(queue, passive=True).method
                must(f"{queue} has consumers, so another gateway runs here; stop it first", found.consumer_count, 0)
                channel.queue_delete(queue)
            except pika.exceptions.ChannelClosedByBroker:
                pass  # there is none


def main(job: Job) -> None:
    """Serve the queue until SIGTERM, which ends it between two messages."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: told.append(number))
    bank: Bank = SampleBank(job) if job.bank == "sample" else PabBank(job, secure(job))
    journal = Journal(job.database)
    login = pika.PlainCredentials(job.user, job.password)
    where = pika.ConnectionParameters(job.broker_host, job.broker_port, job.vhost, login)
    channel = pika.BlockingConnection(where).channel()
    channel.confirm_delivery()
    channel.basic_qos(prefetch_count=1)
    channel.queue_declare(job.queue, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(job.queue, job.exchange, job.routing_key)
    number = time.time_ns() // 1000
    print("ready", flush=True)
    for method, _properties, body in channel.consume(job.queue, inactivity_timeout=0.2):
        if method is not None:
            number += 1
            pay(channel, job, bank, journal, body, number)
            channel.basic_ack(method.delivery_tag)
        if told:
            channel.connection.close()
            break


if __name__ == "__main__":
    main(Job.model_validate_json(Path(sys.argv[1]).read_text("utf-8")))
