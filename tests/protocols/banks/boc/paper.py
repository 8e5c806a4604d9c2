"""The adapter and the bank's side with the simulator's books, and messages written by hand from the bank's page."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lxml import etree

from gateway.simbank.ledger import BookingRules, Ledger, LedgerAccount
from protocols.bank import Ask, Bank, Context, Submit
from protocols.banks import boc
from protocols.banks.boc import twin
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, BatchItemDetail, Bundle, Detail, Item, Kind, Order, PaymentDetail
from protocols.canon.party import AccountNumber, Name, Party
from protocols.canon.query import FateQuestion, Sent, SentBundle
from protocols.kit import http
from tests.world.dialogue import NOON, BankAndTwin, BankTime

R = TypeVar("R")
TODAY = NOON.date()
OURS, THEIRS = "0000000000000000017", "0000000000000000025"
REFERENCE, TOKEN, PASSWORD = "GW2601050001", "0123456789abcdef0123456789abcdef", "demo-only"
NUMBER, SECOND = "20261124120000001", "20261124120000002"
"""trnid of the first two messages in a `context`."""
OPTIONS: Mapping[str, Any] = {
    "terminal": "E192168001010",
    "customer": "100000001",
    "operator": "200000001",
    "branch": "40000",
    "probe_account": OURS,
    "persons": True,
}
CODES = {"duplicate": ["TW01"], "refused": ["TW02"], "empty": ["TW03"], "not_found": ["TW04"]}


def bank(**options: Any) -> Bank:
    """The adapter under test."""
    return boc.build({**OPTIONS, **options})


def stage(
    side: Mapping[str, Any] | None = None,
    conduct: BookingRules = BookingRules(),
    accounts: Sequence[LedgerAccount] = (),
    signed_on: bool = True,
    **options: Any,
) -> BankAndTwin:
    """Adapter and bank's side connected; `side` are the twin's options, `options` the adapter's."""
    time = BankTime()
    given = accounts or (LedgerAccount(OURS, "甲公司", Money(100_000)),)
    other = twin.build({"password": PASSWORD, **(side or {})}, {})
    made = BankAndTwin(
        bank(**options), other, Ledger(time.now_ms, given, conduct), time, credentials={"password": PASSWORD}
    )
    if signed_on:
        made.sign_on()
        made.said.clear()
    return made


SIMPLE: Detail = PaymentDetail()


def order(detail: Detail = SIMPLE, **changes: Any) -> Order[Any]:
    """A payment to another bank."""
    sample: Order[Any] = Order(
        "ERP0001",
        Party(AccountNumber(OURS), Name("甲公司")),
        Party(AccountNumber(THEIRS), Name("乙公司"), "中国银行某支行", "104100000004"),
        Money(12_345),
        detail,
        purpose="货款",
    )
    return replace(sample, **changes)


def context(reference: str = REFERENCE, token: str = TOKEN) -> Context:
    """A conversation's context, as a lane makes it."""
    return Context(reference, 1, TODAY, NOON, (2001, 2002), {"password": PASSWORD}, {"token": token} if token else {})


def sent(given: AnyOrder | None = None, reference: str = REFERENCE, **changes: Any) -> Sent:
    """The record of an order before it was sent."""
    one = given or order()
    plain = Sent(reference, TODAY, 1, ("b2e0009",), one.amount, one.debtor.account, one.creditor.account)
    return replace(plain, **changes)


def question(**changes: Any) -> FateQuestion:
    """The enquiry after the sample payment."""
    return FateQuestion(sent(**changes))


def reference_of(number: int) -> str:
    """The reference of the bundle's line `number`."""
    return f"GW26010500{number:02d}"


def bundle(amounts: Sequence[int], **changes: Any) -> Bundle:
    """A batch with these amounts in fen; references end in the line's number."""
    items = tuple(
        Item(order(BatchItemDetail("B1", n), amount=Money(amount), id=f"ERP{n}", **changes), reference_of(n))
        for n, amount in enumerate(amounts, start=1)
    )
    return Bundle(Kind.BATCH_ITEM, items)


def sent_bundle(given: Bundle, reference: str = REFERENCE) -> SentBundle:
    """The record of a bundle before it was sent."""
    return SentBundle(reference, TODAY, 1, (), tuple(sent(item.order, item.reference) for item in given.items))


def row(code: str | None = "B001", inner: str = "", text: str = "OK") -> str:
    """The content of a row of an answer: its status and further elements."""
    status = "" if code is None else f"<status><rspcod>{code}</rspcod><rspmsg>{text}</rspmsg></status>"
    return status + inner


def named(reference: str = REFERENCE, code: str = "B001", inner: str = "") -> str:
    """A row of b2e0009 or b2e0007."""
    return row(code, f"<insid>{reference}</insid><obssid>88886</obssid>{inner}")


def document(code: str, status: str, *rows: str, before: str = "", head: str = "", number: str = NUMBER) -> str:
    """An answer's XML, written out by hand from the bank's page; trnid is echoed."""
    each = "".join(f"<{code}-rs>{one}</{code}-rs>" for one in rows)
    return (
        f'<bocb2e version="120" locale="zh_CN"><head><termid>E192168001010</termid><trnid>{number}</trnid>'
        f"<custid>100000001</custid><cusopr>200000001</cusopr><trncod>{code}</trncod><token>{TOKEN}</token>{head}</head>"
        f"<trans><trn-{code}-rs>{row(status)}{before}{each}</trn-{code}-rs></trans></bocb2e>"
    )


def framed(xml: str, label: str = "UTF-8", codec: str = "utf-8") -> bytes:
    """A document as the body of an HTTP answer."""
    return http.answer(200, (), f'<?xml version="1.0" encoding="{label}"?>\n{xml}'.encode(codec))


def answer(code: str, status: str, *rows: str, before: str = "", number: str = NUMBER) -> bytes:
    """The HTTP answer with the XML that `document` writes."""
    return framed(document(code, status, *rows, before=before, number=number))


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
    """The XML of an HTTP request or answer in UTF-8."""
    return frame.partition(b"\r\n\r\n")[2].decode()


def show(frame: bytes) -> tuple[str, Mapping[str, str]]:
    """A frame as a bank's engineer reads it: trncod, the head, the message's own elements, rows by their number.

    What the first row has is also shown without a number, but for its status.
    """
    root = etree.fromstring(frame.partition(b"\r\n\r\n")[2])
    shown = {f"head.{one.tag!s}": one.text or "" for one in root.iterfind("head/*")}
    code, number = shown["head.trncod"], 0
    for part in root.iterfind("trans/*/*"):
        if str(part.tag).startswith(f"{code}-r"):
            number += 1
            leaves = dict(_leaves(part))
            shown |= {f"{number}.{key}": text for key, text in leaves.items()}
            if number == 1:
                shown = {key: text for key, text in leaves.items() if key != "rspcod"} | shown
        else:
            shown |= {key.removeprefix("status."): text for key, text in _leaves(part, f"{part.tag!s}.")}
    return code, shown


def _leaves(element: etree._Element, prefix: str = "") -> list[tuple[str, str]]:
    if not len(element):
        return [(prefix.rstrip("."), element.text or "")]
    return [
        pair
        for child in element
        for pair in _leaves(child, prefix + ("" if child.tag == "status" else f"{child.tag!s}."))
    ]
