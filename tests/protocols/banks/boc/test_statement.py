"""Balances and entries: read leg by leg and page by page; contradictory answers are refused."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from gateway.simbank.ledger import BookingRules
from protocols.bank import BadOptions
from protocols.banks.boc import twin
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Direction
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PageCursor, fingerprint
from protocols.kit.walk import WalkPlace
from tests.protocols.banks.boc.paper import (
    CODES,
    OURS,
    THEIRS,
    TODAY,
    answer,
    bank,
    content,
    context,
    order,
    row,
    stage,
    talk,
)

ACCOUNT = AccountNumber(OURS)


def held(account: str = OURS, code: str | None = "B001", currency: str = "CNY", day: str = "20261124") -> str:
    return row(
        code,
        (
            f"<account><ibknum>40000</ibknum><actacn>{account}</actacn><curcde>{currency}</curcde><actname>甲公司</actname></account>"
            "<balance><bokbal>1000.00</bokbal><avabal>900.00</avabal><stpamt>100.00</stpamt><ovramt>0.00</ovramt></balance>"
            f"<baldat>{day}</baldat>"
        ),
    )


def entry(**changes: str) -> str:
    leaves = {
        "vchnum": "",
        "transid": "000000001",
        "insid": "GW2601050001",
        "txndate": "20261124",
        "txntime": "101010",
        "txnamt": "10.00",
        "acctbal": "990.00",
        "avlnal": "990.00",
        "useinfo": "",
        "furinfo": "货款",
        "trncur": "CNY",
        "direction": "2",
        "valdat": "20261124",
        "from": OURS,
        "to": THEIRS,
    } | changes
    payer = f"<fractn><ibknum>40000</ibknum><actacn>{leaves.pop('from')}</actacn><acntname>甲公司</acntname></fractn>"
    payee = f"<toactn><toibkn/><actacn>{leaves.pop('to')}</actacn><toname>乙公司</toname><tobank>某行</tobank></toactn>"
    return row("B001", payer + payee + "".join(f"<{tag}>{text}</{tag}>" for tag, text in leaves.items()))


def page(*rows: str, total: int | None = None, told: int | None = None) -> bytes:
    count = len(rows)
    counts = (
        f"<totalnum>{count if total is None else total}</totalnum><notenum>{count if told is None else told}</notenum>"
    )
    return answer("b2e0035", "B001", *rows, before=counts)


def balance(*frames: bytes, on: date | None = None, **options: Any) -> Any:
    ask = bank(**options).questions.balance
    assert ask is not None
    return talk(ask(BalanceQuestion(ACCOUNT, on=on), context()), *frames)


def lines(
    *frames: bytes, cursor: str | None = None, first: date = TODAY, last: date = TODAY, on: date = TODAY, **options: Any
) -> Any:
    """A page of entries, requested on the bank's day `on`."""
    ask = bank(**options).questions.lines
    assert ask is not None
    return talk(ask(LinesQuestion(ACCOUNT, first, last, cursor=cursor), replace(context(), bank_date=on)), *frames)


def test_an_entry_that_a_newer_one_moved_to_the_next_page_is_told_once() -> None:
    """The newest entry comes first, and a new one arrived between two pages. Reported twice under different numbers, an
    entry would be two entries for ever."""

    def told(*numbers: int, total: int) -> bytes:
        return page(*(entry(transid=f"{n:09d}", acctbal=f"{n}.00") for n in numbers), total=total)

    got, _ = lines(told(*range(52, 2, -1), total=52))
    then, [asked] = lines(told(3, 2, 1, total=53), cursor=got.cursor)
    assert "<begnum>51</begnum>" in content(asked)
    numbers = [(one.bank_line_id[-2:], one.occurrence) for one in (*got.lines, *then.lines)]
    assert numbers == [(f"{n:02d}", 0) for n in range(52, 0, -1)] and then.cursor is None


def test_a_balance_now() -> None:
    got, [asked] = balance(answer("b2e0005", "B001", held()))
    assert f"<b2e0005-rq><account><ibknum>40000</ibknum><actacn>{OURS}</actacn></account></b2e0005-rq>" in content(
        asked
    )
    assert (got.book, got.available, got.frozen) == (Money(100_000), Money(90_000), Money(10_000))
    assert "<ibknum>40001</ibknum>" in content(
        balance(answer("b2e0005", "B001", held(currency="001")), branches={OURS: "40001"})[1][0]
    )


def test_a_row_s_own_code_counts() -> None:
    with pytest.raises(Declined) as caught:
        balance(answer("b2e0005", "B001", held(code="TW07")))
    assert caught.value.listed is False


@pytest.mark.parametrize("rows", [(), (held(), held()), (held(account=THEIRS),), (held(currency="USD"),), (row(),)])
def test_a_balance_of_something_else_is_none(rows: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolError):
        balance(answer("b2e0005", "B001", *rows))


