"""QACCBAL, QPD and QHISD against messages written by hand from the bank's page, and whole walks against the twin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest

from gateway.simbank.ledger import CHINA
from protocols.bank import Ask
from protocols.banks.icbc import twin
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.twin import Instruction
from tests.protocols.banks.icbc.paper import (
    CREDITOR,
    DEBTOR,
    NOW,
    TODAY,
    bank,
    context,
    http_answer,
    leaves,
    message,
    stage,
    steps,
    talk,
)
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(DEBTOR)
NUMBER = "Q000000000007"
YESTERDAY = TODAY - timedelta(days=1)
STAMP = "2020-10-23-09.37.06.362410"


def document(step: Any) -> str:
    return str(step.data.partition(b"\r\n\r\n")[2].decode())


# ---- balance ----


def balance_row(**changes: str) -> str:
    """The row of the page's balance answer."""
    return (
        "<rd>"
        + leaves(
            {
                "iSeqno": "1",
                "AccNo": DEBTOR,
                "CurrType": "001",
                "CashExf": "0",
                "AcctProperty": "001",
                "AccBalance": "50000000",
                "Balance": "27560000",
                "UsableBalance": "27550000",
                "FrzAmt": "10000",
                "QueryTime": "20260105101500123456",
                "iRetCode": "0",
                "iRetMsg": "",
                "RepReserved3": "",
                "RepReserved4": "",
                **changes,
            }
        )
        + "</rd>"
    )


def balance(*rows: str, **pub: str) -> Balance:
    ask = bank().questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT), context("")), message("QACCBAL", NUMBER, "".join(rows), **pub))


QUESTION = (
    '<?xml version="1.0" encoding="GBK"?><CMS><eb><pub><TransCode>QACCBAL</TransCode><CIS>40009000-5ABCDE</CIS>'
    "<BankCode>102</BankCode><ID>demo.y.4000</ID><TranDate>20260105</TranDate><TranTime>101600123</TranTime>"
    f"<fSeqno>{NUMBER}</fSeqno></pub><in><TotalNum>1</TotalNum><BLFlag>0</BLFlag><SynFlag>0</SynFlag><ReqReserved1/>"
    f"<ReqReserved2/><rd><iSeqno>1</iSeqno><AccNo>{DEBTOR}</AccNo><CurrType>001</CurrType><ReqReserved3/>"
    "<ReqReserved4/><AcctSeq/><MainAcctNo/></rd></in></eb></CMS>"
)


def test_the_page_s_balance_question_byte_for_byte_and_unsigned() -> None:
    ask = bank().questions.balance
    assert ask is not None
    [step] = steps(ask(BalanceQuestion(ACCOUNT), context("")))
    assert isinstance(step, Ask) and step.port == "business"
    assert parse_qs(document(step))["reqData"] == [QUESTION]
    assert f"PackageID={NUMBER}&".encode() in step.data.splitlines()[0]


def previous(days: int = 1, offered: bool = True, **changes: str) -> Balance:
    ask = bank(previous_balance=offered).questions.balance
    assert ask is not None
    asked = BalanceQuestion(ACCOUNT, on=TODAY - timedelta(days=days))
    return talk(ask(asked, context("")), message("QACCBAL", NUMBER, balance_row(**changes)))


def test_yesterday_s_balance_is_the_one_that_the_bank_calls_previous() -> None:
    assert previous() == Balance(ACCOUNT, Money(50_000_000), None)
    assert bank(previous_balance=True).profile.past_balance_days == 1 and bank().profile.past_balance_days == 0


