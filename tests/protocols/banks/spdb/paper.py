"""Messages of BISafe written out by hand from the bank's page, and functions that run conversations against them.

Signatures are made by another library than the adapter's and the twin's, in the form the page saw: CMS SignedData with
the content inside, no signed attributes, certificates included.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7Options, PKCS7SignatureBuilder
from cryptography.x509 import Certificate, CertificateBuilder, NameAttribute
from cryptography.x509 import Name as X509Name
from cryptography.x509.oid import NameOID

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import spdb
from protocols.banks.spdb import twin
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, BatchItemDetail, Bundle, Item, Kind, Order, PaymentDetail, PayrollItemDetail
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import Sent, SentBundle
from protocols.kit.fields import amount_text
from tests.world.dialogue import BankAndTwin, BankTime

R = TypeVar("R")
ZONE = timezone(timedelta(hours=8))
NOW = datetime(2026, 1, 5, 10, 16, 0, tzinfo=ZONE)
TODAY = NOW.date()
MASTER, AUTHORISER = "2000000001", "2000000002"
DEBTOR, CREDITOR = "0000021001000000001", "0000021001000000002"
REFERENCE, OTHER = "00000000000000000017", "00000000000000000018"
BUNDLE = "00000000000000000100"
ITEMS = tuple(f"0000000000000000010{n}" for n in range(1, 5))
HOST = "PT19YQ0000000001"
ASKED = "369600000000700"
"""The packetID of the first message of a question, with serial 7."""
OPTIONS: Mapping[str, Any] = {"master_id": MASTER, "probe_account": DEBTOR}
AUTHORISED: Mapping[str, Any] = {"authorisation": True, "auth_master_id": AUTHORISER}
PAYER = Party(AccountNumber(DEBTOR), Name("示例甲公司"))
PAYEE = Party(AccountNumber(CREDITOR), Name("示例乙公司"), "浦发银行示例支行")


# ---- keys ----


def signer(name: str = "bank") -> tuple[RSAPrivateKey, Certificate]:
    """A key with a certificate, the same for the same name."""
    return _made_once(name)


@cache
def _made_once(name: str) -> tuple[RSAPrivateKey, Certificate]:
    key = generate_private_key(65537, 2048)
    title = X509Name([NameAttribute(NameOID.COMMON_NAME, name)])
    builder = CertificateBuilder().subject_name(title).issuer_name(title).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(datetime(2025, 1, 1, tzinfo=UTC))
    return key, builder.not_valid_after(datetime(2027, 1, 1, tzinfo=UTC)).sign(key, hashes.SHA256())


def key_pem(name: str = "bank") -> bytes:
    """The private key, as a twin gets it."""
    return signer(name)[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(name: str = "bank") -> str:
    """The certificate, as the settings get it."""
    return signer(name)[1].public_bytes(Encoding.PEM).decode()


_CONTENT: dict[bytes, bytes] = {}
"""What each signature made here contains: the stand-in for the front end's verify port looks it up."""


def wrapped(content: bytes, name: str = "bank") -> bytes:
    """`content` in a CMS, in Base64 with line ends."""
    key, certificate = signer(name)
    builder = PKCS7SignatureBuilder().set_data(content).add_signer(certificate, key, hashes.SHA256())
    text = base64.encodebytes(builder.sign(Encoding.DER, [PKCS7Options.NoAttributes, PKCS7Options.Binary]))
    _CONTENT[b"".join(text.split())] = content
    return text


# ---- the bank's answers ----


def http_answer(body: bytes, status: str = "200 OK") -> bytes:
    """One HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def framed(document: str, charset: str = "gb18030") -> bytes:
    """A packet after its length: left-aligned, padded with blanks, counting itself in bytes."""
    data = document.encode(charset)
    return http_answer(str(len(data) + 6).ljust(6).encode() + data)


def leaves(fields: Mapping[str, str]) -> str:
    """XML elements in the given order."""
    return "".join(f"<{tag}>{text}</{tag}>" for tag, text in fields.items())


def packet(operation: str, packet_id: str, code: str, body: str, **head: str) -> bytes:
    """A whole answer in the page's envelope."""
    fields = {
        "transCode": operation,
        "signFlag": "1",
        "packetID": packet_id,
        "timeStamp": "2026-01-05 10:16:01",
        "returnCode": code,
        **head,
    }
    return framed(f'<?xml version="1.0" encoding="gb2312"?><packet><head>{leaves(fields)}</head>{body}</packet>')


