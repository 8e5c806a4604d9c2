"""The adapter and the bank's side with the simulator's books, and messages written by hand from the bank's page."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import citic
from protocols.banks.citic import twin
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
REFERENCE = "20250102000000000001"
OPTIONS: Mapping[str, Any] = {"login": "erpuser1", "probe_account": OURS, "collections": True}
CODES = {"duplicate": ["TWIN001"], "refused": ["TWIN002"], "empty": ["TWIN003"], "not_found": ["TWIN004"]}


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return citic.build({**OPTIONS, **options})


def stage(
    side: Mapping[str, Any] | None = None,
    conduct: BookingRules = BookingRules(),
    opening: str = "1000.00",
    accounts: Sequence[LedgerAccount] = (),
    **options: Any,
) -> BankAndTwin:
    """Adapter and bank's side connected; `side` are the twin's options, `options` the adapter's."""
    time = BankTime()
    given = accounts or (LedgerAccount(OURS, "示例甲公司", Money.parse(opening)),)
    return BankAndTwin(bank(**options), twin.build(side or {}, {}), Ledger(time.now_ms, given, conduct), time)


SIMPLE: Detail = PaymentDetail()


def order(detail: Detail = SIMPLE, **changes: Any) -> Order[Any]:
    """A payment to another bank."""
    sample: Order[Any] = Order(
        "ERP0001",
        Party(AccountNumber(OURS), Name("示例甲公司")),
        Party(AccountNumber(THEIRS), Name("乙公司"), "中国工商银行北京分行", "102100099996"),
        Money(1_000),
        detail,
        purpose="货款",
    )
    return replace(sample, **changes)


def context(reference: str = REFERENCE, now: datetime = NOON) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, now.date(), now, (1,))


def sent(given: AnyOrder | None = None, reference: str = REFERENCE, **changes: Any) -> Sent:
    """The record of an order before it was sent."""
    one = given or order()
    plain = Sent(reference, TODAY, 1, ("DLOUTTRN",), one.amount, one.debtor.account, one.creditor.account)
    return replace(plain, **changes)


def question(**changes: Any) -> FateQuestion:
    """The enquiry after the sample payment."""
    return FateQuestion(sent(**changes))


def reference_of(number: int) -> str:
    """The reference of the bundle's line `number`."""
    return f"GW00000000000001{number:04d}"


def bundle(kind: Kind, amounts: Sequence[int], **changes: Any) -> Bundle:
    """Orders of one kind with these amounts in fen; references end in the line's number."""
    details: dict[Kind, Callable[[int], Detail]] = {
        Kind.BATCH_ITEM: lambda number: BatchItemDetail("B1", number),
        Kind.PAYROLL_ITEM: lambda number: PayrollItemDetail("B1", number),
        Kind.COLLECTION: lambda number: CollectionDetail("A1", "B1", number),
    }
    if kind is Kind.COLLECTION:
        changes = {
            "debtor": Party(AccountNumber(THEIRS), Name("示例丁")),
            "creditor": Party(AccountNumber(OURS), Name("示例甲公司")),
            **changes,
        }
    items = tuple(
        Item(order(details[kind](number), amount=Money(amount), id=f"ERP{number}", **changes), reference_of(number))
        for number, amount in enumerate(amounts, start=1)
    )
    return Bundle(kind, items)


def sent_bundle(given: Bundle, reference: str = REFERENCE) -> SentBundle:
    """The record of a bundle before it was sent."""
    return SentBundle(reference, TODAY, 1, (), tuple(sent(item.order, item.reference) for item in given.items))


def body(
    status: str, leaves: Mapping[str, str] = {}, rows: Sequence[Mapping[str, str]] | None = None, text: str = ""
) -> bytes:
    """An answer's XML, written out by hand from the bank's page."""
    head = "".join(f"<{tag}>{content}</{tag}>" for tag, content in leaves.items())
    lines = "".join(
        "<row>" + "".join(f"<{tag}>{content}</{tag}>" for tag, content in row.items()) + "</row>" for row in rows or ()
    )
    tail = "" if rows is None else f'<list name="userDataList">{lines}</list>'
    xml = f"<stream><status>{status}</status><statusText>{text}</statusText>{head}{tail}</stream>"
    return f'<?xml version="1.0" encoding="GBK"?>\n{xml}'.encode("gbk")


def answer(
    status: str, leaves: Mapping[str, str] = {}, rows: Sequence[Mapping[str, str]] | None = None, text: str = ""
) -> bytes:
    """`body` as an HTTP answer."""
    return http.answer(200, (), body(status, leaves, rows, text))


TAKEN: Mapping[str, str] = {
    "tranDate": "20250102",
    "tranTime": "101010",
    "tranNo": "",
    "payAccountNo": OURS,
    "recAccountNo": THEIRS,
    "recOpenBankName": "",
    "tranAmount": "10.00",
    "abstract": "货款",
}


def state(stt: str = "0", status: str = "AAAAAAA", outer: str = "AAAAAAA", text: str = "交易成功") -> bytes:
    """DLCIDSTT's answer, as in the real sample of the bank's usage rule."""
    return answer(outer, rows=[{"stt": stt, "status": status, "statusText": text}], text="交易成功")


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
    return frame.partition(b"\r\n\r\n")[2].decode("gb18030")


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: action or status, elements, and rows by their number."""
    root = etree.fromstring(content(frame).partition("?>")[2])
    shown: dict[str, str] = {}
    for child in root:
        if child.tag == "list":
            for number, row in enumerate(child, start=1):
                shown |= {f"{number}.{leaf.tag!s}": leaf.text or "" for leaf in row}
        else:
            shown[str(child.tag)] = child.text or ""
    return shown.get("action") or shown["status"], shown