@pytest.mark.parametrize(
    ("days", "offered", "changes"),
    [
        (2, True, {}),
        (1, False, {}),
        (1, True, {"QueryTime": "20260104235959000000"}),
        (1, True, {"QueryTime": ""}),
        (1, True, {"QueryTime": "odd"}),
        (1, True, {"AccBalance": ""}),
        (1, True, {"AccBalance": "1.00"}),
    ],
)
def test_another_day_or_what_is_not_clear_is_no_past_balance(days: int, offered: bool, changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        previous(days, offered, **changes)


def test_a_balance_as_the_page_shows_it() -> None:
    assert balance(balance_row()) == Balance(
        ACCOUNT,
        Money(27_560_000),
        Money(27_550_000),
        Money(10_000),
        Money(50_000_000),
        datetime(2026, 1, 5, 10, 15, tzinfo=CHINA),
    )
    below = balance(balance_row(Balance="-1", FrzAmt="", AccBalance="", QueryTime="odd"))
    assert (below.book, below.frozen, below.previous_day, below.as_of) == (Money(-1), None, None, None)


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (balance_row(), balance_row()),
        (balance_row(AccNo=CREDITOR),),
        (balance_row(AccNo=""),),
        (balance_row(CurrType="014"),),
        (balance_row(Balance="275600.00"),),
        (balance_row(Balance="+1"),),
        (balance_row(Balance="1e5"),),
    ],
)
def test_a_balance_that_cannot_be_ours_is_no_answer(rows: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError) as caught:
        balance(*rows)
    assert not isinstance(caught.value, Declined)


def test_a_question_answered_with_a_code() -> None:
    ask = bank().questions.balance
    assert ask is not None
    for said, code, listed in [
        (message("QACCBAL", NUMBER, "", RetCode="X1", RetMsg="无权"), "X1", False),
        (message("QACCBAL", NUMBER, balance_row(iRetCode="X2")), "X2", False),
        (http_answer(b"errorCode=40418"), "40418", True),
    ]:
        with pytest.raises(Declined) as caught:
            talk(ask(BalanceQuestion(ACCOUNT), context("")), said)
        assert (caught.value.code, caught.value.outcome, caught.value.listed) == (code, "retry", listed)


def test_only_renminbi_and_only_now() -> None:
    ask, lines = bank().questions.balance, bank().questions.lines
    assert ask is not None and lines is not None
    with pytest.raises(ProtocolError):
        next(ask(BalanceQuestion(ACCOUNT, "USD"), context("")))
    with pytest.raises(ProtocolError):
        next(ask(BalanceQuestion(ACCOUNT, on=YESTERDAY), context("")))
    with pytest.raises(ProtocolError):
        next(lines(LinesQuestion(ACCOUNT, TODAY, TODAY, "USD"), context("")))


def test_the_probe_needs_a_good_answer() -> None:
    probe = bank().sessions.probe
    talk(probe(context("")), message("QACCBAL", NUMBER, balance_row()))
    with pytest.raises(Declined):
        talk(probe(context("")), message("QACCBAL", NUMBER, balance_row(iRetCode="X1")))


# ---- entries ----


def today_row(**changes: str) -> str:
    """A row of a QPD answer."""
    return (
        "<rd>"
        + leaves(
            {
                "Drcrf": "1",
                "VouhNo": "0",
                "Amount": "12345",
                "RecipAccNo": CREDITOR,
                "RecipName": "乙公司",
                "Summary": "转账",
                "UseCN": "货款",
                "PostScript": "",
                "Ref": "R1",
                "TimeStamp": STAMP,
                "TradeDate": "20260105",
                "RecBankName": "示例银行",
                "OnlySequence": "77",
                "ValueDate": "20260105",
                **changes,
            }
        )
        + "</rd>"
    )


def past_row(**changes: str) -> str:
    """A row of a QHISD answer. Its time stamp has another day than its date, as in the real sample."""
    return (
        "<rd>"
        + leaves(
            {
                "Drcrf": "2",
                "DebitAmount": "",
                "CreditAmount": "12345",
                "Balance": "990000",
                "RecipBkName": "示例银行",
                "RecipAccNo": CREDITOR,
                "RecipName": "乙公司",
                "UseCN": "货款",
                "Date": "20260104",
                "Time": STAMP,
                "OnlySequence": "78",
                "RefundMsg": "",
                **changes,
            }
        )
        + "</rd>"
    )


def head(past: bool, **changes: str) -> str:
    fields = {"AccNo": DEBTOR, "CurrType": "RMB" if past else "001", "NextTag": "", "TotalNum": "1"}
    if past:
        fields |= {"BeginDate": "20260104", "EndDate": "20260104"}
    return leaves({**fields, **changes})


def page(*rows: str, past: bool = False, code: str = "0", **changes: str) -> Page:
    day, operation = (YESTERDAY, "QHISD") if past else (TODAY, "QPD")
    said = message(operation, NUMBER, head(past, **changes) + "".join(rows), RetCode=code)
    lines = bank(codes={"empty": ["E1"]}, reference_in_ref=not past).questions.lines
    assert lines is not None
    return talk(lines(LinesQuestion(ACCOUNT, day, day), context("")), said)