def done(operation: str, packet_id: str, body: str, name: str = "bank", **head: str) -> bytes:
    """A successful answer: the signed `<body>…</body>`."""
    signature = wrapped(f"<body>{body}</body>".encode("gb18030"), name).decode()
    return packet(operation, packet_id, "AAAAAAA", f"<body><signature>{signature}</signature></body>", **head)


def refused(operation: str, packet_id: str, code: str, text: str = "", again: str | None = None) -> bytes:
    """An error answer, which is not signed."""
    fields = {"returnCode": code if again is None else again, "returnMsg": text}
    return packet(operation, packet_id, code, f"<body>{leaves(fields)}</body>")


def paid(status: str = "4", accept: str = HOST, packet_id: str = REFERENCE, **more: str) -> bytes:
    """The answer to an 8801."""
    return done("8801", packet_id, leaves({"transStatus": status, "acceptNo": accept, **more}))


def batched(accept: str = HOST, taken: str = "3", failed: str = "0", **more: str) -> bytes:
    """The answer to an 8800."""
    fields = {"acceptNo": accept, "seqNo": "", "successCount": taken, "failCount": failed, **more}
    return done("8800", BUNDLE, leaves(fields))


def row(status: str = "4", note: str = "货款", voucher: str = REFERENCE, **changes: str) -> str:
    """A row of the page's 8804 answer."""
    return (
        "<list>"
        + leaves(
            {
                "elecChequeNo": voucher,
                "acceptNo": HOST,
                "serialNo": "1",
                "transDate": "20260105",
                "bespeakDate": "",
                "PromiseDate": "",
                "acctNo": DEBTOR,
                "acctName": "示例甲公司",
                "payeeAcctNo": CREDITOR,
                "payeeName": "示例乙公司",
                "payeeType": "0",
                "payeeBankName": "",
                "payeeAddress": "",
                "amount": "123.45",
                "sysFlag": "0",
                "remitLocation": "0",
                "note": note,
                "transStatus": status,
                "seqNo": "",
                **changes,
            }
        )
        + "</list>"
    )


def loop(*rows: str, total: int | None = None) -> str:
    """The body of the page's 8804 answer."""
    count = len(rows) if total is None else total
    inner = f'<lists name="LoopResult">{"".join(rows)}</lists>' if rows else '<lists name="LoopResult"/>'
    return f"<totalCount>{count}</totalCount>{inner}"


def listed(*rows: str, total: int | None = None, packet_id: str = ASKED) -> bytes:
    """The page's 8804 answer."""
    return done("8804", packet_id, loop(*rows, total=total))


def nothing(operation: str = "8804", packet_id: str = ASKED) -> bytes:
    """An answer without rows, in the bank's form."""
    return refused(operation, packet_id, "EGG0521", "已无符合条件的记录")


REASON = "货款|&lt;错误原因:EGG0042 处理失败[EGG0044][帐户余额不足&gt;"
BACK = "货款|&lt;错误原因:TWN0005 人行退票&gt;"


# ---- our side ----


def bank(**options: Any) -> Bank:
    """The adapter under test, with the bank's certificate pinned."""
    return spdb.build({**OPTIONS, "bank_certificate": certificate_pem(), **options})


def through_front_end(**options: Any) -> Bank:
    """The adapter for a customer whose front end verifies signatures."""
    return spdb.build({**OPTIONS, **options})


def order(**changes: Any) -> Order[PaymentDetail]:
    """A sample payment inside the bank."""
    return replace(Order("ERP0001", PAYER, PAYEE, Money(12_345), PaymentDetail(), purpose="货款"), **changes)


def sent(reference: str = REFERENCE, amount: int = 12_345) -> Sent:
    """The record of the sample payment."""
    return Sent(reference, TODAY, 1, (), Money(amount), AccountNumber(DEBTOR), AccountNumber(CREDITOR))


