"""Balances, entries, returns and receipts, against golden answers and against the bank's side."""

from __future__ import annotations

import io
import zipfile
from datetime import date, timedelta
from typing import Any

import pytest

from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReceiptQuestion, ReturnsQuestion
from protocols.canon.statement import Direction, Line, Page, Receipt, ReceiptLater
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.cib.paper import (
    DEBTOR,
    QUERY,
    TODAY,
    bank,
    body_of,
    context,
    finish,
    fox,
    http_answer,
    item_reference,
    payment,
    stage,
)
from tests.world.dialogue import BankAndTwin

ACCOUNT = AccountNumber(DEBTOR)
DAY = timedelta(days=1)


def pay_often(made: BankAndTwin, count: int, **changes: Any) -> None:
    """Make this many entries today."""
    for number in range(1, count + 1):
        given = payment(amount=Money(number), **changes)
        made.talk(made.bank.money[Kind.PAYMENT](given, made.context(item_reference(number))))


def ask(made: BankAndTwin, first: date, last: date, cursor: str | None = None) -> Page:
    lines = made.bank.questions.lines
    assert lines is not None
    return made.talk(lines(LinesQuestion(ACCOUNT, first, last, cursor=cursor), made.context()))


def walk(made: BankAndTwin, first: date, last: date) -> list[Line]:
    """Read every page to the end."""
    found: list[Line] = []
    page = ask(made, first, last)
    found += page.lines
    while page.cursor is not None:
        page = ask(made, first, last, page.cursor)
        found += page.lines
    return found


def read(answer: bytes, first: date = TODAY, last: date = TODAY, **options: Any) -> Page:
    """The adapter's result of this answer to a question about entries."""
    lines = bank(**options).questions.lines
    assert lines is not None
    return finish(lines(LinesQuestion(ACCOUNT, first, last), context()), answer)


# ---- balances ------------------------------------------------------------------------------------------


def test_the_balance_now_and_the_two_meanings_of_status() -> None:
    body = (
        f"<RSBODY><ACCTID>{DEBTOR}</ACCTID><NAME>甲公司</NAME><STATUS>1</STATUS><ACCTTYPE>0</ACCTTYPE>"
        "<BALAMT>50897.3</BALAMT><AVAILBAL>50000.00</AVAILBAL><INTRST>0.00</INTRST><CURRENCY>01</CURRENCY>"
        "<OPENDAT>20200101</OPENDAT><CTRLLMT>0</CTRLLMT><FREEZELMT>897.30</FREEZELMT></RSBODY>"
    )
    balance = bank().questions.balance
    assert balance is not None
    said = finish(balance(BalanceQuestion(ACCOUNT), context()), fox("CURRACCTQUERYTRN", QUERY, body))
    assert (said.book, said.available, said.frozen) == (Money(5_089_730), Money(5_000_000), Money(89_730))
    assert said.as_of is not None and said.as_of.isoformat() == "2025-01-08T09:30:01+08:00"
    for wrong in (body.replace(DEBTOR, "9"), body.replace(">01<", ">14<")):
        with pytest.raises(ProtocolError):
            finish(balance(BalanceQuestion(ACCOUNT), context()), fox("CURRACCTQUERYTRN", QUERY, wrong))
    with pytest.raises(Declined):
        finish(balance(BalanceQuestion(ACCOUNT), context()), fox("CURRACCTQUERYTRN", QUERY, "", "2005", "没有权限"))
    with pytest.raises(ProtocolError):
        next(balance(BalanceQuestion(ACCOUNT, "USD"), context()))


