"""Balances, entries day by day, returns, probe: answers written by hand, and walks at the bank's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import Bank
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Direction, Line, Page, Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cmb.paper import (
    NUMBER,
    OURS,
    REFERENCE,
    THEIRS,
    TODAY,
    answer,
    bank,
    content,
    context,
    first_step,
    order,
    record,
    reference_of,
    stage,
    talk,
)
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(OURS)
DAY = timedelta(days=1)
Part = tuple[str, Mapping[str, str]]


def balance(*frames: bytes, on: date | None = None) -> Balance:
    ask = bank().questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT, on=on), context()), *frames)[0]


def page(*frames: bytes, asked: LinesQuestion | None = None, today: date = TODAY) -> Page:
    ask = bank().questions.lines
    assert ask is not None
    return talk(ask(asked or LinesQuestion(ACCOUNT, TODAY, TODAY), replace(context(), bank_date=today)), *frames)[0]


def walk(scene: BankAndTwin, first: date, last: date) -> list[Line]:
    ask = scene.bank.questions.lines
    assert ask is not None
    lines: list[Line] = []
    asked = LinesQuestion(ACCOUNT, first, last)
    while True:
        got = scene.talk(ask(asked, scene.context()))
        lines += got.lines
        if got.cursor is None:
            return lines
        asked = replace(asked, cursor=got.cursor)


# ---- balance -----------------------------------------------------------------------------------------------------

HELD = {
    "ACCBLV": "900.00",
    "ACCNBR": OURS,
    "AVLBLV": "880.00",
    "BBKNBR": "75",
    "CCYNBR": "10",
    "ERRCOD": "SUC0000",
    "HLDBLV": "120.00",
    "ONLBLV": "1000.00",
    "STSCOD": "A",
    "C_NEW": "x",
}


def held(**changes: str) -> bytes:
    return answer("NTQADINF", "0", ("NTQADINFZ", HELD | changes))


def test_a_balance_as_the_page_shows_it() -> None:
    assert balance(held()) == Balance(ACCOUNT, Money(100_000), Money(88_000), Money(12_000), Money(90_000))
    assert balance(held(ONLBLV="-1.50", HLDBLV="")).book == Money(-150)
    assert balance(held(HLDBLV="")).frozen is None


def test_an_answer_that_worked_may_still_refuse_the_account() -> None:
    with pytest.raises(Declined) as caught:
        balance(held(ERRCOD="ZZZ0001", ERRTXT="户口不存在"))
    assert (caught.value.code, caught.value.bank_text, caught.value.listed) == ("ZZZ0001", "户口不存在", False)


@pytest.mark.parametrize(
    "frame",
    [
        held(ACCNBR=THEIRS),
        held(ACCNBR=""),
        held(CCYNBR="32"),
        held(ONLBLV="1,000.00"),
        answer("NTQADINF", "0"),
        answer("NTQADINF", "0", ("NTQADINFZ", HELD), ("NTQADINFZ", HELD)),
    ],
)
def test_a_balance_that_cannot_be_ours_is_no_answer(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        balance(frame)


@pytest.mark.parametrize(
    ("code", "outcome", "listed"),
    [
        ("-5", "rate_limited", True),
        ("-4", "signed_out", True),
        ("-1", "retry", True),
        ("-2", "retry", True),
        ("-3", "failed", True),
        ("-7", "failed", True),
        ("-8", "retry", False),
    ],
)
def test_a_question_answered_with_a_code(code: str, outcome: str, listed: bool) -> None:
    with pytest.raises(Declined) as caught:
        balance(answer("NTQADINF", code, message="说明"))
    assert (caught.value.code, caught.value.outcome, caught.value.listed) == (code, outcome, listed)


def test_a_past_day_s_balance() -> None:
    day = TODAY - DAY
    rows = [
        ("NTQABINFZ", {"ACCNBR": OURS, "BALAMT": text, "TRSDAT": stamp})
        for stamp, text in (("20261122", "1.00"), ("20261123", "2.00"))
    ]
    assert balance(answer("SDKNTQABINF", "0", *rows), on=day).book == Money(200)
    with pytest.raises(ProtocolError):
        balance(answer("SDKNTQABINF", "0", rows[0]), on=day)
    scene = stage()
    ask = scene.bank.questions.balance
    assert ask is not None
    assert scene.talk(ask(BalanceQuestion(ACCOUNT, on=day), scene.context())).book == Money(100_000)


def test_today_is_asked_about_as_today() -> None:
    assert balance(held(), on=TODAY).book == Money(100_000)
    ask = bank().questions.balance
    assert ask is not None
    with pytest.raises(ProtocolError):
        next(ask(BalanceQuestion(ACCOUNT, "USD"), context()))


# ---- entries -----------------------------------------------------------------------------------------------------

ROW = {
    "AMTCDR": "D",
    "ETYDAT": "20261124",
    "ETYTIM": "101530",
    "NARYUR": "转账",
    "NUSAGE": "货款",
    "REFNBR": "K1",
    "RPYACC": THEIRS,
    "RPYNAM": "示例乙公司",
    "RPYBNK": "示例银行",
    "RSVFLG": "",
    "TRSAMT": "5.00",
    "TRSAMTC": "",
    "TRSAMTD": "5.00",
    "TRSBLV": "95.00",
    "VLTDAT": "20261124",
    "YURREF": REFERENCE,
}
END = {"COTFLG": "N", "CRTAMT": "0.00", "CRTNBR": "0", "DBTAMT": "5.00", "DBTNBR": "1", "TRSSEQ": "0"}


def entries(*rows: Mapping[str, str], **end: str) -> bytes:
    sums = {"DBTNBR": str(len(rows)), "DBTAMT": str(Money(500 * len(rows)))}
    return answer(
        "GetTransInfoEX", "0", *[("NTQTSINFZ", {**ROW, **one}) for one in rows], ("NTRBPTRSZ1", END | sums | end)
    )


def test_an_entry_with_everything_the_bank_says() -> None:
    [line] = page(entries({})).lines
    assert (line.bank_line_id, line.direction, line.amount, line.bank_date) == (
        "20261124-K1",
        Direction.DEBIT,
        Money(500),
        TODAY,
    )
    assert line.booked_at is not None
    assert (line.booked_at.hour, line.value_date, line.text, line.balance) == (10, TODAY, "转账 货款", Money(9_500))
    assert (line.reference, line.counterparty_bank) == (REFERENCE, "示例银行")
    assert line.counterparty_account == AccountNumber(THEIRS)


def test_a_day_without_entries_is_an_empty_page() -> None:
    for frame in (entries(), answer("GetTransInfoEX", "0")):
        assert page(frame) == Page(())


@pytest.mark.parametrize(
    "row",
    [
        {"REFNBR": ""},
        {"ETYDAT": "20261123"},
        {"ETYDAT": ""},
        {"AMTCDR": "X"},
        {"TRSAMT": "x"},
        {"TRSAMT": "-5.00", "TRSAMTD": "-5.00"},
        {"TRSAMTD": "5.01"},
        {"TRSAMTC": "5.00"},
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_and_hides_no_other(row: dict[str, str]) -> None:
    got = page(entries({}, row, {"REFNBR": "K2"}))
    assert [one.bank_line_id for one in got.lines] == ["20261124-K1", "20261124-K2"]
    assert (got.unread, len(got.findings)) == (1, 1) and "row 2 cannot be read" in got.findings[0]
    with pytest.raises(ProtocolError):
        page(entries({}, row, DBTNBR="3"))
    onward = page(entries(row, COTFLG="Y", TRSSEQ="0"))
    assert onward.lines == () and onward.cursor is not None


@pytest.mark.parametrize("stated", ["0.00", "0", "", "x"])
def test_a_balance_of_nothing_is_not_believed_and_no_balance_loses_an_entry(stated: str) -> None:
    [line] = page(entries({"TRSBLV": stated, "VLTDAT": "00000000"})).lines
    assert (line.balance, line.value_date, line.amount) == (None, None, Money(500))


@pytest.mark.parametrize(
    ("row", "end"),
    [
        ({}, {"DBTNBR": "2"}),
        ({}, {"DBTAMT": "5.01"}),
        ({}, {"CRTNBR": "1"}),
        ({}, {"CRTAMT": "1.00"}),
        ({}, {"COTFLG": ""}),
        ({}, {"COTFLG": "Y", "TRSSEQ": ""}),
    ],
)
def test_a_page_that_contradicts_itself_is_no_answer(row: dict[str, str], end: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        page(entries(row, **end))


def test_entries_without_their_end_are_no_answer() -> None:
    with pytest.raises(ProtocolError):
        page(answer("GetTransInfoEX", "0", ("NTQTSINFZ", ROW)))


def test_a_reversal_keeps_its_sign() -> None:
    row = {"TRSAMT": "-5.00", "TRSAMTD": "-5.00", "RSVFLG": "*"}
    assert page(entries(row, DBTAMT="-5.00")).lines[0].amount == Money(-500)


@pytest.mark.parametrize(
    ("flag", "side", "text", "reversal"),
    [
        ("*", "D", "冲账 货款 货款", True),
        ("*", "C", "冲账 货款 货款", True),
        ("X", "D", "补账 货款 货款", False),
        ("", "D", "货款 货款", False),
        ("N", "D", "货款 货款", False),
    ],
)
def test_an_entry_that_the_bank_takes_back_is_marked_for_its_reader(
    flag: str, side: str, text: str, reversal: bool
) -> None:
    row = {"RSVFLG": flag, "AMTCDR": side, "TRSAMTD": "", "TRSAMTC": "", "NARYUR": "货款", "NUSAGE": "货款"}
    sums = {"CRTNBR": "1", "CRTAMT": "5.00", "DBTNBR": "0", "DBTAMT": "0.00"} if side == "C" else {}
    [line] = page(entries(row, **sums)).lines
    assert (line.text, line.reversal, line.reference) == (text, reversal, REFERENCE)


def test_a_reversed_payment_is_marked_beside_its_booking() -> None:
    scene = stage({"reverses": True}, BookingRules(return_s=60))
    pay = scene.bank.money[Kind.PAYMENT]
    scene.talk(pay(order(purpose="#return"), scene.context(REFERENCE)))
    scene.time.later(61)
    ask = scene.bank.questions.lines
    assert ask is not None
    booked, back = scene.talk(ask(LinesQuestion(AccountNumber(OURS), TODAY, TODAY), scene.context())).lines
    assert (booked.direction, booked.reversal, booked.reference) == (Direction.DEBIT, False, REFERENCE)
    assert (back.direction, back.reversal, back.reference) == (Direction.CREDIT, True, REFERENCE)
    assert back.text.startswith("冲账")


def test_two_entries_under_one_number_are_two() -> None:
    lines = page(entries({}, {}, {"REFNBR": "K2"})).lines
    assert [(one.bank_line_id, one.occurrence) for one in lines] == [
        ("20261124-K1", 0),
        ("20261124-K1", 1),
        ("20261124-K2", 0),
    ]


def test_the_count_of_one_number_goes_on_over_the_page_s_edge() -> None:
    first = page(entries({}, {}, COTFLG="Y", TRSSEQ="1"))
    second = page(entries({}), asked=LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor))
    assert second.lines[0].occurrence == 2


def test_a_place_that_does_not_move_on_is_seen() -> None:
    first = page(entries({}, COTFLG="Y", TRSSEQ="3"))
    again = LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor)
    with pytest.raises(ProtocolError) as caught:
        page(entries({}, COTFLG="Y", TRSSEQ="3"), asked=again)
    assert caught.value.reason == "paging"
    with pytest.raises(ProtocolError):
        page(entries(COTFLG="Y", TRSSEQ="4"), asked=again)


def test_a_walk_takes_every_entry_of_every_day_once() -> None:
    scene = stage({"page_lines": 3})
    pay(scene, 5)
    scene.time.later(86_400)
    pay(scene, 4, start=5)
    scene.time.later(86_400)
    lines = walk(scene, TODAY - DAY, TODAY + 9 * DAY)
    assert [one.amount.minor for one in lines] == [100 * n for n in range(1, 10)]
    assert [one.reference for one in lines] == [reference_of(n) for n in range(1, 10)]
    assert len({(one.bank_line_id, one.occurrence) for one in lines}) == 9


def test_a_day_that_grows_during_the_walk_loses_and_repeats_nothing() -> None:
    scene = stage({"page_lines": 3})
    pay(scene, 4)
    ask = scene.bank.questions.lines
    assert ask is not None
    asked = LinesQuestion(ACCOUNT, TODAY, TODAY)
    first = scene.talk(ask(asked, scene.context()))
    pay(scene, 2, start=4)
    second = scene.talk(ask(replace(asked, cursor=first.cursor), scene.context()))
    assert [one.amount.minor for one in (*first.lines, *second.lines)] == [100, 200, 300, 400, 500, 600]
    assert second.cursor is None


def pay(scene: BankAndTwin, count: int, start: int = 0) -> None:
    for number in range(start + 1, start + count + 1):
        wanted = order(amount=Money(100 * number))
        scene.talk(scene.bank.money[Kind.PAYMENT](wanted, scene.context(reference_of(number))))


def test_today_and_the_past_are_never_in_one_question() -> None:
    scene = stage()
    walk(scene, TODAY - 3 * DAY, TODAY)
    days = [content(said.request).partition("<TRSDAT>")[2][:8] for said in scene.said]
    assert days == ["20261121", "20261122", "20261123", "20261124"]


@pytest.mark.parametrize("cursor", ["x", "", "W10"])
def test_a_cursor_of_another_question_is_refused(cursor: str) -> None:
    first = page(entries({}, COTFLG="Y", TRSSEQ="0"))
    for stale in (cursor, first.cursor):
        with pytest.raises(ProtocolError):
            page(asked=LinesQuestion(ACCOUNT, TODAY - DAY, TODAY, cursor=stale))


# ---- returns and probe -------------------------------------------------------------------------------------------


def all_returns(adapter: Bank, scene: BankAndTwin, first: date, last: date) -> list[Return]:
    ask = adapter.questions.returns
    assert ask is not None
    found: list[Return] = []
    asked = ReturnsQuestion(ACCOUNT, first, last)
    while True:
        got: ReturnsPage = scene.talk(ask(asked, scene.context()))
        found += got.returns
        if got.cursor is None:
            return found
        asked = replace(asked, cursor=got.cursor)


def test_what_came_back_is_told_with_day_and_reason() -> None:
    scene = stage(conduct=BookingRules(return_s=2 * 86_400))
    scene.talk(scene.bank.money[Kind.PAYMENT](order(purpose="#return"), scene.context(REFERENCE)))
    pay(scene, 1)
    assert all_returns(scene.bank, scene, TODAY, TODAY) == []
    scene.time.later(3 * 86_400)
    back = TODAY + 2 * DAY
    wanted = [Return(REFERENCE, Money(12_345), back, "returned_by_payee_bank")]
    assert all_returns(scene.bank, scene, back, back) == wanted
    assert all_returns(scene.bank, scene, back + DAY, back + DAY) == []


def test_returns_are_asked_in_weeks_and_under_each_code() -> None:
    ask = bank(transfer_code="N02041").questions.returns
    assert ask is not None
    asked, spans, cursor = ReturnsQuestion(ACCOUNT, TODAY - 10 * DAY, TODAY), [], None
    while True:
        got, [request] = talk(ask(replace(asked, cursor=cursor), context()), answer("NTQRYSTN", "0"))
        xml = content(request)
        spans.append(tuple(xml.partition(f"<{tag}>")[2].partition("<")[0] for tag in ("BUSCOD", "BGNDAT", "ENDDAT")))
        cursor = got.cursor
        if cursor is None:
            break
    weeks = [("20261107", "20261113"), ("20261114", "20261120"), ("20261121", "20261124")]
    assert spans == [(code, *week) for code in ("N02031", "N02041") for week in weeks]


def test_other_accounts_and_other_endings_are_no_returns() -> None:
    ask = bank().questions.returns
    assert ask is not None
    rows = [
        record(RTNFLG="S"),
        record(RTNFLG="B", DBTACC=THEIRS),
        record(REQSTS="BNK", RTNFLG="B"),
        record(RTNFLG="T", REQNBR=""),
    ]
    asked: Any = ReturnsQuestion(ACCOUNT, TODAY, TODAY)
    got, _ = talk(ask(asked, context()), answer("NTQRYSTN", "0", *rows))
    assert got.returns == (Return(REFERENCE, Money(12_345), None),)
    detail = "NTQPAYQYZ", {"REQNBR": NUMBER, "YURREF": "GW000000000000000002", "RTNDAT": "20261124"}
    with pytest.raises(ProtocolError):
        talk(ask(asked, context()), answer("NTQRYSTN", "0", record(RTNFLG="B")), answer("NTSTLINF", "0", detail))


def test_a_payment_that_came_back_is_found_beside_records_that_cannot_be_read() -> None:
    ask = bank().questions.returns
    assert ask is not None
    asked: Any = ReturnsQuestion(ACCOUNT, TODAY, TODAY)
    odd = [record(DBTACC=""), record(REQSTS=""), record(RTNFLG="B", TRSAMT="x"), record(RTNFLG="B", YURREF="")]
    detail = "NTQPAYQYZ", {"REQNBR": NUMBER, "YURREF": REFERENCE, "RTNDAT": "2026", "RTNNAR": "账号不符"}
    listed = answer("NTQRYSTN", "0", *odd[:2], record(RTNFLG="B"), *odd[2:])
    got, _ = talk(ask(asked, context()), listed, answer("NTSTLINF", "0", detail))
    assert got.returns == (Return(REFERENCE, Money(12_345), None, "账号不符"),)
    assert len(got.findings) == 4
    got, _ = talk(ask(asked, context()), listed, answer("NTSTLINF", "-2", message="无此权限"))
    assert [one.reference for one in got.returns] == [REFERENCE]
    with pytest.raises(Declined):
        talk(ask(asked, context()), listed, answer("NTSTLINF", "-5"))


def test_the_twin_s_odd_rows_hide_neither_an_entry_nor_a_return() -> None:
    scene = stage({"odd_row": True, "zero_balances": True}, BookingRules(return_s=60))
    for number in (1, 2, 3):
        wanted = order(purpose="#return" if number == 3 else "货款", amount=Money(100 * number))
        scene.talk(scene.bank.money[Kind.PAYMENT](wanted, scene.context(reference_of(number))))
    assert [one.amount.minor for one in walk(scene, TODAY, TODAY)] == [100, 300]
    assert {one.balance for one in walk(scene, TODAY, TODAY)} == {None}
    scene.time.later(3_600)
    assert [one.reference for one in all_returns(scene.bank, scene, TODAY, TODAY)] == [reference_of(3)]


def test_keys_are_the_same_on_the_day_and_later() -> None:
    scene = stage({"page_lines": 2})
    pay(scene, 5)
    today = {one.bank_line_id: (one.occurrence, one.amount) for one in walk(scene, TODAY, TODAY)}
    scene.time.later(86_400)
    assert {one.bank_line_id: (one.occurrence, one.amount) for one in walk(scene, TODAY, TODAY)} == today
    assert len(today) == 5


def test_the_probe_asks_for_nothing_but_a_list() -> None:
    probe = bank().sessions.probe
    assert "<FUNNAM>ListMode</FUNNAM>" in content(first_step(probe(context())).data)
    talk(probe(context()), answer("ListMode", "0"))
    with pytest.raises(Declined) as caught:
        talk(probe(context()), answer("ListMode", "-4"))
    assert caught.value.outcome == "signed_out"
