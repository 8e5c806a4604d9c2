"""Balances, entries and receipts: pages to their end; contradictory answers are refused."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReceiptQuestion
from protocols.canon.statement import Direction, Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.citic.paper import CODES, OURS, TODAY, answer, bank, content, context, order, stage, talk
from tests.world.dialogue import NOON

ACCOUNT = AccountNumber(OURS)
ROW: Mapping[str, str] = {
    "status": "AAAAAAA",
    "statusText": "交易成功",
    "accountNo": OURS,
    "accountName": "示例甲公司",
    "currencyID": "01",
    "openBankName": "",
    "lastTranDate": "20261123",
    "usableBalance": "900.00",
    "balance": "1000.00",
    "forzenAmt": "100.00",
    "frozenFlag": "",
    "accountType": "",
    "lawptLmt": "0.00",
}
ENTRY: Mapping[str, str] = {
    "tranDate": "20261124",
    "tranTime": "101010",
    "tranNo": "00000000000001",
    "sumTranNo": "",
    "tranAmount": "10.00",
    "creditDebitFlag": "D",
    "oppAccountNo": "0000000000000000025",
    "oppAccountName": "乙公司",
    "oppOpenBankName": "",
    "abstract": "货款",
    "balance": "990.00",
    "valueDate": "20261124",
    "e3rtFlag": "1",
}


def balance(*frames: bytes, on: date | None = None, **options: Any) -> Any:
    ask = bank(**options).questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT, on=on), context()), *frames)


def lines(*frames: bytes, cursor: str | None = None, first: date = TODAY, last: date = TODAY, **options: Any) -> Any:
    ask = bank(**options).questions.lines
    assert ask is not None
    return talk(ask(LinesQuestion(ACCOUNT, first, last, cursor=cursor), context()), *frames)


def page(*rows: Mapping[str, str], total: int | None = None, **leaves: str) -> bytes:
    counts = {
        "accountNo": OURS,
        "totalRecords": str(len(rows) if total is None else total),
        "returnRecords": str(len(rows)),
    }
    return answer("AAAAAAA", counts | leaves, rows)


def test_a_balance_now() -> None:
    got, [asked] = balance(answer("AAAAAAA", rows=[ROW]))
    assert '<list name="userDataList"><row><accountNo>0000000000000000017</accountNo></row></list>' in content(asked)
    assert (got.book, got.available, got.frozen) == (Money(100_000), Money(90_000), Money(10_000))


def test_a_row_s_own_status_counts() -> None:
    with pytest.raises(Declined) as caught:
        balance(answer("AAAAAAA", rows=[{"status": "ED00001", "statusText": "账号不存在", "accountNo": OURS}]))
    assert (caught.value.code, caught.value.listed) == ("ED00001", False)
    with pytest.raises(Declined) as caught:
        balance(answer("ET00001"))
    assert caught.value.outcome == "retry"


@pytest.mark.parametrize(
    "rows", [[], [ROW, ROW], [{**ROW, "accountNo": "0000000000000000018"}], [{**ROW, "balance": "x"}]]
)
def test_a_balance_of_something_else_is_none(rows: list[Mapping[str, str]]) -> None:
    with pytest.raises(ProtocolError):
        balance(answer("AAAAAAA", rows=rows))


def test_the_currency_is_looked_at_where_its_code_is_known() -> None:
    assert balance(answer("AAAAAAA", rows=[ROW]), currency_id="01")
    with pytest.raises(ProtocolError):
        balance(answer("AAAAAAA", rows=[{**ROW, "currencyID": "14"}]), currency_id="01")


def test_a_past_day_s_balance() -> None:
    day = TODAY - timedelta(days=1)
    got, [asked] = balance(answer("AAAAAAA", {"accountNo": OURS}, [{"date": "20261123", "balance": "12.00"}]), on=day)
    assert "<startDate>20261123</startDate><endDate>20261123</endDate>" in content(asked)
    assert (got.book, got.available) == (Money(1_200), None)
    for rows in ([], [{"date": "20261122", "balance": "12.00"}]):
        with pytest.raises(ProtocolError):
            balance(answer("AAAAAAA", {"accountNo": OURS}, rows), on=day)


def test_an_entry() -> None:
    got, _ = lines(page({**ENTRY, "e3rtFlag": "0", "creditDebitFlag": "C", "sumTranNo": "0000000000002"}))
    [line] = got.lines
    assert (line.bank_line_id, line.direction, line.amount) == (
        "20261124-00000000000001-0000000000002-C1000",
        Direction.CREDIT,
        Money(1_000),
    )
    assert (line.text, line.balance, line.booked_at.hour) == ("(退汇)货款", Money(99_000), 10)
    assert got.cursor is None


def test_a_walk_goes_on_by_the_rows_it_got_and_counts_entries_of_one_number() -> None:
    got, _ = lines(page(ENTRY, ENTRY, total=3))
    assert [one.occurrence for one in got.lines] == [0, 1]
    then, [asked] = lines(page(ENTRY, total=3), cursor=got.cursor)
    assert "<startRecord>3</startRecord>" in content(asked)
    assert ([one.occurrence for one in then.lines], then.cursor) == ([2], None)


def test_a_long_walk_goes_in_legs_of_92_days() -> None:
    first = TODAY - timedelta(days=100)
    got, [asked] = lines(page(), first=first)
    assert "<startDate>20260816</startDate><endDate>20261115</endDate>" in content(asked)
    assert got.cursor
    then, [asked] = lines(page(), first=first, cursor=got.cursor)
    assert "<startDate>20261116</startDate><endDate>20261123</endDate>" in content(asked)
    today, [asked] = lines(page(ENTRY), first=first, cursor=then.cursor)
    assert "<startDate>20261124</startDate><endDate>20261124</endDate>" in content(asked), "a leg of its own"
    assert today.cursor is None


def test_a_leg_keeps_its_last_day_over_midnight() -> None:
    first, tomorrow = TODAY - timedelta(days=2), NOON + timedelta(days=1)
    yesterday = {**ENTRY, "tranDate": "20261123"}
    got, _ = lines(page(*[yesterday] * 20, total=21), first=first)
    ask = bank().questions.lines
    assert ask is not None
    asked = LinesQuestion(ACCOUNT, first, TODAY, cursor=got.cursor)
    _, [sent] = talk(ask(asked, context(now=tomorrow)), page(yesterday, total=21))
    assert "<startDate>20261122</startDate><endDate>20261123</endDate>" in content(sent)


def numbered(*numbers: int, **changes: str) -> list[Mapping[str, str]]:
    """Entries of today with numbers and balances of their own."""
    return [{**ENTRY, "tranNo": f"{n:014d}", "balance": f"{1000 - n}.00", **changes} for n in numbers]


def test_a_full_page_without_a_total_is_no_answer() -> None:
    for total in ({}, {"totalRecords": ""}):
        frame = answer("AAAAAAA", {"accountNo": OURS, **total}, numbered(*range(20)))
        with pytest.raises(ProtocolError) as caught:
            lines(frame)
        assert caught.value.reason == "missing"
    part = answer("AAAAAAA", {"accountNo": OURS}, numbered(*range(19)))
    got, _ = lines(part)
    assert (len(got.lines), got.cursor) == (19, None)


def test_entries_that_a_growing_list_moved_over_a_page_s_edge_are_told_once() -> None:
    got, _ = lines(page(*numbered(*range(25, 5, -1)), total=25))
    # The newest entry comes first, and two came meanwhile: 7 and 6 moved on to the next page.
    then, _ = lines(page(*numbered(*range(7, 0, -1), rsvNew="20261124101011"), total=27), cursor=got.cursor)
    told = [line.bank_line_id.split("-")[1][-2:] for line in (*got.lines, *then.lines)]
    assert (told, then.cursor) == ([f"{n:02d}" for n in range(25, 0, -1)], None)
    assert {line.occurrence for line in then.lines} == {0}


def test_entries_added_at_the_end_are_read_on() -> None:
    got, _ = lines(page(*numbered(*range(1, 21)), total=25))
    then, _ = lines(page(*numbered(*range(21, 28)), total=27), cursor=got.cursor)
    assert [line.bank_line_id.split("-")[1][-2:] for line in then.lines] == [f"{n:02d}" for n in range(21, 28)]


def test_after_an_edge_that_moved_the_walk_goes_on_where_the_page_ended() -> None:
    got, _ = lines(page(*numbered(*range(50, 30, -1)), total=50))
    then, _ = lines(page(*numbered(*range(31, 11, -1)), total=51), cursor=got.cursor)
    _, [asked] = lines(page(*numbered(*range(11, 0, -1)), total=51), cursor=then.cursor)
    assert "<startRecord>41</startRecord>" in content(asked)
    assert len(then.lines) == 19


@pytest.mark.parametrize(
    "frame",
    [
        page(*numbered(*range(5, 0, -1)), total=24),
        page(*numbered(*range(26, 6, -1)), total=46),
        page(*numbered(6, 5, 4, 3, 2, 1, 0), total=27),
    ],
)
def test_a_list_that_changed_in_another_way_is_walked_again(frame: bytes) -> None:
    got, _ = lines(page(*numbered(*range(25, 5, -1)), total=25))
    with pytest.raises(ProtocolError) as caught:
        lines(frame, cursor=got.cursor)
    assert caught.value.reason == "paging"


def test_without_balances_nobody_knows_whether_an_entry_came_twice() -> None:
    got, _ = lines(page(*numbered(*range(25, 5, -1), balance=""), total=25))
    with pytest.raises(ProtocolError) as caught:
        lines(page(*numbered(*range(6, 0, -1), balance=""), total=26), cursor=got.cursor)
    assert caught.value.reason == "paging"


def test_no_entries_any_more_in_the_middle_of_a_walk_is_no_end() -> None:
    got, _ = lines(page(*numbered(*range(20)), total=25))
    with pytest.raises(ProtocolError) as caught:
        lines(answer("TWIN003"), cursor=got.cursor, codes=CODES)
    assert caught.value.reason == "paging"


def test_a_walk_at_the_twin_while_the_newest_entry_comes_first() -> None:
    scene = stage({"newest_first": True}, opening="100000.00")
    for number in range(45):
        scene.talk(scene.bank.money[order().kind](order(), scene.context(f"R{number}")))
    ask = scene.bank.questions.lines
    assert ask is not None
    asked, told = LinesQuestion(ACCOUNT, TODAY, TODAY), []
    for number in range(45, 48):
        got = scene.talk(ask(asked, scene.context()))
        told += [(line.bank_line_id, line.occurrence) for line in got.lines]
        asked = replace(asked, cursor=got.cursor)
        scene.talk(scene.bank.money[order().kind](order(), scene.context(f"R{number}")))
    assert (len(told), len(set(told)), asked.cursor) == (45, 45, None)
    assert {occurrence for _, occurrence in told} == {0}


def test_entries_without_totals_at_the_twin() -> None:
    scene = stage({"no_total": True})
    ask = scene.bank.questions.lines
    assert ask is not None
    for number in range(20):
        assert len(scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).lines) == number
        scene.talk(scene.bank.money[order().kind](order(amount=Money(1)), scene.context(f"R{number}")))
    with pytest.raises(ProtocolError):
        scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context()))


def test_no_entries_are_an_empty_page_also_where_the_bank_says_so_with_a_status() -> None:
    assert lines(page())[0].lines == ()
    assert lines(answer("TWIN003"), codes=CODES)[0].lines == ()
    with pytest.raises(Declined):
        lines(answer("TWIN003"))


@pytest.mark.parametrize(
    "frame",
    [
        page(ENTRY, returnRecords="2"),
        page(total=1),
        page({**ENTRY, "tranDate": "20261123"}),
        page(ENTRY, accountNo="0000000000000000018"),
        page(ENTRY, total=10_001, returnRecords="x"),
    ],
)
def test_a_page_that_cannot_be_right_is_no_answer(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        lines(frame)


@pytest.mark.parametrize("odd", [{"tranNo": ""}, {"creditDebitFlag": "X"}, {"tranAmount": "-1.00"}])
def test_an_entry_that_cannot_be_read_hides_no_other(odd: dict[str, str]) -> None:
    got, _ = lines(page({**ENTRY, **odd}, ENTRY))
    assert (len(got.lines), got.unread, len(got.findings)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({"sumTranNo": "0000000000007"}, "20261124-0000000000007-990.00-D1000"),
        ({"sumTranNo": "0000000000007", "oriNum": "R7"}, "20261124-0000000000007-990.00-D1000"),
        ({"oriNum": "R7"}, "20261124-R7-990.00-D1000"),
    ],
)
def test_an_entry_without_tran_no_has_the_next_number_and_its_balance(given: dict[str, str], number: str) -> None:
    got, _ = lines(page({**ENTRY, "tranNo": "", "tranTime": "", **given}))
    [line] = got.lines
    assert (line.bank_line_id, line.booked_at, got.unread) == (number, None, 0)


def test_a_cursor_of_another_question_is_refused() -> None:
    got, _ = lines(page(ENTRY, total=2))
    with pytest.raises(ProtocolError):
        lines(page(), cursor=got.cursor, last=TODAY + timedelta(days=1))
    with pytest.raises(ProtocolError):
        lines(page(), cursor="x")


# ---- receipts ----------------------------------------------------------------------------------------------------

LISTED: Mapping[str, str] = {"bresqNo": "R1", "billType": "01", "transeqNo": "00000000000001", "tranAmt": "10.00"}


def packed(**files: str) -> str:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in files.items():
            archive.writestr(name.replace("_", "."), text)
    return base64.b64encode(data.getvalue()).decode()


def receipt(*frames: bytes, day: date = TODAY, **changes: Any) -> Any:
    ask = bank().questions.receipt
    assert ask is not None
    plain = ReceiptQuestion(ACCOUNT, day, "20261124-00000000000001", amount=Money(1_000))
    return talk(ask(replace(plain, **changes), context()), *frames)


def test_a_receipt_is_listed_then_fetched_and_unpacked() -> None:
    got, asked = receipt(
        answer("AAAAAAA", rows=[LISTED]), answer("AAAAAAA", {"fileConTent": packed(a_pdf="%PDF-1.4 x")})
    )
    assert got == Receipt(b"%PDF-1.4 x", "application/pdf", "a.pdf")
    assert "<qryType>1</qryType>" in content(asked[0])
    assert "<minAmt>10.00</minAmt><maxAmt>10.00</maxAmt>" in content(asked[0])
    assert "<isCurrDay>1</isCurrDay>" in content(asked[1])
    assert "<row><brSeqNo>R1</brSeqNo><billType>01</billType></row>" in content(asked[1])
    _, asked = receipt(answer("AAAAAAA", rows=[]), day=TODAY - timedelta(days=1))
    assert "<qryType>2</qryType>" in content(asked[0])


def test_none_yet_is_later_and_two_that_fit_are_none() -> None:
    assert isinstance(receipt(answer("AAAAAAA", rows=[{**LISTED, "transeqNo": "2"}]))[0], ReceiptLater)
    assert isinstance(receipt(answer("AAAAAAA", rows=[{**LISTED, "tranAmt": "0.50"}]))[0], ReceiptLater)
    with pytest.raises(ProtocolError):
        receipt(answer("AAAAAAA", rows=[LISTED, {**LISTED, "bresqNo": "R2"}]))
    with pytest.raises(Declined):
        receipt(answer("ED00001"))
    with pytest.raises(ProtocolError):
        receipt(bank_line_id="")


@pytest.mark.parametrize(
    "file",
    [
        "",
        "x",
        base64.b64encode(b"PK").decode(),
        packed(a_txt="x"),
        packed(a_pdf="%PDF-", b_pdf="%PDF-"),
        packed(a_pdf="x"),
        packed(a_pdf="%PDF-" + "0" * 5_000_000),
    ],
)
def test_an_archive_that_is_no_receipt_is_refused(file: str) -> None:
    with pytest.raises(ProtocolError):
        receipt(answer("AAAAAAA", rows=[LISTED]), answer("AAAAAAA", {"fileConTent": file}))


def test_a_receipt_is_found_behind_rows_that_say_nothing() -> None:
    got, _ = receipt(
        answer("AAAAAAA", rows=[{"bresqNo": "R0"}, LISTED]),
        answer("AAAAAAA", {"fileConTent": packed(a_pdf="%PDF-1.4 x")}),
    )
    assert got.name == "a.pdf"


def test_a_list_of_receipts_that_goes_round_is_no_list_without_ours() -> None:
    """Otherwise the answer would be "later", and the ERP would ask again for ever."""
    page = answer("AAAAAAA", rows=[{**LISTED, "transeqNo": str(number)} for number in range(2, 22)])
    with pytest.raises(ProtocolError) as caught:
        receipt(page, page)
    assert caught.value.reason == "paging"


def test_receipts_of_many_entries_at_the_twin() -> None:
    scene = stage()
    for number in range(1, 31):
        scene.talk(scene.bank.money[order().kind](order(amount=Money(number)), scene.context(f"R{number}")))
    ask = scene.bank.questions.receipt
    assert ask is not None
    got = scene.talk(ask(ReceiptQuestion(ACCOUNT, TODAY, "20261124-00000000000030"), scene.context()))
    assert isinstance(got, Receipt)
    assert b"00000000000030 0.30" in got.data