def test_a_past_day_s_balance_stands_in_a_row_without_a_status() -> None:
    day = TODAY - timedelta(days=1)
    rows = (held(code=None, day="20261122"), held(code=None, day="20261123"))
    got, [asked] = balance(answer("b2e0012", "B001", *rows), on=day)
    assert "<datescope><from>20261123</from><to>20261123</to></datescope>" in content(asked)
    assert (got.book, got.available) == (Money(100_000), Money(90_000))
    with pytest.raises(ProtocolError):
        balance(answer("b2e0012", "B001", rows[0]), on=day)


def test_an_entry() -> None:
    got, [asked] = lines(page(entry(), entry(transid="2", direction="1", **{"from": THEIRS, "to": OURS})))
    assert (
        "<type>2001</type><datescope><from>20261124</from><to>20261124</to></datescope><amountscope><from>0</from>"
        "<to>9999999999</to></amountscope><begnum>1</begnum><recnum>50</recnum><direction>0</direction>"
        in content(asked)
    )
    out, into = got.lines
    assert (out.bank_line_id, out.direction, out.amount, out.reference) == (
        "20261124-000000001",
        Direction.DEBIT,
        Money(1_000),
        "GW2601050001",
    )
    assert (out.counterparty_account, out.counterparty_name.clear) == (AccountNumber(THEIRS), "乙公司")
    assert (into.direction, into.counterparty_name.clear) == (Direction.CREDIT, "甲公司")
    assert (out.text, out.balance, got.cursor) == ("货款", Money(99_000), None)


def test_today_and_the_past_are_never_asked_together() -> None:
    first = TODAY - timedelta(days=40)
    asked, cursor = list[str](), None
    for _leg in range(3):
        got, [request] = lines(page(), first=first, cursor=cursor)
        asked.append(content(request).partition("<type>")[2][:80])
        cursor = got.cursor
    assert cursor is None
    assert [(one[:4], one[28:36], one[47:55]) for one in asked] == [
        ("2002", "20261015", "20261111"),
        ("2002", "20261112", "20261123"),
        ("2001", "20261124", "20261124"),
    ]


def test_a_walk_goes_on_by_the_rows_it_got() -> None:
    got, _ = lines(page(entry(), entry(), total=3))
    assert [one.occurrence for one in got.lines] == [0, 1]
    then, [asked] = lines(page(entry(), total=3), cursor=got.cursor)
    assert "<begnum>3</begnum>" in content(asked)
    assert ([one.occurrence for one in then.lines], then.cursor) == ([2], None)


def scope(request: bytes) -> tuple[str, str, str, str]:
    """Type, first day, last day and number of the first entry that a request asks for."""
    found = re.search(r"<type>(\d+)</type><datescope><from>(\d+)</from><to>(\d+)</to>.*<begnum>(\d+)", content(request))
    assert found
    return found.group(1), found.group(2), found.group(3), found.group(4)


def test_a_leg_of_the_past_goes_on_over_midnight_as_it_began() -> None:
    first, tomorrow = TODAY - timedelta(days=3), TODAY + timedelta(days=1)
    got, [asked] = lines(page(entry(txndate="20261123"), total=2), first=first)
    assert scope(asked) == ("2002", "20261121", "20261123", "1")
    then, [asked] = lines(page(entry(txndate="20261122"), total=2), first=first, cursor=got.cursor, on=tomorrow)
    assert scope(asked) == ("2002", "20261121", "20261123", "2")
    # Today has become a past day before any page of it was read.
    end, [asked] = lines(page(entry()), first=first, cursor=then.cursor, on=tomorrow)
    assert scope(asked) == ("2002", "20261124", "20261124", "1")
    assert end.cursor is None


def test_a_leg_of_today_is_begun_again_after_midnight() -> None:
    tomorrow = TODAY + timedelta(days=1)
    got, _ = lines(page(entry(), total=2))
    with pytest.raises(ProtocolError) as caught:
        lines(cursor=got.cursor, on=tomorrow)
    assert caught.value.reason == "paging"
    before, _ = lines(page(entry(txndate="20261123")), first=TODAY - timedelta(days=1))
    _, [asked] = lines(page(entry(), total=60), first=TODAY - timedelta(days=1), cursor=before.cursor, on=tomorrow)
    assert scope(asked) == ("2002", "20261124", "20261124", "1"), "of which nothing was told yet"


def test_no_entry_of_a_bank_that_tells_the_newest_first_is_lost_at_midnight() -> None:
    kept = [entry(transid=str(n), txndate="20261123") for n in range(120)]
    kept += [entry(transid=str(1000 + n)) for n in range(7)]
    told, cursor = list[str](), None
    for number in range(9):
        question = LinesQuestion(ACCOUNT, TODAY - timedelta(days=3), TODAY, cursor=cursor)
        ask = bank().questions.lines
        assert ask is not None
        conversation = ask(question, replace(context(), bank_date=TODAY + timedelta(days=number > 0)))
        _, first, last, begin = scope(next(conversation).data)  # type: ignore[union-attr]
        there = [one for one in reversed(kept) if first <= one.partition("<txndate>")[2][:8] <= last]
        with pytest.raises(StopIteration) as ended:
            conversation.send(page(*there[int(begin) - 1 : int(begin) + 49], total=len(there)))
        got = ended.value.value
        told += [line.bank_line_id for line in got.lines]
        cursor = got.cursor
        if cursor is None:
            break
    assert len(set(told)) == len(told) == len(kept)