def test_a_row_of_today_field_by_field() -> None:
    assert page(today_row()) == Page(
        (
            Line(
                ACCOUNT,
                "20260105-77",
                Direction.DEBIT,
                Money(12_345),
                TODAY,
                booked_at=datetime(2020, 10, 23, 9, 37, 6, 362_410, tzinfo=CHINA),
                value_date=TODAY,
                counterparty_account=AccountNumber(CREDITOR),
                counterparty_name=Name("乙公司"),
                counterparty_bank="示例银行",
                text="转账 货款",
                reference="R1",
            ),
        ),
        host_date=TODAY,
    )


def test_a_row_of_the_past_field_by_field() -> None:
    assert page(past_row(RefundMsg="退汇"), past=True) == Page(
        (
            Line(
                ACCOUNT,
                "20260104-78",
                Direction.CREDIT,
                Money(12_345),
                YESTERDAY,
                booked_at=datetime(2020, 10, 23, 9, 37, 6, 362_410, tzinfo=CHINA),
                counterparty_account=AccountNumber(CREDITOR),
                counterparty_name=Name("乙公司"),
                counterparty_bank="示例银行",
                text="货款 退汇",
                balance=Money(990_000),
            ),
        )
    )


def test_what_a_row_may_leave_out() -> None:
    [line] = page(today_row(OnlySequence="", TradeDate="", RecipAccNo="", RecipName="", Ref="")).lines
    assert (line.bank_line_id, line.bank_date, line.counterparty_account) == (f"20260105-{STAMP}", TODAY, None)
    assert line.reference is None
    [line] = page(past_row(Date="2026-01-04", DebitAmount="0"), past=True).lines
    assert line.bank_date == YESTERDAY


@pytest.mark.parametrize(
    ("past", "row"),
    [
        (False, today_row(Drcrf="3")),
        (False, today_row(Drcrf="")),
        (False, today_row(Amount="")),
        (False, today_row(Amount="123.45")),
        (False, today_row(Amount="-1")),
        (False, today_row(TradeDate="20260104")),
        (False, today_row(OnlySequence="", TimeStamp="")),
        (True, past_row(DebitAmount="12345")),
        (True, past_row(Drcrf="1")),
        (True, past_row(CreditAmount="")),
        (True, past_row(Date="20260103")),
        (True, past_row(Date="20260105")),
        (True, past_row(Date="")),
    ],
)
def test_a_row_that_contradicts_itself_or_the_question_is_left_out_and_hides_no_other(past: bool, row: str) -> None:
    good = past_row() if past else today_row()
    said = page(good, row, good, past=past, TotalNum="3")
    assert [line.occurrence for line in said.lines] == [0, 1]
    [finding] = said.findings
    assert finding.startswith(f"{'QHISD' if past else 'QPD'}: row 2 cannot be read") and said.unread == 1


def test_the_other_bank_s_name_is_in_recipbkname1_where_recipbkname_says_00000() -> None:
    for name, other, wanted in [
        ("00000", "示例银行", "示例银行"),
        ("00000", "", None),
        ("00000", "00000", None),
        ("示例银行", "", "示例银行"),
    ]:
        [line] = page(past_row(RecipBkName=name, RecipBkName1=other), past=True).lines
        assert line.counterparty_bank == wanted


@pytest.mark.parametrize("stated", ["0", "0.00", "000", "9900.00", "x"])
def test_a_balance_of_nothing_or_in_another_form_is_not_believed_and_loses_no_entry(stated: str) -> None:
    [line] = page(past_row(Balance=stated), past=True).lines
    assert (line.balance, line.amount) == (None, Money(12_345))


