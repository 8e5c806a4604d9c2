"""The floor: the cost of the indispensable work of one payment on this machine at this time, each part alone and warm.

The list of parts is frozen, so that figures of different days can be compared: RSA signature, verification with
xmlsec, XML written and parsed, TLS records of the exchanges, AMQP frames in and out, seals and the audit chain,
durable commits of groups as large as those of the run. No daemon can go below it: there are no decisions, no limits,
no look-ups, no second thread in it. `sample` signs and keeps its session; `pab` signs nothing, wants two exchanges,
and a connection for each.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import sqlite3
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import pika
import xmlsec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from lxml import etree
from pika import frame, spec

from bench.orders import order
from bench.straight import CHINA
from gateway.demo import site
from gateway.simbank.ledger import Ledger, LedgerAccount
from gateway.simbank.pki import BankPki
from protocols.bank import Context
from protocols.banks import sample
from protocols.banks.sample import twin as sample_twin
from protocols.canon.money import Money
from protocols.erp import commands
from protocols.erp.words import CommandType, SubmitOrder

LAPS: Final = 400
WARM: Final = 100
WAIT_S: Final = 0.004
EVENTS: Final = 2
LINKS: Final = 3
_FIELDS: Final = tuple(
    (f"Field{number:02d}", "示例供应商" if number % 3 else f"0000{number:015d}") for number in range(17)
)
_BODY: Final = b"e" * 500
_REQUEST: Final = b"x" * 1700
_FRAME_MOST: Final = 4096


@dataclass(frozen=True, slots=True)
class PaymentNeeds:
    """The work that a payment at one bank cannot do without."""

    bank: str
    signs: bool
    exchanges: int
    keeps_connection: bool
    units: int


SHAPES: Final = {"sample": PaymentNeeds("sample", True, 1, True, 3), "pab": PaymentNeeds("pab", False, 2, False, 4)}


class Floor:
    """One bank's floor: the least processor time of a payment. `measure` may be called repeatedly; `close` ends its
    thread and connections."""

    def __init__(self, shape: PaymentNeeds, files: BankPki, folder: Path) -> None:
        self.shape = shape
        self._folder = folder
        self.files = files
        self._signed = _signed_pair(files) if shape.signs else None
        self._answer = self._signed.answer if self._signed else _xml(_FIELDS, "gbk")
        self.peer = _Peer(files, len(_REQUEST), self._answer.ljust(len(_REQUEST))[: len(_REQUEST)])
        self._cipher = AESGCM(b"k" * 32)

    def close(self) -> None:
        """End the thread of the bank's side."""
        self.peer.close()

    def measure(self, group: float) -> dict[str, float]:
        """The CPU in microseconds for one payment, by part. `group` is the number of units in one commit of the run.

        Payment after payment goes through all parts, as in a daemon, so that no part has the caches for itself; and
        before each stage of a group stands a short wait, as a daemon waits for broker, bank and disk: on a busy machine
        others use the caches meanwhile.
        """
        group_size = max(round(group), 1)
        spent_ns: dict[str, int] = {}
        measured = 0
        with _Database(self._folder, self.shape) as database, _Amqp(group_size) as amqp, _Line(self) as line:
            for number in range(0, LAPS + WARM, group_size):
                if number < WARM:
                    spent_ns.clear()
                    measured = 0
                amqp.deliver()
                time.sleep(WAIT_S)
                _timed(spent_ns, "AMQP in and out", amqp.turn)
                amqp.drain()
                time.sleep(WAIT_S)
                for _ in range(group_size):
                    self._payment(spent_ns, line)
                time.sleep(WAIT_S)
                _timed(spent_ns, "durable commits", lambda: database.commit(group_size))
                measured += group_size
        return {part: spent / measured / 1000 for part, spent in spent_ns.items()}

    def _payment(self, spent_ns: dict[str, int], line: _Line) -> None:
        pair = self._signed
        encoding = "utf-8" if self.shape.signs else "gbk"
        for _ in range(self.shape.exchanges):
            _timed(spent_ns, "XML written and parsed", lambda: self._xml_once(encoding))
            if pair is not None:
                _timed(spent_ns, "RSA-2048 signature", lambda: pair.key.sign(pair.octets, PKCS1v15(), hashes.SHA256()))
            _timed(spent_ns, "TLS records of the exchanges", line.exchange)
            if pair is not None:
                _timed(spent_ns, "xmlsec verification", partial(pair.verify, pair.parsed()))
        _timed(spent_ns, "seals and chain", self._seals)

    def _xml_once(self, encoding: str) -> None:
        _xml(_FIELDS, encoding)
        root = etree.fromstring(self._answer, etree.XMLParser(resolve_entities=False, no_network=True))
        for child in root.iter():
            _ = child.tag, child.text

    def _seals(self) -> None:
        """Make a payment's seals: order, request, answer and two events; and three entries of the audit chain, each
        with its seal and MAC."""
        for data in (_BODY, b"x" * 1700, self._answer, *[_BODY] * EVENTS):
            self._cipher.encrypt(os.urandom(12), data, b"table/column/row")
        for _ in range(LINKS):
            detail = self._cipher.encrypt(b"n" * 12, b"d" * 120, b"h" * 200)
            hashlib.sha256(b"h" * 200 + detail).hexdigest()
            hmac.digest(b"k" * 32, detail, "sha256")