def test_the_balance_of_a_past_day() -> None:
    made = stage({"holder": "甲公司"})
    balance = made.bank.questions.balance
    assert balance is not None
    pay_often(made, 2)
    made.time.later(86_400)
    said = made.talk(balance(BalanceQuestion(ACCOUNT, on=TODAY), made.context()))
    assert (said.book, said.available) == (Money(100_000_00 - 3 + 900_000_00), None)
    assert "<ACCTNAME>甲公司</ACCTNAME><DTSTART>2025-01-08</DTSTART><DTEND>2025-01-08</DTEND>" in (
        made.said[-1].request.decode("gbk")
    )
    other = (
        "<HISBALQUERYRS><HISBALQUERYINFO><DETAILS><DETAIL><HISBALANCE>1</HISBALANCE><DTFLOW>20250107</DTFLOW></DETAIL>"
    )
    with pytest.raises(ProtocolError):
        finish(
            balance(BalanceQuestion(ACCOUNT, on=TODAY - DAY * 2), context()),
            fox("HISBALQUERYTRN", QUERY, f"{other}</DETAILS></HISBALQUERYINFO></HISBALQUERYRS>"),
        )
    same = balance(BalanceQuestion(ACCOUNT, on=TODAY - DAY), context())
    answer = fox("HISBALQUERYTRN", QUERY, f"{other}</DETAILS></HISBALQUERYINFO></HISBALQUERYRS>")
    assert finish(same, answer).book == Money(100)


def test_the_balance_of_a_past_day_is_asked_without_a_holder_unless_the_settings_name_one() -> None:
    made = stage()
    assert made.bank.questions.balance is not None and made.bank.profile.past_balance_days == 365
    made.time.later(86_400)
    made.talk(made.bank.questions.balance(BalanceQuestion(ACCOUNT, on=TODAY), made.context()))
    asked = made.said[-1].request.decode("gbk")
    assert "<HISBALQUERYINFO><ACCTID>" in asked and "ACCTNAME" not in asked


# ---- entries as elements -------------------------------------------------------------------------------------


ROW = (
    "<STMTTRN><SRVRTID>9</SRVRTID><TRNTYPE>DEBIT</TRNTYPE><TRNCODE>3001</TRNCODE><DTACCT>2025-01-08T10:20:30</DTACCT>"
    "<TRNAMT>-12.5</TRNAMT><BALAMT>987.5</BALAMT><CURRENCY>RMB</CURRENCY><MEMO>转账|货款</MEMO>"
    "<CORRELATE_ACCTID>0000000000000025</CORRELATE_ACCTID><CORRELATE_NAME>䶮镕麤</CORRELATE_NAME>"
    "<CORRELATE_BANKNAME>建行</CORRELATE_BANKNAME><ATTACHINFO>202501080000000009001</ATTACHINFO>"
    "<BIZREF>CIB20250108000000001</BIZREF></STMTTRN>"
)


def page(*rows: str, more: str = "N", account: str = DEBTOR) -> bytes:
    return fox(
        "SCUSTSTMTTRN",
        QUERY,
        f'<SCUSTSTMTRS><ACCTFROM><ACCTID>{account}</ACCTID></ACCTFROM><TRANLIST MORE="{more}">{"".join(rows)}</TRANLIST>'
        "<LEDGERBAL><BALAMT>987.5</BALAMT><DTASOF>2025-01-08T11:00:00</DTASOF></LEDGERBAL></SCUSTSTMTRS>",
    )


def test_a_row_as_an_entry() -> None:
    [line] = read(page(ROW)).lines
    assert (line.bank_line_id, line.direction, line.amount) == ("202501080000000009001", Direction.DEBIT, Money(-1250))
    assert (line.bank_date, line.text) == (TODAY, "转账|货款")
    assert line.booked_at is not None and line.booked_at.isoformat() == "2025-01-08T10:20:30+08:00"
    assert line.counterparty_account == AccountNumber("0000000000000025")
    assert line.counterparty_name is not None and line.counterparty_name.clear == "䶮镕麤"
    assert (line.reference, line.counterparty_bank) == ("CIB20250108000000001", "建行")
    assert read(page(ROW), statement_reference="").lines[0].reference is None