@pytest.mark.parametrize(
    "changes",
    [
        {"AccNo": CREDITOR},
        {"AccNo": ""},
        {"CurrType": "014"},
        {"TotalNum": "0"},
        {"TotalNum": "2"},
        {"TotalNum": "x"},
        {"BeginDate": "20260103"},
        {"EndDate": "20260105"},
    ],
)
def test_a_page_that_cannot_be_whole_or_ours_is_no_answer(changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        page(past_row(), past=True, **changes)


@pytest.mark.parametrize("past", [False, True])
def test_nothing_is_an_empty_page(past: bool) -> None:
    assert page(past=past, TotalNum="0") == page(past=past, TotalNum="") == Page(())
    assert page(past=past, code="E1") == Page(())
    with pytest.raises(Declined):
        page(past=past, code="E2")


# ---- walks ----


def walk(scene: BankAndTwin, first: date, last: date, after: Callable[[int], None] = lambda page: None) -> list[Line]:
    lines: list[Line] = []
    cursor, pages = None, 0
    ask = scene.bank.questions.lines
    assert ask is not None
    while True:
        said = scene.talk(ask(LinesQuestion(ACCOUNT, first, last, cursor=cursor), scene.context()))
        lines += said.lines
        cursor, pages = said.cursor, pages + 1
        after(pages)
        if cursor is None:
            return lines


def pay(scene: BankAndTwin, count: int) -> None:
    done = len(scene.ledger.executions)
    for n in range(done, done + count):
        scene.ledger.book_once(Instruction(f"R{n}", DEBTOR, CREDITOR, "乙公司", Money(n + 1), "货款"))


def operations(scene: BankAndTwin) -> list[str]:
    return [one.request.partition(b"TransCode=")[2].partition(b"&")[0].decode() for one in scene.said]


def test_past_and_today_are_walked_to_the_end_in_legs_and_never_mixed() -> None:
    scene = stage(page_lines=3, span_days=10, options={"history_span_days": 10})
    for _day in range(15):
        pay(scene, 1)
        scene.time.later(86_400)
    pay(scene, 7)
    today = scene.time.now.date()
    lines = walk(scene, today - timedelta(days=15), today)
    assert [line.amount.minor for line in lines] == list(range(1, 23))
    assert len({line.bank_line_id for line in lines}) == 22
    # Ten days, then five, then today, each in pages of three.
    assert operations(scene) == ["QHISD"] * 6 + ["QPD"] * 3
    assert walk(scene, today + timedelta(days=1), today + timedelta(days=2)) == []


def test_a_list_that_grows_during_the_walk_loses_nothing() -> None:
    scene = stage(page_lines=3)
    pay(scene, 4)
    lines = walk(scene, TODAY, TODAY, lambda page: pay(scene, 4) if page < 2 else None)
    assert [line.amount.minor for line in lines] == list(range(1, 9))


def test_a_bank_that_goes_round_is_found_out() -> None:
    scene = stage(["cursor_repeats"], page_lines=3)
    pay(scene, 4)
    with pytest.raises(ProtocolError) as caught:
        walk(scene, TODAY, TODAY)
    assert caught.value.reason == "paging"
    assert len(scene.said) <= 3


def test_an_opaque_tag_is_echoed_as_it_came_and_an_empty_page_with_one_is_followed() -> None:
    lines = bank().questions.lines
    assert lines is not None
    question = LinesQuestion(ACCOUNT, TODAY, TODAY)
    first = talk(lines(question, context("")), message("QPD", NUMBER, head(False, NextTag="31", TotalNum="0")))
    assert first.lines == () and first.cursor is not None
    again = LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor)
    [step] = steps(lines(again, context("")))
    assert "%3CNextTag%3E31%3C%2FNextTag%3E" in document(step)


def test_rows_of_one_key_are_counted_on_over_a_page_s_edge() -> None:
    lines = bank().questions.lines
    assert lines is not None
    question = LinesQuestion(ACCOUNT, TODAY, TODAY)
    first = talk(
        lines(question, context("")),
        message("QPD", NUMBER, head(False, NextTag="31", TotalNum="3") + today_row(OnlySequence="1") + today_row() * 2),
    )
    again = LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor)
    second = talk(lines(again, context("")), message("QPD", NUMBER, head(False, TotalNum="2") + today_row() * 2))
    assert [line.occurrence for line in (*first.lines, *second.lines)] == [0, 0, 1, 2, 3]
    assert second.cursor is None