class _Line:
    """Our side of TLS: one connection that stays open, or one resumed connection for each exchange."""

    def __init__(self, floor: Floor) -> None:
        self._peer, self._kept = floor.peer, floor.shape.keeps_connection
        self._context = _client_context(floor.files)
        self._conn: ssl.SSLSocket | None = None
        self._session: ssl.SSLSession | None = None

    def __enter__(self) -> _Line:
        return self

    def __exit__(self, *_: object) -> None:
        if self._conn is not None:
            self._conn.close()

    def exchange(self) -> None:
        """Send a request, read an answer."""
        conn = self._conn or self._peer.connect(self._context, self._session)
        conn.sendall(_REQUEST)
        _read(conn, len(_REQUEST))
        if self._kept:
            self._conn = conn
        else:
            self._session = conn.session
            conn.close()


class _Database:
    """The least database work: one row a payment, one statement a unit, and the permit log, synced."""

    def __init__(self, folder: Path, shape: PaymentNeeds) -> None:
        self._db = sqlite3.connect(folder / f"floor-{shape.bank}.db", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS p (id INTEGER PRIMARY KEY, state TEXT, body BLOB, wire BLOB, said BLOB)"
        )
        self._permits = os.open(folder / "floor.permits", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._words = shape.units - 2
        (self._last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM p").fetchone()

    def __enter__(self) -> _Database:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._permits)
        self._db.close()

    def commit(self, count: int) -> None:
        """Commit all units of `count` payments, in as many commits as a payment has units."""
        ids = range(self._last + 1, self._last + count + 1)
        self._last += count
        self._write("INSERT INTO p (body, state, id) VALUES (?, 'accepted', ?)", [(_BODY, id_) for id_ in ids])
        os.write(self._permits, b"p" * 150 * count)
        os.fdatasync(self._permits)
        self._write("UPDATE p SET wire = ?, state = 'sending' WHERE id = ?", [(_REQUEST, id_) for id_ in ids])
        for _ in range(self._words):
            self._write("UPDATE p SET said = ?, state = 'settled' WHERE id = ?", [(_REQUEST, id_) for id_ in ids])

    def _write(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(statement, rows)
        self._db.execute("COMMIT")


def _timed(spent_ns: dict[str, int], part: str, work: Callable[[], object]) -> None:
    """Run `work`, and add this thread's CPU time to its part."""
    started_ns = time.thread_time_ns()
    work()
    spent_ns[part] = spent_ns.get(part, 0) + time.thread_time_ns() - started_ns


def _xml(fields: Sequence[tuple[str, str]], encoding: str) -> bytes:
    written = "".join([f"<{name}>{value.replace('&', '&amp;')}</{name}>" for name, value in fields])
    return f'<?xml version="1.0" encoding="{encoding.upper()}"?><Result>{written}</Result>'.encode(encoding)


# ---- signatures ----


@dataclass(frozen=True, slots=True)
class _SignedPair:
    """The signed part of a real request to `sample`, and a real signed answer."""

    key: RSAPrivateKey
    octets: bytes
    answer: bytes
    bank_key: Any

    def parsed(self) -> Any:
        """Parse the answer; returns its tree. Parsing is another part of the floor than verifying."""
        return etree.fromstring(self.answer)

    def verify(self, root: Any) -> None:
        """Raises xmlsec.Error if the signature is wrong."""
        context = xmlsec.SignatureContext()
        context.key = self.bank_key
        context.verify(root[-1])


def _signed_pair(files: BankPki) -> _SignedPair:
    key = load_pem_private_key(files.gateway_sign_key.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey)
    bank = sample.build({"bank_certificate": files.bank_sign_cert.read_text()})
    keys = {"bank": files.bank_sign_key.read_bytes(), "client": files.gateway_sign_cert.read_bytes()}
    twin = sample_twin.build({"user": "u", "password": "p", "cheap": True}, keys)
    accounts = site.account_numbers("sample", 2)
    holders = [LedgerAccount(one, "示例甲公司", Money(10**14)) for one in accounts]
    books = Ledger(lambda: time.time_ns() // 1_000_000, holders)
    read = commands.parse_command(CommandType.PAYMENT_SUBMIT, "application/json", order("F", 1, accounts))
    assert isinstance(read, SubmitOrder), read
    now = datetime.now(CHINA)
    words: Any = bank.money[read.order.kind](read.order, Context("F" * 20, 1, now.date(), now, (1,), {}, {}))
    sign = next(words)
    submit = words.send(key.sign(sign.octets, PKCS1v15(), hashes.SHA256()))
    answer = twin.answer("business", submit.data[8:], books, {"token": "t"}).data[8:]
    bank_key = xmlsec.Key.from_file(str(files.bank_sign_cert), xmlsec.constants.KeyDataFormatCertPem)
    return _SignedPair(key, sign.octets, answer, bank_key)


# ---- TLS ----


class _Peer:
    """The bank's side of TLS, in a thread of its own, with one answer for each request. Its time is not counted."""

    def __init__(self, files: BankPki, request_bytes: int, answer: bytes) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.server_cert, files.server_key)
        self._context.load_verify_locations(files.ca_cert)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._request_bytes, self._answer = request_bytes, answer
        threading.Thread(target=self._serve, daemon=True).start()

    def connect(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        """Connect to the bank's side, with a resumed session if one is given."""
        plain = socket.create_connection(self._socket.getsockname())
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(plain, server_hostname="127.0.0.1", session=session)

    def close(self) -> None:
        """Accept no more connections."""
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(OSError, EOFError):
                    conn = self._context.wrap_socket(plain, server_side=True)
                    while True:
                        _read(conn, self._request_bytes)
                        conn.sendall(self._answer)
                plain.close()


def _client_context(files: BankPki) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca_cert))
    context.load_cert_chain(files.client_cert, files.client_key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the only version in which Python resumes sessions by itself
    return context


def _read(conn: ssl.SSLSocket, count: int) -> None:
    while count:
        piece = conn.recv(count)
        if not piece:
            raise EOFError
        count -= len(piece)


# ---- AMQP ----


class _Amqp:
    """The least broker work of a payment: one command received and acknowledged, two events published and confirmed. A
    group of payments shares a read and a write."""

    def __init__(self, group: int) -> None:
        self._properties = pika.BasicProperties(
            message_id="m" * 24, type="payment.settled", delivery_mode=2, content_type="application/json", timestamp=1
        )
        command = order("F", 1, ("0000000000000000001",))
        one = b"".join(
            [
                frame.Method(
                    1, spec.Basic.Deliver("consumer", 1, False, "bankgw.commands", "payment.submit")
                ).marshal(),
                frame.Header(1, len(command), self._properties).marshal(),
                frame.Body(1, command).marshal(),
                *[frame.Method(1, spec.Basic.Ack(number, False)).marshal() for number in range(EVENTS)],
            ]
        )
        self._incoming, self._group = one * group, group
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._left = 0

    def __enter__(self) -> _Amqp:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._theirs.close()

    def deliver(self) -> None:
        """Do the broker's part before a turn. It is not counted."""
        self._theirs.sendall(self._incoming)

    def turn(self) -> None:
        """Decode the received frames, and write the frames that were prepared."""
        heard = b""
        while len(heard) < len(self._incoming):
            heard += self._ours.recv(1 << 18)
        for _ in _frames(heard):
            pass
        out = b"".join([piece for _ in range(self._group) for piece in _outgoing(self._properties)])
        self._ours.sendall(out)
        self._left = len(out)

    def drain(self) -> None:
        """Do the broker's part after a turn. It is not counted."""
        while self._left:
            self._left -= len(self._theirs.recv(1 << 18))


def _frames(data: bytes) -> Iterator[Any]:
    at = 0
    while at < len(data):
        count, one = frame.decode_frame(data[at : at + _FRAME_MOST])
        yield one
        at += count


def _outgoing(properties: Any) -> Iterator[bytes]:
    yield frame.Method(1, spec.Basic.Ack(1, False)).marshal()
    for _ in range(EVENTS):
        yield frame.Method(1, spec.Basic.Publish(0, "bankgw.events", "payment.settled", True)).marshal()
        yield frame.Header(1, len(_BODY), properties).marshal()
        yield frame.Body(1, _BODY).marshal()


def main() -> int:
    """Print both floors, with groups of ten units."""
    import tempfile

    from gateway.simbank.pki import make_pki

    with tempfile.TemporaryDirectory(prefix="bankgw-floor-") as name:
        made = make_pki(Path(name), list(SHAPES), datetime.now(UTC))
        for bank, shape in SHAPES.items():
            floor = Floor(shape, made[bank], Path(name))
            parts = floor.measure(10)
            floor.close()
            print(f"{sum(parts.values()):6.0f} us  {bank}")
            for part, each_us in parts.items():
                print(f"{each_us:8.0f} us  {part}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
