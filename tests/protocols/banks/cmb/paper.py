"""The adapter and the bank's side with the simulator's books, and messages written by hand from the bank's page."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, TypeVar

from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import cmb
from protocols.banks.cmb import twin
from protocols.canon.money import Money
from protocols.canon.order import (
    AnyOrder,
    BatchItemDetail,
    Bundle,
    CollectionDetail,
    Detail,
    Item,
    Kind,
    Order,
    PaymentDetail,
    PayrollItemDetail,
)
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion, Sent, SentBundle
from protocols.kit import http
from tests.world.dialogue import NOON, BankAndTwin, BankTime

R = TypeVar("R")
TODAY = NOON.date()
OURS, THEIRS = "0000000000000000017", "0000000000000000025"
REFERENCE = "GW000000000000000001"
NUMBER = "0000000123"
OPTIONS: Mapping[str, Any] = {
    "login": "U0001",
    "mode": "00001",
    "branch": "75",
    "payroll_mode": "00002",
    "collection_mode": "00003",
    "collection_type": "AYBK",
}


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return cmb.build({**OPTIONS, **options})


def stage(
    side: Mapping[str, Any] | None = None,
    conduct: BookingRules = BookingRules(),
    opening: str = "1000.00",
    **options: Any,
) -> BankAndTwin:
    """Adapter and bank's side connected; `side` are the twin's options, `options` the adapter's."""
    time = BankTime()
    accounts = (LedgerAccount(OURS, "示例甲公司", Money.parse(opening)),)
    transport = options.get("transport", "http")
    other = twin.build({"transport": transport, **(side or {})}, {})
    return BankAndTwin(bank(**options), other, Ledger(time.now_ms, accounts, conduct), time)


SIMPLE: Detail = PaymentDetail()


def order(detail: Detail = SIMPLE, **changes: Any) -> Order[Any]:
    """A payment to another bank."""
    sample: Order[Any] = Order(
        "ERP0001",
        Party(AccountNumber(OURS), Name("示例甲公司")),
        Party(AccountNumber(THEIRS), Name("示例乙公司"), "示例银行某支行", "000000000000"),
        Money(12_345),
        detail,
        purpose="货款",
    )
    return replace(sample, **changes)


def context(reference: str = REFERENCE, serial: int = 1) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, TODAY, NOON, (serial,))


def sent(given: AnyOrder | None = None, reference: str = REFERENCE, **changes: Any) -> Sent:
    """The record of an order before it was sent."""
    one = given or order()
    plain = Sent(reference, TODAY, 1, ("N02031",), one.amount, one.debtor.account, one.creditor.account)
    return replace(plain, **changes)


def question(**changes: Any) -> FateQuestion:
    """The enquiry after the sample payment."""
    return FateQuestion(sent(**changes))


def bundle(kind: Kind, amounts: Sequence[int], **changes: Any) -> Bundle:
    """Orders of one kind with these amounts in fen; references end in the line's number."""
    details: dict[Kind, Callable[[int], Detail]] = {
        Kind.BATCH_ITEM: lambda number: BatchItemDetail("B1", number),
        Kind.PAYROLL_ITEM: lambda number: PayrollItemDetail("B1", number),
        Kind.COLLECTION: lambda number: CollectionDetail("A1", "B1", number),
    }
    if kind is Kind.COLLECTION and "debtor" not in changes:
        changes["debtor"] = Party(AccountNumber(THEIRS), Name("示例丁"))
        changes["creditor"] = Party(AccountNumber(OURS), Name("示例甲公司"))
    items = tuple(
        Item(order(details[kind](number), amount=Money(amount), id=f"ERP{number}", **changes), reference_of(number))
        for number, amount in enumerate(amounts, start=1)
    )
    return Bundle(kind, items)


def reference_of(number: int) -> str:
    """The reference of the bundle's line `number`."""
    return f"GW00000000000001{number:04d}"


def sent_bundle(given: Bundle, reference: str = REFERENCE, on: date = TODAY, **changes: Any) -> SentBundle:
    """The record of a bundle before it was sent."""
    items = tuple(sent(item.order, item.reference, bank_date=on) for item in given.items)
    return replace(SentBundle(reference, on, 1, (), items), **changes)


