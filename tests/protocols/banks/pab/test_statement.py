"""Balance, entries in both paging styles, returns, probe: against the twin and answers written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from protocols.bank import Bank
from protocols.banks.pab import twin
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Direction, Line, Page, Return, ReturnsPage
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.twin import Booked, Booking, Instruction
from tests.protocols.banks.pab.paper import (
    CREDITOR,
    DEBTOR,
    NOON,
    TODAY,
    PaperBooks,
    bank,
    books,
    context,
    converse,
    entry,
    first_step,
    framed,
    replying,
)

ACCOUNT = AccountNumber(DEBTOR)
DAY = timedelta(days=1)
Reply = Callable[[bytes], bytes]


def balance(reply: Reply, on: date | None = None, currency: str = "CNY") -> Balance:
    ask = bank().questions.balance
    assert ask is not None
    return converse(ask(BalanceQuestion(ACCOUNT, currency, on), context()), reply)


def page(adapter: Bank, asked: LinesQuestion, reply: Reply, today: date = TODAY) -> Page:
    ask = adapter.questions.lines
    assert ask is not None
    return converse(ask(asked, replace(context(), bank_date=today)), reply)


def walk(adapter: Bank, first: date, last: date, reply: Reply) -> tuple[list[Line], int]:
    """All lines between two dates, and the number of pages."""
    lines: list[Line] = []
    asked, pages = LinesQuestion(ACCOUNT, first, last), 0
    while True:
        got = page(adapter, asked, reply)
        lines, pages = lines + list(got.lines), pages + 1
        if got.cursor is None:
            return lines, pages
        asked = replace(asked, cursor=got.cursor)


class Spy:
    """The twin with a record of its requests."""

    def __init__(self, paper: PaperBooks, **options: object) -> None:
        self._reply = replying(twin.build(options, {}), paper)
        self.asked: list[bytes] = []

    def __call__(self, request: bytes) -> bytes:
        self.asked.append(request)
        return self._reply(request)

    @property
    def operations(self) -> list[str]:
        return [request[40:46].decode().strip() for request in self.asked]


# ---- balance -----------------------------------------------------------------------------------------


def test_a_balance_as_the_page_shows_it() -> None:
    body = (
        '<?xml version="1.0" encoding="GBK" ?><Result><Account>00000000000017</Account><CcyCode>RMB</CcyCode>'
        "<CcyType></CcyType><AccountName>甲公司</AccountName><Balance>1000.88</Balance>"
        "<TotalAmount>1000.88</TotalAmount><AccountType></AccountType><AccountStatus>A</AccountStatus>"
        "<BankName></BankName><LastBalance>1075.88</LastBalance><HoldBalance>0.00</HoldBalance></Result>"
    )
    assert balance(lambda _request: framed("4001", body)) == Balance(
        ACCOUNT, Money(100_088), Money(100_088), Money(0), Money(107_588)
    )


def test_a_balance_without_the_later_fields_and_below_zero() -> None:
    old = "<Result><Balance>-1.5</Balance><TotalAmount>0</TotalAmount></Result>"
    got = balance(lambda _request: framed("4001", old))
    assert (got.available, got.book, got.frozen, got.previous_day) == (Money(-150), Money(0), None, None)


@pytest.mark.parametrize(
    "body",
    [
        "<Result><Account>00000000000018</Account><Balance>1.00</Balance></Result>",
        "<Result><CcyCode>USD</CcyCode><Balance>1.00</Balance></Result>",
        "<Result><Balance>1,000.00</Balance></Result>",
        "<Result><Balance>1.00</Balance><Balance>2.00</Balance></Result>",
    ],
)
def test_a_balance_that_cannot_be_ours_is_no_answer(body: str) -> None:
    with pytest.raises(ProtocolError):
        balance(lambda _request: framed("4001", body))


def test_balances_of_the_twin_today_and_in_the_past() -> None:
    paper = books()
    paper.lines = [entry(1, TODAY - 3 * DAY, balance_after=Money(5_000))]
    reply = Spy(paper)
    assert balance(reply).previous_day == Money(107_588)
    assert balance(reply, TODAY - 2 * DAY).book == Money(5_000)
    assert reply.operations == ["4001", "4012"]
    with pytest.raises(Declined) as caught:
        balance(reply, TODAY - 101 * DAY)
    assert (caught.value.code, caught.value.outcome, caught.value.listed) == ("YQ9993", "failed", True)


def test_only_renminbi_is_asked_for() -> None:
    with pytest.raises(ProtocolError):
        balance(lambda _request: b"", currency="USD")


@pytest.mark.parametrize(
    ("code", "outcome", "listed"),
    [("YQ9971", "rate_limited", True), ("AFE003", "retry", True), ("5223", "failed", True), ("NEW001", "retry", False)],
)
def test_a_question_answered_with_a_code(code: str, outcome: str, listed: bool) -> None:
    with pytest.raises(Declined) as caught:
        balance(lambda _request: framed("4001", None, code=code, text="说明", service="01"))
    assert (caught.value.code, caught.value.outcome, caught.value.listed) == (code, outcome, listed)
    assert caught.value.bank_text == "说明"


# ---- entries -----------------------------------------------------------------------------------------


def test_a_row_of_4013_field_by_field() -> None:
    paper = books()
    paper.lines = [
        entry(7, TODAY - DAY, "12.34", text="货款", balance_after=Money(999)),
        entry(8, TODAY - DAY, "5.00", direction=Direction.CREDIT),
    ]
    (into, out), pages = walk(bank(), TODAY - DAY, TODAY - DAY, Spy(paper))
    assert pages == 1
    assert (out.bank_line_id, out.direction, out.amount) == (
        "20250101-000000000007-D1234",
        Direction.DEBIT,
        Money(1_234),
    )
    assert (out.bank_date, out.balance, out.text) == (TODAY - DAY, Money(999), "转账 货款")
    assert out.booked_at == paper.lines[0].at
    assert out.counterparty_account == into.counterparty_account == AccountNumber(CREDITOR)
    assert out.counterparty_name is not None
    assert out.counterparty_name.clear == "示例丙"
    assert into.direction is Direction.CREDIT


@pytest.mark.parametrize("style", ["4008", "4013"])
def test_today_and_the_past_are_never_mixed_in_one_question(style: str) -> None:
    paper = books()
    paper.lines = [entry(n, TODAY - timedelta(days=2 - n % 3)) for n in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    reply = Spy(paper)
    lines, pages = walk(bank(today_lines=style), TODAY - 2 * DAY, TODAY, reply)
    # The history is told newest first, today's list oldest first.
    assert [line.bank_line_id[20] for line in lines] == list("741630258")
    assert (pages, reply.operations) == (2, ["4013", style])
    assert b"<BeginDate>20241231</BeginDate><EndDate>20250101</EndDate>" in reply.asked[0]


@pytest.mark.parametrize(("style", "pages"), [("4008", 3), ("4013", 1)])
def test_a_long_day_is_walked_to_its_end(style: str, pages: int) -> None:
    paper = books()
    paper.lines = [entry(n, TODAY) for n in range(25)]
    reply = Spy(paper)
    lines, walked = walk(bank(today_lines=style), TODAY, TODAY, reply)
    assert len({line.bank_line_id for line in lines}) == 25 == len(lines)
    assert walked == pages
    assert set(reply.operations) == {style}
    if style == "4008":
        asked = [request[222:].decode("gbk").partition("<PageNo>")[2] for request in reply.asked]
        assert asked == [
            "0</PageNo><JournalNo>0</JournalNo><LogCount>0</LogCount></Result>",
            "1</PageNo><JournalNo>000000000009</JournalNo><LogCount>10</LogCount></Result>",
            "2</PageNo><JournalNo>000000000019</JournalNo><LogCount>20</LogCount></Result>",
        ]


def test_numbered_pages_keep_their_size_even_if_the_setting_changes_on_the_way() -> None:
    paper = books()
    paper.lines = [entry(n, TODAY - DAY) for n in range(95)]
    reply = Spy(paper)
    asked = LinesQuestion(ACCOUNT, TODAY - DAY, TODAY - DAY)
    first = page(bank(page_lines=40), asked, reply)
    assert len(first.lines) == 40
    second = page(bank(page_lines=1000), replace(asked, cursor=first.cursor), reply)
    third = page(bank(page_lines=1000), replace(asked, cursor=second.cursor), reply)
    assert (len(second.lines), len(third.lines), third.cursor) == (40, 15, None)
    assert [request.partition(b"<PageNo>")[2][:1] for request in reply.asked] == [b"1", b"2", b"3"]


def test_a_fee_shares_its_payment_s_number_also_across_a_page_s_edge() -> None:
    paper = books()
    paper.lines = [entry(29, TODAY - DAY, "100.00", reference="GW77")]
    paper.lines.append(entry(30, TODAY - DAY, "4.00", reference="GW77", fee=True))
    paper.lines += [entry(31 + n, TODAY - DAY) for n in range(29)]
    lines, pages = walk(bank(page_lines=30), TODAY - DAY, TODAY - DAY, Spy(paper))
    assert pages == 2
    fee, paid = lines[-2:]
    assert (paid.bank_line_id, fee.bank_line_id) == ("20250101-HGW77-D10000", "20250101-HGW77-D400F")
    assert (paid.fee, fee.fee) == (False, True)
    assert all(line.occurrence == 0 for line in lines) and not any(line.fee for line in lines[:-2])


@pytest.mark.parametrize("style", ["4008", "4013"])
def test_a_day_without_entries_is_an_empty_page(style: str) -> None:
    reply = Spy(books())
    assert walk(bank(today_lines=style), TODAY, TODAY, reply) == ([], 1)
    assert walk(bank(today_lines=style), TODAY - 9 * DAY, TODAY - 8 * DAY, reply) == ([], 1)
    assert walk(bank(today_lines=style), TODAY - DAY, TODAY, reply) == ([], 2)


@pytest.mark.parametrize("code", ["ES0200", "YQ9996", "MA0103"])
@pytest.mark.parametrize("operation", ["4008", "4013"])
def test_every_code_for_nothing(code: str, operation: str) -> None:
    adapter = bank(today_lines=operation)
    got = page(adapter, LinesQuestion(ACCOUNT, TODAY, TODAY), lambda _request: framed(operation, None, code=code))
    assert got == Page(())


def test_nothing_is_asked_about_the_future() -> None:
    assert page(bank(), LinesQuestion(ACCOUNT, TODAY + DAY, TODAY + 2 * DAY), lambda _request: b"") == Page(())


def test_a_walk_that_lives_through_midnight() -> None:
    paper = books()
    paper.lines = [entry(1, TODAY - DAY), entry(2, TODAY), entry(3, TODAY + DAY)]
    asked = LinesQuestion(ACCOUNT, TODAY - DAY, TODAY + DAY)
    reply = Spy(paper)
    adapter = bank(today_lines="4008")
    before = page(adapter, asked, reply)
    paper.at = NOON + DAY
    # The next page was to be of 4008, which has no dates: asked now, it would be about another day.
    with pytest.raises(ProtocolError) as caught:
        page(adapter, replace(asked, cursor=before.cursor), reply, today=TODAY + DAY)
    assert caught.value.reason == "paging"

    numbered = bank(today_lines="4013")
    paper.at = NOON
    cursor = page(numbered, asked, reply).cursor
    paper.at = NOON + DAY
    second = page(numbered, replace(asked, cursor=cursor), reply, today=TODAY + DAY)
    third = page(numbered, replace(asked, cursor=second.cursor), reply, today=TODAY + DAY)
    assert [line.bank_line_id[20] for line in (*second.lines, *third.lines)] == ["2", "3"]
    assert third.cursor is None


@pytest.mark.parametrize("style", ["4008", "4013"])
def test_a_leg_of_today_is_begun_again_once_its_day_is_over(style: str) -> None:
    adapter, paper = bank(today_lines=style, page_lines=30), books()
    paper.lines = [entry(n, TODAY) for n in range(40)]
    asked, reply = LinesQuestion(ACCOUNT, TODAY, TODAY), Spy(paper)
    first = page(adapter, asked, reply)
    assert first.cursor is not None
    with pytest.raises(ProtocolError) as caught:
        page(adapter, replace(asked, cursor=first.cursor), reply, today=TODAY + DAY)
    assert caught.value.reason == "paging"
    assert len(reply.asked) == 1


def test_a_leg_of_closed_days_goes_on_over_midnight_and_over_many_pages() -> None:
    adapter, paper = bank(page_lines=30), books()
    paper.lines = [entry(n, TODAY - DAY) for n in range(70)] + [entry(100 + n, TODAY) for n in range(70)]
    asked, reply = LinesQuestion(ACCOUNT, TODAY - DAY, TODAY), Spy(paper)
    got = page(adapter, asked, reply)
    lines = list(got.lines)
    # Midnight comes after the first page of yesterday. No page of today was read yet.
    paper.at = NOON + DAY
    for _ in range(5):
        got = page(adapter, replace(asked, cursor=got.cursor), reply, today=TODAY + DAY)
        lines += got.lines
    assert got.cursor is None
    assert len({line.bank_line_id for line in lines}) == 140 == len(lines)


def test_too_many_questions_are_said_to_be_that() -> None:
    paper = books()
    paper.lines = [entry(1, TODAY)]
    reply = Spy(paper, rate_limit_per_s=1)
    asked = LinesQuestion(ACCOUNT, TODAY, TODAY)
    assert page(bank(today_lines="4008"), asked, reply).lines
    with pytest.raises(Declined) as caught:
        page(bank(today_lines="4008"), asked, reply)
    assert caught.value.outcome == "rate_limited"
    paper.at += timedelta(seconds=1)
    assert page(bank(today_lines="4008"), asked, reply).lines


ROW = (
    "<list><AcctDate>20250101</AcctDate><TxTime>10:30:15</TxTime><HostTrace>H1</HostTrace>"
    "<TranAmount>-2.50</TranAmount><DcFlag>D</DcFlag><InAcctNo>25</InAcctNo></list>"
)


def lines_of(body: str, **changes: Any) -> Page:
    asked = replace(LinesQuestion(ACCOUNT, TODAY - DAY, TODAY - DAY), **changes)
    return page(bank(), asked, lambda _request: framed("4013", body))


def test_a_row_with_little_in_it_and_a_booking_taken_back() -> None:
    (line,) = lines_of(f"<Result><EndFlag>Y</EndFlag>{ROW}</Result>").lines
    assert line.amount == Money(-250)
    assert line.booked_at is not None
    assert line.booked_at.hour == 10
    assert (line.counterparty_name, line.balance, line.text) == (None, None, "")


@pytest.mark.parametrize(
    "body",
    [
        f"<Result>{ROW}</Result>",  # no EndFlag
        f"<Result><EndFlag>X</EndFlag>{ROW}</Result>",
        f"<Result><EndFlag>Y</EndFlag><PageRecCount>2</PageRecCount>{ROW}</Result>",
        "<Result><EndFlag>N</EndFlag></Result>",  # no rows, but not the last page
        f"<Result><EndFlag>Y</EndFlag>{ROW.replace('20250101', '20241231')}</Result>",
        f"<Result><EndFlag>Y</EndFlag>{ROW.replace('20250101', '20250102')}</Result>",
        f"<Result><AcctNo>00000000000018</AcctNo><EndFlag>Y</EndFlag>{ROW}</Result>",
        f"<Result><EndFlag>Y</EndFlag>{ROW.replace('<InAcct', '<OutAcctNo>00000000000018</OutAcctNo><InAcct')}</Result>",
        f"<Result><EndFlag>Y</EndFlag>{ROW.replace('>D<', '>C<')}</Result>",
    ],
)
def test_a_page_that_cannot_be_whole_is_no_answer(body: str) -> None:
    with pytest.raises(ProtocolError):
        lines_of(body)


@pytest.mark.parametrize(
    ("sender", "payee", "known"), [(DEBTOR, "25", True), ("25", DEBTOR, True), ("", "25", True), ("26", "25", False)]
)
def test_which_field_of_4008_is_ours_is_not_known_but_one_of_them_is(sender: str, payee: str, known: bool) -> None:
    row = (
        f"<list><HostSeqNo>1</HostSeqNo><TxAmount>1.00</TxAmount><TxType>D</TxType><SendAccount>{sender}</SendAccount>"
        f"<AcctAccount>{payee}</AcctAccount></list>"
    )
    body = f"<Result><AcctNo>{DEBTOR}</AcctNo><EndFlag>Y</EndFlag>{row}</Result>"
    asked = LinesQuestion(ACCOUNT, TODAY, TODAY)
    if known:
        assert len(page(bank(today_lines="4008"), asked, lambda _request: framed("4008", body)).lines) == 1
        return
    with pytest.raises(ProtocolError) as caught:
        page(bank(today_lines="4008"), asked, lambda _request: framed("4008", body))
    assert caught.value.reason == "correlation"


def test_a_bank_that_goes_round_is_found_out() -> None:
    again = f"<Result><EndFlag>N</EndFlag>{ROW}</Result>"
    first = lines_of(again)
    with pytest.raises(ProtocolError) as caught:
        lines_of(again, cursor=first.cursor)
    assert caught.value.reason == "paging"


def test_a_cursor_of_another_question_or_hand_is_refused() -> None:
    cursor = lines_of(f"<Result><EndFlag>N</EndFlag>{ROW}</Result>").cursor
    for changes in (
        {"cursor": "x"},
        {"cursor": cursor, "last": TODAY},
        {"cursor": cursor, "account": AccountNumber("1")},
    ):
        with pytest.raises(ProtocolError):
            lines_of("<Result/>", **changes)


# ---- returns -----------------------------------------------------------------------------------------


def returns(reply: Reply, first: date, last: date) -> tuple[list[Return], int]:
    ask = bank().questions.returns
    assert ask is not None
    found: list[Return] = []
    asked, pages = ReturnsQuestion(ACCOUNT, first, last), 0
    while True:
        got: ReturnsPage = converse(ask(asked, context()), reply)
        found, pages = found + list(got.returns), pages + 1
        if got.cursor is None:
            return found, pages
        asked = replace(asked, cursor=got.cursor)


def came_back(paper: PaperBooks, reference: str, day: date) -> None:
    instruction = Instruction(reference, DEBTOR, CREDITOR, "示例丙", Money(1_000), "货款")
    paper.bookings[reference] = Booking(
        instruction, Booked.RETURNED, "22", NOON, TODAY, reason="账号户名不符", returned_on=day
    )


def test_returns_are_walked_in_legs_of_thirty_days() -> None:
    paper = books()
    came_back(paper, "GW1", TODAY - 40 * DAY)
    came_back(paper, "GW2", TODAY)
    reply = Spy(paper)
    found, pages = returns(reply, TODAY - 44 * DAY, TODAY)
    assert [(one.reference, one.returned_on, one.amount) for one in found] == [
        ("GW1", TODAY - 40 * DAY, Money(1_000)),
        ("GW2", TODAY, Money(1_000)),
    ]
    assert found[0].text == "账号户名不符"
    assert pages == 2
    assert b"<StartDate>20241119</StartDate><EndDate>20241218</EndDate>" in reply.asked[0]
    assert b"<StartDate>20241219</StartDate><EndDate>20250102</EndDate>" in reply.asked[1]


def test_a_full_page_of_returns_is_followed_by_another() -> None:
    paper = books()
    for number in range(200):
        came_back(paper, f"GW{number}", TODAY)
    found, pages = returns(Spy(paper), TODAY, TODAY)
    assert (len({one.reference for one in found}), pages) == (200, 2)


def test_no_returns() -> None:
    assert returns(Spy(books()), TODAY, TODAY) == ([], 1)
    assert returns(Spy(books()), TODAY, TODAY - DAY) == ([], 1)


# ---- probe -------------------------------------------------------------------------------------------


def test_the_probe_is_an_empty_s001_and_needs_a_good_answer() -> None:
    adapter = bank()
    sent = first_step(adapter.sessions.probe(context()))
    assert (sent[40:46], sent[222:]) == (b"S001  ", b'<?xml version="1.0" encoding="GBK"?><Result></Result>')
    converse(adapter.sessions.probe(context()), Spy(books()))
    with pytest.raises(Declined):
        converse(adapter.sessions.probe(context()), lambda _r: framed("S001", None, code="GW3002", service="01"))


def test_the_twin_s_word_for_what_it_does_not_know() -> None:
    request = bytearray(first_step(bank().sessions.probe(context())))
    request[40:46] = b"DP00  "
    answer = replying(twin.build({}, {}), books())(bytes(request))
    assert (answer[87:93], answer[51:53], len(answer)) == (b"YQ0000", b"01", 222)
    assert answer[93:193].decode("gbk").rstrip() == ":无法处理的请求,请核对交易码"