@pytest.mark.parametrize(
    "answer",
    [
        page(ROW.replace("RMB", "USD")),
        page(ROW, account="9"),
        page(ROW, more="X"),
        page(more="Y"),
        fox("SCUSTSTMTTRN", "Q9", "<SCUSTSTMTRS/>"),
    ],
)
def test_a_page_that_cannot_be_trusted_is_none(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(answer)


@pytest.mark.parametrize(
    ("old", "new"),
    [("202501080000000009001", ""), ("DEBIT", "OUT"), ("-12.5", "1e3"), ("2025-01-08T10:20:30", "8.1.2025")],
)
def test_a_row_that_cannot_be_read_hides_no_other(old: str, new: str) -> None:
    found = read(page(ROW.replace(old, new) + ROW))
    assert [line.bank_line_id for line in found.lines] == ["202501080000000009001"]
    assert (found.unread, len(found.findings)) == (1, 1)


@pytest.mark.parametrize("code", ["6421", "20203", "2001", "2100", "10113", "12114"])
@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_no_data_is_an_empty_page(code: str, style: str) -> None:
    assert read(fox(f"{style}TRN", QUERY, "", code, "没有符合条件的记录"), lines=style) == Page(())


@pytest.mark.parametrize(
    ("code", "words"), [("2000", "?"), ("2002", "x"), ("6000", "最长查询时间范围为一年"), ("8", "x")]
)
def test_any_other_code_is_a_decline(code: str, words: str) -> None:
    with pytest.raises(Declined):
        read(fox("SCUSTSTMTTRN", QUERY, "", code, words))


def test_rows_with_one_key_are_both_kept() -> None:
    first, second = read(page(ROW, ROW.replace("-12.5", "1.00"))).lines
    assert (first.occurrence, second.occurrence) == (0, 1)


def test_rows_with_one_key_on_two_pages_are_both_kept() -> None:
    lines = bank().questions.lines
    assert lines is not None
    first = read(page(ROW, ROW.replace("-12.5", "1.00"), more="Y"))
    later = finish(
        lines(LinesQuestion(ACCOUNT, TODAY, TODAY, cursor=first.cursor), context()), page(ROW.replace("12.5", "3"))
    )
    assert [line.occurrence for line in (*first.lines, *later.lines)] == [0, 1, 2]


@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_the_balance_beside_an_entry_is_not_taken_for_the_day_s(style: str) -> None:
    """The bank books an evening's entries for the next day, so the balance beside them must not close a day."""
    made = stage({"lines": style})
    pay_often(made, 2)
    found = walk(made, TODAY, TODAY)
    assert len(found) == 2 and {line.balance for line in found} == {None}


@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_the_pages_of_today_are_not_continued_when_the_day_is_over(style: str) -> None:
    made = stage({"lines": style, "file_lines": 100})
    pay_often(made, 101)
    first = ask(made, TODAY, TODAY + DAY)
    assert first.cursor is not None
    made.time.later(86_400)
    before = len(made.said)
    with pytest.raises(ProtocolError) as caught:
        ask(made, TODAY, TODAY + DAY, first.cursor)
    assert caught.value.reason == "paging" and "begin this walk again" in str(caught.value)
    assert len(made.said) == before, "nothing was asked"
    assert len(walk(made, TODAY, TODAY + DAY)) == 101


def test_pages_of_past_days_go_on_over_midnight_and_today_is_then_a_past_day() -> None:
    made = stage()
    pay_often(made, 101)
    made.time.later(86_400)
    first = ask(made, TODAY, TODAY + DAY)
    second = ask(made, TODAY, TODAY + DAY, first.cursor)
    assert (len(first.lines), len(second.lines)) == (100, 1) and second.cursor is not None
    made.time.later(86_400)
    # The day whose first page was still to be asked is a past one by now, and no entry of it is missing.
    assert ask(made, TODAY, TODAY + DAY, first.cursor).lines == second.lines
    assert ask(made, TODAY, TODAY + DAY, second.cursor) == Page(())
    spans = [said.request.decode("gbk").partition("<DTSTART>")[2][:10] for said in made.said[-2:]]
    assert spans == ["2025-01-08", "2025-01-09"]


@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_a_walk_to_the_end_over_pages_and_over_midnight(style: str) -> None:
    made = stage({"lines": style, "file_lines": 100})
    pay_often(made, 205)
    made.time.later(86_400)
    made.talk(made.bank.money[Kind.PAYMENT](payment(), made.context("CIB20250109000000001")))
    before = len(made.said)
    found = walk(made, TODAY - DAY, TODAY + DAY)
    assert [line.amount.minor for line in found] == [*range(1, 206), 102_450]
    assert len({line.bank_line_id for line in found}) == 206
    assert len(made.said) - before == 4
    spans = ["<DTSTART>2025-01-07</DTSTART><DTEND>2025-01-08</DTEND>"] * 3
    spans += ["<DTSTART>2025-01-09</DTSTART><DTEND>2025-01-09</DTEND>"]
    for said, span in zip(made.said[before:], spans, strict=True):
        assert span in said.request.decode("gbk")


@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_the_bank_s_two_ways_give_an_entry_the_same_key(style: str) -> None:
    made = stage({"lines": style})
    pay_often(made, 1)
    assert walk(made, TODAY, TODAY)[0].bank_line_id == "202501080000000001001"


@pytest.mark.parametrize("style", ["SCUSTSTMT", "FSTMT"])
def test_a_bank_that_goes_round_is_caught(style: str) -> None:
    made = stage({"lines": style, "file_lines": 100}, round=True)
    pay_often(made, 120)
    before = len(made.said)
    with pytest.raises(ProtocolError) as caught:
        walk(made, TODAY, TODAY)
    assert caught.value.reason == "paging"
    assert len(made.said) - before == 2, "the second page was the first again, and nothing more is asked"


def test_a_cursor_is_bound_to_its_question() -> None:
    made = stage()
    pay_often(made, 101)
    cursor = ask(made, TODAY, TODAY).cursor
    assert cursor is not None
    for first, style in ((TODAY - DAY, "SCUSTSTMT"), (TODAY, "FSTMT")):
        lines = bank(lines=style).questions.lines
        assert lines is not None
        with pytest.raises(ProtocolError) as caught:
            next(lines(LinesQuestion(ACCOUNT, first, TODAY, cursor=cursor), context()))
        assert caught.value.reason == "paging"


def test_nothing_is_asked_about_the_future() -> None:
    lines = bank().questions.lines
    assert lines is not None
    assert finish_empty(lines(LinesQuestion(ACCOUNT, TODAY + DAY, TODAY + DAY * 2), context())) == Page(())


def finish_empty(conversation: Any) -> Any:
    with pytest.raises(StopIteration) as end:
        next(conversation)
    return end.value.value


# ---- entries that came back ----------------------------------------------------------------------------------


def test_returns_are_refunds_by_the_element_that_carries_our_reference() -> None:
    made = stage()
    returns = made.bank.questions.returns
    assert returns is not None
    pay_often(made, 2, purpose="#return")
    made.time.later(3_600)
    said = made.talk(returns(ReturnsQuestion(ACCOUNT, TODAY, TODAY), made.context()))
    assert [(one.reference, one.amount, one.returned_on) for one in said.returns] == [
        (item_reference(1), Money(1), TODAY),
        (item_reference(2), Money(2), TODAY),
    ]
    assert "<SELTYPE>3</SELTYPE>" in made.said[-1].request.decode("gbk")
    assert bank(statement_reference="").questions.returns is None


# ---- receipts ------------------------------------------------------------------------------------------------


def receipt(made: BankAndTwin, key: str, ticket: str | None = None, day: date = TODAY) -> Receipt | ReceiptLater:
    word = made.bank.questions.receipt
    assert word is not None
    return made.talk(word(ReceiptQuestion(ACCOUNT, day, key, ticket=ticket), made.context()))


@pytest.mark.parametrize("zipped", [False, True])
def test_a_receipt_is_a_job_a_poll_and_a_fetch(zipped: bool) -> None:
    made = stage(zipped=zipped)
    pay_often(made, 3)
    made.time.later(86_400)
    key = "202501080000000002001"
    later = receipt(made, key)
    assert isinstance(later, ReceiptLater) and later.after_s >= 900
    assert receipt(made, key, later.ticket) == later
    found = receipt(made, key, later.ticket)
    assert isinstance(found, Receipt)
    assert (found.data, found.media_type, found.name) == (
        f"%PDF-1.4\n% {key} 0.02\n%%EOF\n".encode(),
        "application/pdf",
        f"{key}.pdf",
    )
    # The job for a day is one job, whichever entry it is asked for.
    again = receipt(made, "202501080000000003001")
    assert isinstance(again, ReceiptLater) and again.ticket == later.ticket
    with pytest.raises(Declined):
        receipt(made, "202501080000000009001", later.ticket)


def test_many_receipts_are_listed_over_pages() -> None:
    made = stage()
    pay_often(made, 150)
    made.time.later(86_400)
    key = "202501080000000150001"
    later = receipt(made, key)
    assert isinstance(later, ReceiptLater)
    receipt(made, key, later.ticket)
    found = receipt(made, key, later.ticket)
    assert isinstance(found, Receipt) and found.name == f"{key}.pdf"


def test_receipts_are_of_past_days_and_known_entries_and_only_where_they_can_be_fetched() -> None:
    made = stage()
    for key, day in (("", TODAY - DAY), ("x", TODAY)):
        with pytest.raises(ProtocolError):
            receipt(made, key, day=day)
    assert bank(receipt_path="").questions.receipt is None


FILES = (
    '<RSBODY MORE="N"><STATUS>{status}</STATUS><CONTENT><SEQ>1</SEQ><FILE_ID>{file_id}</FILE_ID>'
    "<FILE_NAME>{name}</FILE_NAME></CONTENT></RSBODY>"
)


def fetched(data: bytes, *, status: str = "2", file_id: str = "F1", name: str = "K1.pdf") -> Any:
    """The adapter's result of this file."""
    word = bank().questions.receipt
    assert word is not None
    wanted = ReceiptQuestion(ACCOUNT, TODAY - DAY, "K1", ticket="E1")
    listed = fox("ASYNRECEIPTINFOTRN", f"{QUERY}P1", FILES.format(status=status, file_id=file_id, name=name))
    return finish(word(wanted, context()), *((listed, http_answer(data)) if data else (listed,)))


def archive(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as one:
        for name, data in names.items():
            one.writestr(name, data)
    return made.getvalue()


def test_a_file_is_what_it_says() -> None:
    assert fetched(b"%PDF-1").name == "K1.pdf"
    assert fetched(archive({"a/K1.pdf": b"%PDF-2", "K2.pdf": b"%PDF-3"}), name="all.zip").data == b"%PDF-2"


@pytest.mark.parametrize(
    ("data", "changes"),
    [
        (b"<html>", {}),
        (b"PK broken", {"name": "all.zip"}),
        (archive({"K1.pdf": b"no pdf"}), {"name": "all.zip"}),
        (archive({"K2.pdf": b"%PDF-"}), {"name": "all.zip"}),
        (archive({"K1.pdf": b"%PDF-" + bytes(4 * 1_048_576)}), {"name": "all.zip"}),
        (archive({"K1.pdf": b"%PDF-1 of some size"})[:-30], {"name": "all.zip"}),
        (b"", {"file_id": "../x"}),
        (b"", {"status": "3"}),
        (b"", {"status": "9"}),
        (b"", {"name": "K2.pdf"}),
    ],
)
def test_a_file_that_is_not_what_was_asked_for_is_refused(data: bytes, changes: dict[str, str]) -> None:
    with pytest.raises(ProtocolError):
        fetched(data, **changes)


def test_the_job_of_somebody_else_is_a_decline() -> None:
    word = bank().questions.receipt
    assert word is not None
    conversation = word(ReceiptQuestion(ACCOUNT, TODAY - DAY, "K1"), context())
    trnuid = body_of(next(conversation)).partition("<TRNUID>")[2].partition("<")[0]
    with pytest.raises(Declined) as caught:
        conversation.send(fox("ELECTRONICRECEIPTTRN", trnuid, "", "2002", "已存在任务"))
    assert caught.value.outcome == "failed"