def bundle(kind: Kind = Kind.BATCH_ITEM, amounts: Sequence[int] = (100, 100, 250), **changes: Any) -> Bundle:
    """A batch of lines that differ only in their references."""
    items = []
    for place, (reference, minor) in enumerate(zip(ITEMS, amounts), 1):
        detail: Any = BatchItemDetail("B1", place)
        if kind is Kind.PAYROLL_ITEM:
            detail = PayrollItemDetail("B1", place)
        made: AnyOrder = Order(f"E{place}", PAYER, PAYEE, Money(minor), detail, "款项")
        items.append(Item(replace(made, **changes), reference))
    return Bundle(kind, tuple(items))


def sent_bundle(given: Bundle | None = None, serial: str | None = None) -> SentBundle:
    """The record of a batch."""
    items = tuple(
        Sent(one.reference, TODAY, 1, (), one.order.amount, one.order.debtor.account, one.order.creditor.account)
        for one in (given or bundle()).items
    )
    return SentBundle(BUNDLE, TODAY, 1, (), items, serial)


def line(place: int, status: str = "4", note: str = "款项", accept: str = HOST) -> str:
    """The row of a line of `bundle()`."""
    amount = amount_text((100, 100, 250)[place - 1])
    return row(status, note, ITEMS[place - 1], amount=amount, serialNo=str(place), acceptNo=accept)


def context(reference: str = "", now: datetime = NOW, serial: int = 7) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, now.date(), now, (serial,))


def sign_page(content: bytes, result: str = "0") -> bytes:
    """The sign port's answer to a signing request."""
    head = f"<html><head><title>签名结果</title><result>{result}</result></head>".encode("gbk")
    return http_answer(head + b"<body><sign>\n%b</sign></body></html>" % wrapped(content, "client"))


def verify_page(signature: bytes, result: str = "0") -> bytes:
    """The sign port's answer to a verifying request."""
    head = f"<html><head><title>验签结果</title><result>{result}</result></head>".encode("gbk")
    content = _CONTENT[b"".join(signature.split())]
    return http_answer(head + b"<body><sic>%b</sic><cert>MA==</cert><certdn>CN=x</certdn></body></html>" % content)


def at_sign_port(data: bytes) -> bytes:
    """The answer of the front end's sign port to a request."""
    head, _, body = data.partition(b"\r\n\r\n")
    return verify_page(body) if b"INFOSEC_VERIFY_SIGN/1.0" in head else sign_page(body)


def talk(conversation: Generator[Any, bytes, R], *said: bytes) -> R:
    """Run a conversation to its end: the sign port does its work, `said` answers at the business port."""
    left = list(said)
    try:
        step = next(conversation)
        while True:
            assert isinstance(step, (Ask, Submit))
            step = conversation.send(at_sign_port(step.data) if step.port == "sign" else left.pop(0))
    except StopIteration as end:
        assert not left, "not all answers were asked for"
        result: R = end.value
        return result


def steps(conversation: Generator[Any, bytes, Any], *said: bytes) -> list[Ask | Submit]:
    """Every step up to the first for which `said` has no answer, or the end."""
    left, seen = list(said), []
    try:
        step = next(conversation)
        while True:
            seen.append(step)
            if step.port == "sign":
                step = conversation.send(at_sign_port(step.data))
            elif left:
                step = conversation.send(left.pop(0))
            else:
                conversation.close()
                return seen
    except StopIteration:
        return seen


def body_of(step: Ask | Submit) -> str:
    """The clear body that a step asks the sign port to sign."""
    return step.data.partition(b"\r\n\r\n")[2].decode("gbk")


def stage(
    faults: Sequence[str] = (),
    conduct: BookingRules = BookingRules(),
    options: Mapping[str, Any] = {},
    **twin_options: Any,
) -> BankAndTwin:
    """The adapter and the twin, connected, over the simulator's books."""
    time = BankTime(NOW)
    ledger = Ledger(time.now_ms, [LedgerAccount(DEBTOR, "示例甲公司", Money(10_000_000))], conduct)
    side = twin.build({"faults": faults, "master_id": MASTER, **twin_options}, {"bank": key_pem()})
    return BankAndTwin(
        bank(**options) if "bank_certificate" not in options else spdb.build({**OPTIONS, **_given(options)}),
        side,
        ledger,
        time,
    )


def _given(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of the adapter. `bank_certificate=None` means that the front end verifies."""
    return {key: value for key, value in options.items() if value is not None}