@pytest.mark.parametrize("spoil", [lambda c: c + "x", lambda c: "x", lambda c: c.split(".")[0], lambda c: c + ".y"])
def test_a_cursor_of_another_hand_is_refused(spoil: Callable[[str], str]) -> None:
    scene = stage(page_lines=1)
    pay(scene, 2)
    ask = scene.bank.questions.lines
    assert ask is not None
    cursor = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).cursor
    assert cursor is not None
    for question in (
        LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=spoil(cursor)),
        LinesQuestion(ACCOUNT, YESTERDAY, TODAY, cursor=cursor),
        LinesQuestion(AccountNumber(CREDITOR), TODAY, TODAY, cursor=cursor),
    ):
        with pytest.raises(ProtocolError):
            next(ask(question, scene.context()))


def test_a_walk_over_today_ends_at_midnight_and_one_over_the_past_does_not() -> None:
    scene = stage(page_lines=1)
    pay(scene, 2)
    ask = scene.bank.questions.lines
    assert ask is not None
    first = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))
    scene.time.now = NOW + timedelta(days=1)
    with pytest.raises(ProtocolError) as caught:
        next(ask(LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor), scene.context()))
    assert caught.value.reason == "paging"
    assert [line.amount.minor for line in walk(scene, TODAY, TODAY)] == [1, 2]


def test_an_entry_has_the_same_number_today_and_later() -> None:
    scene = stage(options={"reference_in_ref": True})
    pay(scene, 3)
    today = walk(scene, TODAY, TODAY)
    scene.time.later(86_400)
    assert [line.bank_line_id for line in walk(scene, TODAY, TODAY)] == [line.bank_line_id for line in today]


@pytest.mark.parametrize("faults", [[], ["newest_first"]])
def test_keys_are_the_same_today_and_later_whatever_the_order(faults: list[str]) -> None:
    scene = stage(page_lines=2)
    pay(scene, 5)
    today = {line.bank_line_id: (line.occurrence, line.amount) for line in walk(scene, TODAY, TODAY)}
    later = stage(faults, page_lines=3)
    later.ledger, later.time = scene.ledger, scene.time
    scene.time.later(86_400)
    assert {line.bank_line_id: (line.occurrence, line.amount) for line in walk(later, TODAY, TODAY)} == today
    assert len(today) == 5


def test_one_entry_that_cannot_be_read_hides_no_other_today_or_later() -> None:
    scene = stage(["odd_row", "zero_balances"])
    pay(scene, 3)
    for days in (0, 1):
        scene.time.later(days * 86_400)
        assert [line.amount.minor for line in walk(scene, TODAY, TODAY)] == [1, 3]
    assert {line.balance for line in walk(scene, TODAY, TODAY)} == {None}


def test_the_twin_s_other_bank_is_read_today_and_later() -> None:
    scene = stage()
    pay(scene, 1)
    today = walk(scene, TODAY, TODAY)
    scene.time.later(86_400)
    assert [line.counterparty_bank for line in (*today, *walk(scene, TODAY, TODAY))] == [twin.OTHER_BANK] * 2


def after_cut_off(scene: BankAndTwin) -> Any:
    """The context after the cut-off: orders have the next day's date, but the clock still shows this day."""
    return replace(scene.context(), bank_date=TODAY + timedelta(days=1))


def test_after_the_cut_off_today_is_still_today_for_entries_and_balances() -> None:
    scene = stage(options={"cut_off": "10:00"})
    pay(scene, 2)
    ask, balance_of = scene.bank.questions.lines, scene.bank.questions.balance
    assert ask is not None and balance_of is not None
    for last in (TODAY, TODAY + timedelta(days=1)):
        said = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, last), after_cut_off(scene)))
        assert ([line.amount.minor for line in said.lines], said.cursor) == ([1, 2], None)
    assert operations(scene) == ["QPD", "QPD"]
    assert scene.talk(balance_of(BalanceQuestion(ACCOUNT, on=TODAY), after_cut_off(scene))).book is not None
    with pytest.raises(ProtocolError):
        next(balance_of(BalanceQuestion(ACCOUNT, on=YESTERDAY), after_cut_off(scene)))


def test_a_walk_over_today_goes_on_over_the_cut_off() -> None:
    scene = stage(page_lines=1)
    pay(scene, 2)
    ask = scene.bank.questions.lines
    assert ask is not None
    first = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))
    then = scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor), after_cut_off(scene)))
    assert [line.amount.minor for line in (*first.lines, *then.lines)] == [1, 2]