def document(function: str, code: str | None, *parts: tuple[str, Mapping[str, str]], message: str = "") -> bytes:
    """An answer written out by hand from the bank's page: INFO, then output interfaces in alphabetical order."""
    info = {"DATTYP": "2", "ERRMSG": message, "FUNNAM": function, "LGNNAM": "U0001"}
    if code is not None:
        info["RETCOD"] = code
    inner = ""
    for name, leaves in (("INFO", info), *parts):
        fields = "".join(f"<{tag}>{leaves[tag]}</{tag}>" for tag in sorted(leaves))
        inner += f"<{name}>{fields}</{name}>"
    return f'<?xml version="1.0" encoding="GBK"?><CMBSDKPGK>{inner}</CMBSDKPGK>'.encode("gbk")


def answer(function: str, code: str | None, *parts: tuple[str, Mapping[str, str]], message: str = "") -> bytes:
    """`document` as the body of an HTTP answer."""
    return http.answer(200, (), document(function, code, *parts, message=message))


def handed_in(**changes: str) -> tuple[str, Mapping[str, str]]:
    """The line that answers the sample payment."""
    line = {
        "ERRCOD": "SUC0000",
        "ERRTXT": "",
        "OPRALS": "",
        "OPRSQN": "001",
        "REQNBR": NUMBER,
        "REQSTS": "BNK",
        "RTNFLG": "",
        "SQRNBR": "0000000001",
        "YURREF": REFERENCE,
    }
    return "NTQPAYRQZ", line | changes


REPEATED: Mapping[str, str] = {
    "ERRCOD": "NCB4241",
    "ERRTXT": "NCB4241 -业务参考号重复",
    "REQNBR": "",
    "REQSTS": "FIN",
    "RTNFLG": "F",
    "SQRNBR": "0000000000",
}


def record(**changes: str) -> tuple[str, Mapping[str, str]]:
    """The record of the sample payment in an enquiry's answer."""
    line = {
        "ATHFLG": "N",
        "BUSCOD": "N02031",
        "BUSMOD": "00001",
        "CCYNBR": "10",
        "CRTACC": THEIRS,
        "CRTBBK": "",
        "CRTNAM": "示例乙公司",
        "DBTACC": OURS,
        "DBTBBK": "75",
        "EPTDAT": "",
        "EPTTIM": "",
        "OPRDAT": "20261124",
        "REQNBR": NUMBER,
        "REQSTS": "FIN",
        "RSV30Z": "",
        "RTNFLG": "S",
        "TRSAMT": "123.45",
        "YURREF": REFERENCE,
    }
    return "NTSTLLSTZ", line | changes


def talk(conversation: Generator[Any, bytes, R], *answers: bytes) -> tuple[R, list[bytes]]:
    """Runs a conversation on these answers; returns its result and what it sent."""
    asked: list[bytes] = []
    left = list(answers)
    try:
        step = next(conversation)
        while True:
            assert isinstance(step, (Ask, Submit))
            asked.append(step.data)
            step = conversation.send(left.pop(0))
    except StopIteration as end:
        assert not left, "not every answer was asked for"
        result: R = end.value
        return result, asked


def first_step(conversation: Generator[Any, bytes, Any]) -> Any:
    """The first step, without any answer."""
    step = next(conversation)
    conversation.close()
    return step


def content(frame: bytes) -> str:
    """The XML of an HTTP request or answer."""
    return frame.partition(b"\r\n\r\n")[2].decode("gbk")


def show(xml: bytes) -> tuple[str, Mapping[str, str]]:
    """A document as a bank's engineer reads it: FUNNAM, and Interface.Field (Interface.1.Field where it repeats)."""
    root = etree.fromstring(xml.decode("gb18030").partition("?>")[2])
    shown: dict[str, str] = {}
    seen: dict[str, int] = {}
    for part in root:
        name = str(part.tag)
        seen[name] = seen.get(name, 0) + 1
        for leaf in part:
            text = leaf.text or ""
            shown.setdefault(f"{name}.{leaf.tag!s}", text)
            shown[f"{name}.{seen[name]}.{leaf.tag!s}"] = text
    return shown["INFO.FUNNAM"], shown