def test_a_cursor_without_its_leg_is_refused() -> None:
    bare = PageCursor(WalkPlace(TODAY).text(), 1, fingerprint("lines", OURS, "20261124", "20261124")).encode()
    with pytest.raises(ProtocolError) as caught:
        lines(cursor=bare)
    assert caught.value.reason == "paging"


def test_a_full_page_without_a_total_is_no_end() -> None:
    rows = [entry(transid=str(n)) for n in range(50)]
    with pytest.raises(ProtocolError) as caught:
        lines(answer("b2e0035", "B001", *rows))
    assert caught.value.reason == "missing"
    assert lines(answer("b2e0035", "B001", *rows[:49]))[0].cursor is None


def test_no_entries_are_an_empty_page_also_where_the_bank_says_so_with_a_code() -> None:
    assert lines(page())[0].lines == ()
    assert lines(answer("b2e0035", "TW03"), codes=CODES)[0].lines == ()
    assert lines(answer("b2e0035", "B001", row("TW03")), codes=CODES)[0].lines == ()
    for frame in (answer("b2e0035", "TW03"), answer("b2e0035", "B001", row("TW03"))):
        with pytest.raises(Declined):
            lines(frame)


@pytest.mark.parametrize(
    "frame", [page(entry(), told=2), page(total=1), answer("b2e0035", "B001", entry(), before="<totalnum>x</totalnum>")]
)
def test_a_page_that_cannot_be_right_is_no_answer(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        lines(frame)


@pytest.mark.parametrize(
    "odd",
    [
        entry(txndate="20261123"),
        entry(transid=""),
        entry(direction="3"),
        entry(direction="1"),
        entry(trncur="USD"),
        entry(txnamt="-1.00"),
        row("B999"),
        row("?"),
    ],
)
def test_a_row_that_cannot_be_read_hides_no_other(odd: str) -> None:
    got, _ = lines(page(entry(), odd, entry(transid="2")))
    assert [one.bank_line_id for one in got.lines] == ["20261124-000000001", "20261124-2"]
    assert got.unread == 1 and "row 2 cannot be read" in got.findings[0]
    onward, _ = lines(page(odd, entry(), total=3))
    _, [asked] = lines(page(entry(transid="9"), total=3), cursor=onward.cursor)
    assert "<begnum>3</begnum>" in content(asked)


@pytest.mark.parametrize("stated", ["0.00", "0", "x", ""])
def test_a_balance_of_nothing_is_not_believed_and_loses_no_entry(stated: str) -> None:
    [line] = lines(page(entry(acctbal=stated, valdat="odd")))[0].lines
    assert (line.balance, line.value_date) == (None, None)


def test_another_day_s_row_of_a_past_balance_is_no_matter() -> None:
    day = TODAY - timedelta(days=1)
    rows = (held(code=None, day="odd"), held(code=None, day="20261123"))
    assert balance(answer("b2e0012", "B001", *rows), on=day)[0].book == Money(100_000)


def test_a_cursor_of_another_question_is_refused() -> None:
    got, _ = lines(page(entry(), total=2))
    with pytest.raises(ProtocolError):
        lines(page(), cursor=got.cursor, last=TODAY + timedelta(days=1))


@pytest.mark.parametrize(("switch", "pages"), [("stuck", 1), ("wrong_count", 0)])
def test_pages_of_the_twin_that_cannot_be_right_are_no_answers(switch: str, pages: int) -> None:
    scene = stage({switch: True, "page_lines": 2}, BookingRules(fee_minor=1))
    for number in range(5):
        scene.talk(scene.bank.money[Kind.PAYMENT](order(amount=Money(1)), scene.context(f"R{number}")))
    ask = scene.bank.questions.lines
    assert ask is not None
    asked, seen = LinesQuestion(ACCOUNT, TODAY, TODAY), 0
    with pytest.raises(ProtocolError):  # noqa: PT012 - which page of the walk shows it differs by switch
        for _page in range(3):
            got = scene.talk(ask(asked, scene.context()))
            seen += 1
            asked = replace(asked, cursor=got.cursor)
    assert seen == pages


def test_a_switch_that_is_not_known_is_named() -> None:
    with pytest.raises(BadOptions):
        twin.build({"colour": True}, {})


def test_no_data_of_the_twin() -> None:
    scene = stage({"no_data": True}, codes=CODES)
    ask = scene.bank.questions.lines
    assert ask is not None
    assert scene.talk(ask(LinesQuestion(ACCOUNT, TODAY, TODAY), scene.context())).lines == ()
