"""Facts that real messages showed about 4008, 4013, 4015, 4017, 4019, 4047 and 4048: banks/pab.md 9, item by item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial

import pytest

from protocols.banks.pab import twin
from protocols.canon.host_days import HostDays
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import Fate
from protocols.canon.party import AccountNumber
from protocols.canon.query import DirectoryQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Line, Page, Return, ReturnsPage
from protocols.kit.errors import ProtocolError
from tests.protocols.banks.every.bench import table
from tests.protocols.banks.pab.paper import (
    DEBTOR,
    NOON,
    TODAY,
    ZONE,
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
from tests.protocols.banks.pab.test_statement import Spy, came_back, walk

ACCOUNT = AccountNumber(DEBTOR)
DAY = timedelta(days=1)
STYLES = pytest.mark.parametrize("style", ["4008", "4013"])


def page_of(first: date, last: date) -> LinesQuestion:
    return LinesQuestion(ACCOUNT, first, last)


def returned(body: str) -> ReturnsPage:
    ask = bank().questions.returns
    assert ask is not None
    return converse(ask(ReturnsQuestion(ACCOUNT, TODAY, TODAY), context()), lambda _request: framed("4019", body))


def row_4019(**changes: str) -> str:
    leaves = {
        "ThirdVoucher": "",
        "SThirdVoucher": "GW1",
        "Amount": "10.00",
        "RejectDate": "20250102093000",
        "RejectRemark": "账号户名不符",
        "FrontLogNo": "22",
    } | changes
    return "<list>" + "".join(f"<{tag}>{text}</{tag}>" for tag, text in leaves.items()) + "</list>"


# ---- 4019 ----


def test_a_row_of_4019_as_it_really_is() -> None:
    body = f"<Result><IsEnd>Y</IsEnd><TotalCts>1</TotalCts>{row_4019()}</Result>"
    assert returned(body).returns == (Return("GW1", Money(1_000), TODAY, "账号户名不符"),)


@pytest.mark.parametrize("odd", [{"SThirdVoucher": ""}, {"Amount": "10,00"}, {"Amount": "?"}])
def test_an_unreadable_row_of_4019_hides_no_other(odd: dict[str, str]) -> None:
    page = returned(f"<Result><IsEnd>Y</IsEnd><TotalCts>2</TotalCts>{row_4019(**odd)}{row_4019()}</Result>")
    assert [one.reference for one in page.returns] == ["GW1"]
    assert len(page.findings) == 1 and "row 1" in page.findings[0]


def test_a_date_that_cannot_be_read_hides_no_return() -> None:
    (one,) = returned(f"<Result><IsEnd>Y</IsEnd>{row_4019(RejectDate='2025')}</Result>").returns
    assert (one.reference, one.returned_on) == ("GW1", None)


def test_no_returns_are_an_accepted_answer_with_a_count_of_zero() -> None:
    assert returned("<Result><IsEnd>Y</IsEnd><TotalCts>0</TotalCts></Result>") == ReturnsPage(())
    reply = Spy(books())
    ask = bank().questions.returns
    assert ask is not None
    assert converse(ask(ReturnsQuestion(ACCOUNT, TODAY, TODAY), context()), reply) == ReturnsPage(())


@pytest.mark.parametrize(
    ("head", "more"),
    [
        ("<IsEnd>N</IsEnd><TotalCts>2</TotalCts>", True),
        ("<IsEnd>Y</IsEnd><TotalCts>200</TotalCts>", False),
        ("<TotalCts>101</TotalCts>", True),
        ("<TotalCts>100</TotalCts>", False),
        ("", False),
    ],
)
def test_the_pages_of_4019_end_where_its_head_says(head: str, more: bool) -> None:
    assert (returned(f"<Result>{head}{row_4019()}</Result>").cursor is not None) == more


def test_all_pages_of_returns_are_walked() -> None:
    paper = books()
    for number in range(130):
        came_back(paper, f"GW{number}", TODAY)
    ask, asked, found = bank().questions.returns, ReturnsQuestion(ACCOUNT, TODAY, TODAY), list[Return]()
    assert ask is not None
    reply = replying(twin.build({"faults": ["odd_rows"]}, {}), paper)
    for _ in range(2):
        page = converse(ask(asked, context()), reply)
        found += page.returns
        asked = replace(asked, cursor=page.cursor)
    assert asked.cursor is None and len({one.reference for one in found}) == 130


# ---- 4008 and 4013 ----


def charged(day: date) -> PaperBooks:
    """A day with two payments, each with a fee, and two rows that differ only in their place."""
    paper = books()
    for number in (1, 3):
        paper.lines.append(entry(number, day, "100.00", reference=f"GW{number}", balance_after=Money(1_000 - number)))
        paper.lines.append(entry(number + 1, day, "4.00", reference=f"GW{number}", fee=True, text=""))
    return paper


def ids(lines: list[Line]) -> set[tuple[str, int]]:
    return {(line.bank_line_id, line.occurrence) for line in lines}


@STYLES
def test_a_fee_is_recognised_by_its_mark_whatever_comes_first(style: str) -> None:
    paper = charged(TODAY)
    today, _ = walk(bank(today_lines=style), TODAY, TODAY, Spy(paper))
    assert [line.fee for line in today] == [False, True, False, True]
    assert [line.amount.minor for line in today if line.fee] == [400, 400]


@STYLES
def test_ids_of_today_s_list_are_those_of_the_history(style: str) -> None:
    paper = charged(TODAY)
    today, _ = walk(bank(today_lines=style), TODAY, TODAY, Spy(paper))
    paper.at = NOON + DAY
    history: list[Line] = []
    ask, reply = bank().questions.lines, Spy(paper)
    assert ask is not None
    asked = page_of(TODAY, TODAY)
    while True:
        page = converse(ask(asked, replace(context(now=paper.at), bank_date=TODAY + DAY)), reply)
        history += page.lines
        if page.cursor is None:
            break
        asked = replace(asked, cursor=page.cursor)
    assert [line.fee for line in history] == [True, False, True, False], "the history is told newest first"
    assert ids(today) == ids(history) and len(ids(today)) == 4


@STYLES
def test_no_balance_of_today_s_rows_is_believed(style: str) -> None:
    paper = charged(TODAY)
    today, _ = walk(bank(today_lines=style), TODAY, TODAY, Spy(paper))
    assert {line.balance for line in today} == {None}
    paper = charged(TODAY - DAY)
    past, _ = walk(bank(), TODAY - DAY, TODAY - DAY, Spy(paper))
    assert Money(999) in {line.balance for line in past}


@STYLES
def test_an_evening_s_entries_have_the_next_accounting_date_and_their_own_moment(style: str) -> None:
    paper, late = books(), datetime(2025, 1, 2, 21, 37, 5, tzinfo=ZONE)
    paper.lines = [entry(1, TODAY), replace(entry(2, TODAY), at=late)]
    paper.at = late + timedelta(minutes=5)
    adapter = bank(today_lines=style)
    lines, _ = walk(adapter, TODAY, TODAY, Spy(paper))
    evening = lines[-1]
    assert (evening.bank_date, evening.booked_at) == (TODAY + DAY, late)
    # A day later the same entry has the same id.
    paper.at = NOON + DAY
    ask = adapter.questions.lines
    assert ask is not None
    question = page_of(TODAY + DAY, TODAY + DAY)
    page = converse(ask(question, replace(context(now=paper.at), bank_date=TODAY + DAY)), Spy(paper))
    assert ids(list(page.lines)) == ids([evening])


def test_the_rows_of_4008_are_of_the_day_in_its_head() -> None:
    row = "<list><HostSeqNo>1</HostSeqNo><TxAmount>1.00</TxAmount><TxType>D</TxType></list>"
    for stated, day in (("20250104", TODAY + 2 * DAY), ("", TODAY)):
        head = f"<Result><AcctNo>{DEBTOR}</AcctNo><TranDate>{stated}</TranDate><EndFlag>Y</EndFlag>{row}</Result>"
        ask = bank(today_lines="4008").questions.lines
        assert ask is not None
        answer = framed("4008", head)
        wide = replace(context(), host=HostDays(bound=2))
        page = converse(ask(page_of(TODAY, TODAY), wide), partial(lambda told, _request: told, answer))
        assert [line.bank_date for line in page.lines] == [day]
        assert page.host_date == (day if stated else None)


@STYLES
def test_an_unreadable_entry_hides_no_other_and_keeps_its_day_open(style: str) -> None:
    reply = Spy(charged(TODAY), faults=["odd_rows"])
    ask = bank(today_lines=style).questions.lines
    assert ask is not None
    page: Page = converse(ask(page_of(TODAY, TODAY), context()), reply)
    assert (len(page.lines), page.unread, len(page.findings)) == (4, 1, 1)


ROW = (
    "<list><AcctDate>20250101</AcctDate><TxTime>103015</TxTime><HostTrace>H1</HostTrace>"
    "<TranAmount>2.50</TranAmount><DcFlag>D</DcFlag></list>"
)


@pytest.mark.parametrize(("old", "new"), [("H1", ""), (">D<", ">X<"), ("2.50", "2.5e1"), ("20250101", "20250230")])
def test_each_kind_of_unreadable_entry_is_told_as_a_finding(old: str, new: str) -> None:
    body = f"<Result><EndFlag>Y</EndFlag>{ROW.replace(old, new)}{ROW}</Result>"
    ask = bank().questions.lines
    assert ask is not None
    page = converse(ask(page_of(TODAY - DAY, TODAY - DAY), context()), lambda _request: framed("4013", body))
    assert (len(page.lines), page.unread) == (1, 1)


# ---- 4017 ----


@pytest.mark.parametrize(
    ("name", "cnaps", "number"),
    [("中国农业银行某支行", None, "103"), ("某支行", "103100000026", "103"), ("中国银行某支行", None, "104")],
)
def test_4017_asks_with_three_digits_and_a_key_word(name: str, cnaps: str | None, number: str) -> None:
    ask = bank().questions.directory
    assert ask is not None
    sent = first_step(ask(DirectoryQuestion(name, cnaps), context())).decode("gbk")
    assert f"<BankNo>{number}</BankNo>" in sent and f"<KeyWord>{name}</KeyWord>" in sent


@pytest.mark.parametrize("question", [DirectoryQuestion("某支行"), DirectoryQuestion()])
def test_4017_is_not_asked_without_both(question: DirectoryQuestion) -> None:
    ask = bank().questions.directory
    assert ask is not None
    with pytest.raises(ProtocolError, match="number of any branch"):
        first_step(ask(question, context()))


# ---- 4015, 4047, 4048 ----


def test_a_batch_in_process_that_names_no_line_is_in_process() -> None:
    made = table("pab", faults=["batch_untold"])
    bundle, reference = made.bundle(Kind.BATCH_ITEM, ("货款", "货款"))
    made.pay_bundle(bundle, reference)
    told = made.bundle_fate(Kind.BATCH_ITEM, reference)
    assert [told[item.reference].fate for item in bundle.items] == [Fate.PENDING] * 2


def tampered(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda frame: frame.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<TotalNum>2<", b"<TotalNum>3<"),
        (b"<TotalAmount>24691.34<", b"<TotalAmount>24691.35<"),
        (b"<SrcAccNo>00", b"<SrcAccNo>99"),
    ],
)
def test_an_answer_to_4047_about_other_sums_is_not_ours(old: bytes, new: bytes) -> None:
    made = table("pab")
    bundle, reference = made.bundle(Kind.PAYROLL_ITEM, ("货款", "货款"))
    made.stage.tamper = tampered(old, new)
    with pytest.raises(ProtocolError, match="correlation"):
        made.pay_bundle(bundle, reference)
    assert old in made.stage.said[-1].answer.replace(new, old)


def test_a_line_of_4048_may_be_named_by_its_third_voucher_alone() -> None:
    made = table("pab")
    bundle, reference = made.bundle(Kind.PAYROLL_ITEM, ("货款", "货款"))
    made.pay_bundle(bundle, reference)

    def renamed(frame: bytes) -> bytes:
        return (
            frame.replace(b"<ThirdVoucher>", b"<FirstVoucher>")
            .replace(b"</ThirdVoucher>", b"</FirstVoucher>")
            .replace(b"SThirdVoucher>", b"ThirdVoucher >")
        )

    made.stage.tamper = renamed
    told = made.bundle_fate(Kind.PAYROLL_ITEM, reference)
    assert [told[item.reference].fate for item in bundle.items] == [Fate.SETTLED] * 2
