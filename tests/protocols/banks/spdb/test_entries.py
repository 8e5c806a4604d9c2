"""8924 against messages written by hand from a public client's model of them, and whole walks against the twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.simbank.ledger import CHINA
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Direction, Line, Page
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.twin import Instruction
from tests.protocols.banks.spdb.paper import (
    ASKED,
    CREDITOR,
    DEBTOR,
    TODAY,
    bank,
    body_of,
    context,
    done,
    leaves,
    refused,
    stage,
    steps,
    talk,
)
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(DEBTOR)
DAY = timedelta(days=1)
TODAY_TEXT = f"{TODAY:%Y%m%d}"
ROW = {
    "voucherNo": "",
    "seqNo": "A1",
    "txAmount": "1.50",
    "balance": "98.50",
    "tranFlag": "0",
    "transDate": TODAY_TEXT,
    "transTime": "91223",
    "note": "货款",
    "remark": "示例营业部",
    "payeeBankNo": "",
    "payeeBankName": "示例银行",
    "payeeAcctNo": CREDITOR,
    "payeeName": "乙公司",
}


def told(*rows: dict[str, str], **head: str) -> bytes:
    fields = {"totalCount": str(len(rows)), "acctNo": DEBTOR, "acctName": "甲公司", "currency": "01", **head}
    lists = "".join(f"<list>{leaves({**ROW, **one})}</list>" for one in rows)
    return done("8924", ASKED, f'{leaves(fields)}<lists name="HistoryList">{lists}</lists>')


def page(answer: bytes, cursor: str | None = None) -> Page:
    ask = bank().questions.lines
    assert ask is not None
    return talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=cursor), context()), answer)


def test_what_is_asked() -> None:
    ask = bank().questions.lines
    assert ask is not None
    first = steps(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), context()))[0]
    asked = {
        "acctNo": DEBTOR,
        "beginDate": TODAY_TEXT,
        "endDate": TODAY_TEXT,
        "queryNumber": "20",
        "beginNumber": "1",
        "transAmount": "",
        "subAccount": "",
        "subAcctName": "",
    }
    assert body_of(first) == f"<body>{leaves(asked)}</body>"
    with pytest.raises(ProtocolError):
        next(ask(LinesQuestion(ACCOUNT, TODAY, TODAY, "USD"), context()))


def test_a_row_field_by_field() -> None:
    assert page(told({})) == Page(
        (
            Line(
                ACCOUNT,
                f"{TODAY_TEXT}-A1",
                Direction.DEBIT,
                Money(150),
                TODAY,
                booked_at=datetime(TODAY.year, TODAY.month, TODAY.day, 9, 12, 23, tzinfo=CHINA),
                counterparty_account=AccountNumber(CREDITOR),
                counterparty_name=Name("乙公司"),
                counterparty_bank="示例银行",
                text="货款 示例营业部",
                balance=Money(9_850),
            ),
        )
    )
    [line] = page(told({"tranFlag": "1", "seqNum": "2", "balance": "0.00", "transTime": "x"})).lines
    assert (line.direction, line.bank_line_id) == (Direction.CREDIT, f"{TODAY_TEXT}-A1-2")
    assert (line.balance, line.booked_at) == (None, None)


@pytest.mark.parametrize(
    "row",
    [
        {"tranFlag": "9"},
        {"tranFlag": ""},
        {"seqNo": ""},
        {"txAmount": "-1.50"},
        {"txAmount": "1.505"},
        {"transDate": "20260104"},
        {"transDate": ""},
    ],
)
def test_a_row_that_cannot_be_read_hides_no_other(row: dict[str, str]) -> None:
    said = page(told({}, row, {"seqNo": "A2"}))
    assert [one.bank_line_id for one in said.lines] == [f"{TODAY_TEXT}-A1", f"{TODAY_TEXT}-A2"]
    assert said.unread == 1 and "row 2 cannot be read" in said.findings[0]


def test_a_page_of_rows_that_cannot_be_read_does_not_hide_the_next_one() -> None:
    first = page(told(*[{"tranFlag": "9"}] * 20, totalCount="21"))
    assert (first.lines, first.unread) == ((), 20) and first.cursor is not None
    ask = bank().questions.lines
    assert ask is not None
    asked = steps(ask(LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor), context()))[0]
    assert "<beginNumber>21</beginNumber>" in body_of(asked)
    last = page(told({}, totalCount="21"), first.cursor)
    assert len(last.lines) == 1 and last.cursor is None


@pytest.mark.parametrize(
    "answer",
    [
        told({}, acctNo=CREDITOR),
        told({}, currency="14"),
        told({}, totalCount="0"),
        told({}, totalCount="x"),
        told(*[{}] * 21),
        told(totalCount="1"),
    ],
)
def test_a_page_that_cannot_be_whole_or_ours_is_no_answer(answer: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        page(answer)
    assert not isinstance(caught.value, Declined)


def test_nothing_is_an_empty_page_and_a_code_is_declined() -> None:
    assert page(refused("8924", ASKED, "EGG0521", "已无符合条件的记录")) == page(told()) == Page(())
    with pytest.raises(Declined):
        page(refused("8924", ASKED, "EYY9994", "签名校验错误"))


def test_rows_of_one_number_are_counted_on_over_a_page_s_edge() -> None:
    first = page(told(*[{"seqNo": f"A{n}"} for n in range(18)], {}, {}, totalCount="21"))
    second = page(told({}, totalCount="21"), first.cursor)
    assert [one.occurrence for one in (*first.lines[-2:], *second.lines)] == [1, 2, 3]


# ---- walks ----


def walk(scene: BankAndTwin, days: int = 0, after: Callable[[], None] = lambda: None) -> list[Line]:
    ask = scene.bank.questions.lines
    assert ask is not None
    today = scene.time.now.date()
    asked, lines = LinesQuestion(ACCOUNT, today - days * DAY, today), list[Line]()
    while True:
        got: Page = scene.talk(ask(asked, scene.context()))
        lines += got.lines
        if got.cursor is None:
            return lines
        after()
        asked = replace(asked, cursor=got.cursor)


def pay(scene: BankAndTwin, count: int) -> None:
    before = len(scene.ledger.executions)
    for n in range(before, before + count):
        scene.ledger.book_once(Instruction(f"{n:020d}", DEBTOR, CREDITOR, "乙公司", Money(n + 1), "货款"))


def test_every_entry_of_every_day_is_told_once() -> None:
    scene = stage()
    pay(scene, 25)
    scene.time.later(86_400)
    pay(scene, 20)
    scene.time.later(86_400)
    pay(scene, 3)
    lines = walk(scene, 2)
    assert [one.amount.minor for one in lines] == list(range(1, 49))
    assert len({(one.bank_line_id, one.occurrence) for one in lines}) == 48


def test_a_day_that_grows_during_the_walk_loses_nothing() -> None:
    scene = stage()
    pay(scene, 20)
    grown: list[bool] = []

    def grow() -> None:
        if not grown:
            grown.append(True)
            pay(scene, 5)

    pay(scene, 1)
    assert [one.amount.minor for one in walk(scene, 0, grow)] == list(range(1, 27))


def test_keys_are_the_same_on_the_day_and_later() -> None:
    scene = stage()
    pay(scene, 4)
    today = {one.bank_line_id: one.amount for one in walk(scene)}
    scene.time.later(86_400)
    assert {one.bank_line_id: one.amount for one in walk(scene, 1)} == today


def test_the_twin_s_odd_entry_hides_no_other_and_no_zero_balance_is_believed() -> None:
    scene = stage(["odd_entry", "zero_balances"])
    pay(scene, 3)
    lines = walk(scene)
    assert [one.amount.minor for one in lines] == [1, 3] and {one.balance for one in lines} == {None}


def test_a_cursor_of_another_question_is_refused() -> None:
    scene = stage()
    pay(scene, 21)
    ask = scene.bank.questions.lines
    assert ask is not None
    cursor = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).cursor
    assert cursor is not None
    for question in (
        LinesQuestion(ACCOUNT, TODAY - DAY, TODAY, cursor=cursor),
        LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=f"{cursor}x"),
    ):
        with pytest.raises(ProtocolError):
            next(ask(question, scene.context()))
