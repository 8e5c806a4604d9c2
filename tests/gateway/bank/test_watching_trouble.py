"""Watched accounts with a fault in an entry, a question, a clock, a node or a figure: all other work continues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.bank.account_watch import LINES_A_UNIT, chain
from gateway.kernel.cluster import jobs
from gateway.kernel.commit.store import Tx
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import CHINA
from gateway.statements.rows import accounts, statement_evidence
from gateway.statements.rules.statement_jobs import DAYS_BACK, account_key
from protocols.bank import Bank, Context, Conversation
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.kit.declined import Declined
from tests.gateway.bank.test_account_watch import HOURLY_S, POLL_S, named, today, watching
from tests.world.world import World

pytestmark = pytest.mark.usefixtures("long_lease")

DAY = date(2026, 11, 24)
Change = Callable[[Page, LinesQuestion, Context], Page]


def listing(change: Change, past_days: int = 365) -> Callable[[Bank], Bank]:
    """The bank with other lists of entries, and with balances of this many past days."""

    def changed(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            assert bank.questions.lines is not None
            return change((yield from bank.questions.lines(question, context)), question, context)

        return replace(
            bank,
            questions=replace(bank.questions, lines=lines),
            profile=replace(bank.profile, past_balance_days=past_days),
        )

    return changed


def unstated(page: Page, _question: LinesQuestion, _context: Context) -> Page:
    """A page without balances around its entries."""
    return Page(page.lines, page.cursor)


def declining(bank: Bank) -> Bank:
    """The bank, with an adapter that refuses questions about balances."""

    def balance(_question: BalanceQuestion, _context: Context) -> Conversation[Balance]:
        yield from ()
        raise Declined("balance", "9", "no right", "failed")

    return replace(bank, questions=replace(bank.questions, balance=balance))


def to_midnight(world: World) -> float:
    now = world.bank.ledger.now().astimezone(CHINA)
    return (datetime.combine(now.date(), time(), CHINA) + timedelta(days=1) - now).total_seconds()


def closed(world: World, day: date) -> list[dict[str, Any]]:
    return [one for one in named(world, "statement.closed") if one["date"] == day.isoformat()]


def looks(world: World) -> int:
    return world.exchanges(world.life, "lines") if world.life is not None else 0


def sample(world: World, name: str, **labels: str) -> float:
    assert world.life is not None
    return world.life.sample(f"bankgw_{name}", **labels)


# ---- a reading that fails ----


def test_an_entry_whose_word_about_a_payment_goes_wrong_stops_neither_the_others_nor_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(tx: Any, lane: str, line: Line, **_more: Any) -> None:
        if line.amount == Money(10_000):
            raise ValueError("a word that no rule expects")

    monkeypatch.setattr(statement_evidence, "evidence_from_entry", broken)
    world = watching(tmp_path)
    world.start()
    world.submit("AP-1", 10_000)
    world.submit("AP-2", 5_000)
    world.run(2 * POLL_S)
    assert sorted(one["line"]["amount"] for one in named(world, "transaction.booked")) == ["100.00", "50.00"]
    assert sample(world, "alarms_total", alarm="impossible") >= 1
    assert sample(world, "watched_entries_total", bank="sample") == 2
    before = looks(world)
    world.run(10 * POLL_S)
    assert looks(world) - before >= 9


def test_an_entry_that_cannot_be_written_down_keeps_its_day_open_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = accounts.keep_entry

    def broken(tx: Any, bank: str, line: Line, senders: Sequence[str]) -> bool:
        if line.amount == Money(10_000):
            raise ValueError("an entry like none before")
        return real(tx, bank, line, senders)

    monkeypatch.setattr(accounts, "keep_entry", broken)
    world = watching(tmp_path, poll_s=HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    world.submit("AP-2", 5_000)
    day = today(world)
    world.run(86_400 + 2 * HOURLY_S)
    assert [one["line"]["amount"] for one in named(world, "transaction.booked")] == ["50.00"]
    assert closed(world, day) == []
    monkeypatch.setattr(accounts, "keep_entry", real)
    world.run(2 * HOURLY_S)
    assert len(named(world, "transaction.booked")) == 2 and len(closed(world, day)) == 1


def test_a_bank_that_declines_the_balance_tells_of_its_entries_all_the_same(tmp_path: Path) -> None:
    world = watching(tmp_path, declining)
    world.start()
    world.submit("AP-1", 10_000)
    world.run(3 * POLL_S)
    assert len(named(world, "transaction.booked")) == 1
    assert sample(world, "watch_failures_total", bank="sample") >= 2


def test_two_entries_under_one_key_raise_an_alarm_and_close_no_day(tmp_path: Path) -> None:
    def doubled(_page: Page, question: LinesQuestion, _context: Context) -> Page:
        more = question.cursor is None
        one = Line(question.account, "K", Direction.CREDIT, Money(100 if more else 200), question.last)
        return Page((one,), "two" if more else None, opening=Money(0), closing=Money(300))

    def change(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            yield from ()
            return doubled(Page(()), question, context)

        return replace(bank, questions=replace(bank.questions, lines=lines, balance=None))

    world = watching(tmp_path, change)
    world.start()
    world.run(2 * POLL_S)
    assert sample(world, "alarms_total", alarm="answers_disagree") >= 1
    # Today's and yesterday's first entry is reported, and nothing says that the list is complete.
    assert [one["line"]["amount"] for one in named(world, "transaction.booked")] == ["1.00", "1.00"]
    assert named(world, "statement.closed") == []


def test_an_entry_that_a_moving_list_tells_twice_is_no_alarm(tmp_path: Path) -> None:
    world = watching(tmp_path, listing(lambda page, *_: replace(page, lines=page.lines * 2, total_lines=None)))
    world.start()
    world.submit("AP-1", 10_000)
    world.run(2 * POLL_S)
    assert len(named(world, "transaction.booked")) == 1
    assert sample(world, "alarms_total", alarm="answers_disagree") == 0


def test_a_payment_that_is_booked_twice_raises_an_alarm_that_names_it(tmp_path: Path) -> None:
    def again(page: Page, *_: object) -> Page:
        return replace(
            page, lines=page.lines + tuple(replace(one, bank_line_id="TWIN") for one in page.lines), total_lines=None
        )

    world = watching(tmp_path, listing(again, past_days=0))
    world.start()
    world.submit("AP-1", 10_000)
    with capture_logs() as heard:
        world.run(3 * POLL_S)
    assert sample(world, "alarms_total", alarm="booked_twice") == 1, "once, however often the list is read"
    [line] = [one for one in heard if one["event"] == "payment.booked_twice"]
    assert (line["order"], line["payment"]) == ("AP-1", world.last("AP-1")["payment"])
    assert world.state("AP-1") == "settled" and len(named(world, "transaction.booked")) == 2


def test_an_entry_of_another_amount_raises_an_alarm_that_names_the_payment(tmp_path: Path) -> None:
    def dearer(page: Page, *_: object) -> Page:
        return replace(page, lines=tuple(replace(one, amount=Money(one.amount.minor + 1)) for one in page.lines))

    world = watching(tmp_path, listing(dearer, past_days=0))
    world.start()
    world.submit("AP-1", 10_000)
    with capture_logs() as heard:
        world.run(3 * POLL_S)
    assert sample(world, "alarms_total", alarm="answers_disagree") == 1
    [line] = [one for one in heard if one["event"] == "payment.entry_disagrees"]
    assert (line["payment"], line["differs"]) == (world.last("AP-1")["payment"], "amount")


def test_an_entry_of_what_was_refused_is_counted_as_the_contradiction_that_it_is(tmp_path: Path) -> None:
    refused: list[str] = []

    def invented(page: Page, question: LinesQuestion, _context: Context) -> Page:
        entries = (
            Line(question.account, "E-1", Direction.DEBIT, Money(10_000), question.last, reference=one)
            for one in refused
            if question.last == today(world)
        )
        return replace(page, lines=tuple(entries), total_lines=None)

    world = watching(tmp_path, listing(invented, past_days=0), plan=FaultScript([ScriptedFault(BankFault.REFUSE)]))
    world.start()
    world.submit("AP-1", 10_000)
    world.run(5)
    refused.append(world.last("AP-1")["bank_reference"])
    world.run(3 * POLL_S)
    assert world.state("AP-1") == "failed"
    assert sample(world, "alarms_total", alarm="contradiction") == 1


# ---- two nodes ----


def test_what_a_node_read_before_it_lost_its_lane_is_told_and_heard_by_the_next_owner(tmp_path: Path) -> None:
    stopped: list[Any] = []

    def stopping(page: Page, question: LinesQuestion, context: Context) -> Page:
        if stopped and page.lines and question.last == context.bank_date:
            stopped.pop().clock.freeze()  # just after the answer was read
        return page

    def silent(bank: Bank) -> Bank:
        bank = listing(stopping)(bank)
        return replace(bank, questions=replace(bank.questions, fate=None, returns=None))

    world = watching(tmp_path, silent, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    world._changes = {**world._changes, "journal": {"poll_ms": 250}}
    world.settings = world._settings()
    first = world.start()
    world.run(1)
    second = world.start("gw2")
    world.run(5)
    world.submit("AP-1")
    world.run(10)
    assert world.state("AP-1") == "in_doubt"
    stopped.append(first)
    while not first.clock.frozen:
        world.run(1)
    while not second.gateway.lanes["sample.main"].ready:
        world.run(1)
    first.clock.thaw()
    world.run(3 * POLL_S)
    assert world.state("AP-1") == "settled" and len(named(world, "transaction.booked")) == 1


def test_an_entry_seen_before_ends_a_doubt_that_is_there_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the entry was first seen, it could not be applied to the payment."""

    def silent(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, fate=None, returns=None))

    world = watching(tmp_path, silent, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    world.start()
    with monkeypatch.context() as lost:
        lost.setattr(statement_evidence, "evidence_from_entry", lambda *_args, **_more: None)
        world.submit("AP-1")
        world.run(2 * POLL_S)
    assert world.state("AP-1") == "in_doubt" and len(named(world, "transaction.booked")) == 1
    world.run(POLL_S)
    assert world.state("AP-1") == "settled" and len(named(world, "transaction.booked")) == 1


# ---- figures ----


def test_a_list_that_is_not_complete_yet_is_not_closed_with_the_figures_of_its_beginning(tmp_path: Path) -> None:
    left = [1]

    def late(page: Page, question: LinesQuestion, context: Context) -> Page:
        rows = page.lines
        if question.last < context.now.date() and len(rows) == 2 and left:
            rows = rows[: left.pop()]
        return Page(rows, page.cursor)

    world = watching(tmp_path, listing(late, past_days=0), HOURLY_S)
    world.start()
    day = today(world)
    world.submit("AP-1", 10_000)
    world.run(to_midnight(world) - 400)
    world.submit("AP-2", 5_000)
    world.run(3 * HOURLY_S)
    [one] = closed(world, day)
    known = world.read(lambda conn: accounts.balance_of(conn, world.bank.account))
    assert known is not None and not left
    assert (one["closing"], one["count"]) == (str(known.balance.previous_day), 2)
    assert len(named(world, "transaction.booked")) == 2


def test_entries_alone_tell_no_closing_balance_before_a_day_has_passed(tmp_path: Path) -> None:
    """No other source states a closing balance, and the list may lack its end."""

    def change(bank: Bank) -> Bank:
        return declining(listing(unstated, past_days=0)(bank))

    world = watching(tmp_path, change, HOURLY_S)
    world.start()
    day = today(world)
    world.submit("AP-1", 10_000)
    world.run(to_midnight(world) + 3 * HOURLY_S)
    assert closed(world, day) == []
    world.run(86_400)
    assert len(closed(world, day)) == 1


def test_a_day_about_whose_balance_two_disagree_stays_open(tmp_path: Path) -> None:
    """The list's own figures agree with each other, but the bank states another balance of that day."""

    def shifted(page: Page, _question: LinesQuestion, _context: Context) -> Page:
        return replace(
            page,
            opening=Money(50_000),
            closing=Money(40_000),
            lines=tuple(replace(line, balance=None) for line in page.lines),
        )

    world = watching(tmp_path, listing(shifted), HOURLY_S)
    world.start()
    day = today(world)
    world.submit("AP-1", 10_000)
    world.run(86_400 + 2 * HOURLY_S)
    assert closed(world, day) == [] and len(named(world, "transaction.booked")) == 1


def test_each_day_closes_at_a_bank_that_states_its_balances_in_three_ways(tmp_path: Path) -> None:
    """pab: beside each entry, of past days, and as the previous day's."""
    world = World(tmp_path, banks=("pab",))
    site = world.banks["pab"]
    own = {"number": site.account, "name": "示例甲公司", "company": "jia", "bank": "pab", "watch": True}
    world._changes = {"accounts": [own], "banks": {"pab": {"poll_every_s": HOURLY_S}}}
    world.settings = world._settings()
    world.start()
    world.run(5)
    day = site.ledger.now().astimezone(CHINA).date()
    for n in (1, 2):
        world.submit(f"AP-{n}", 10_000, bank="pab")
        world.run(60)
    world.run(86_400 + 2 * HOURLY_S)
    told = [(one["date"], one["count"], one["closing"]) for one in named(world, "statement.closed")]
    before = (str(day - timedelta(days=1)), 0, "10000000000.00")
    assert told == [before, (str(day), 2, "9999999800.00")]
    assert sample(world, "statements_missing", bank="pab") == 0


def test_entries_that_fit_both_ways_round_with_other_balances_tell_nothing() -> None:
    def line(minor: int, after: int, direction: Direction) -> Line:
        return Line(
            AccountNumber("0000000000000000017"), str(after), direction, Money(minor), DAY, balance=Money(after)
        )

    assert chain([line(10, 100, Direction.DEBIT), line(10, 110, Direction.CREDIT)]) is None
    assert chain([line(10, 100, Direction.DEBIT)]) == (Money(110), Money(100))


def test_entries_booked_after_the_last_look_of_a_day_are_told_though_it_cannot_be_closed(tmp_path: Path) -> None:
    def bare(page: Page, _question: LinesQuestion, _context: Context) -> Page:
        return Page(tuple(replace(line, balance=None) for line in page.lines), page.cursor)

    world = watching(tmp_path, listing(bare, past_days=0), HOURLY_S)
    world.start()
    day = today(world)
    world.run(to_midnight(world) - 400)
    world.submit("AP-1", 10_000)
    world.run(3 * HOURLY_S)
    assert len(named(world, "transaction.booked")) == 1 and closed(world, day) == []


def test_no_day_is_closed_by_a_clock_that_is_far_ahead_of_the_banks(tmp_path: Path) -> None:
    world = watching(tmp_path)
    day = today(world)
    world.clock.advance(to_midnight(world) - 600)
    world.start(off_ms=100_000)
    world.submit("AP-1", 10_000)
    world.run(570)  # past midnight by our clock, before it by the bank's
    assert closed(world, day) == []
    world.submit("AP-2", 5_000)
    world.run(5 * POLL_S)
    assert len(named(world, "transaction.booked")) == 2 and closed(world, day) == []


def test_no_day_is_closed_before_it_is_over_by_a_bank_a_little_behind(tmp_path: Path) -> None:
    world = watching(tmp_path, poll_s=5)
    day = today(world)
    world.clock.advance(to_midnight(world) - 120)
    world.start(off_ms=50_000)
    world.run(100)  # 00:00:30 by our clock, 23:59:40 by the bank's
    assert closed(world, day) == []
    world.submit("AP-1", 10_000)
    world.run(120)
    [one] = closed(world, day)
    assert one["count"] == 1


def test_a_day_without_entries_closes_at_a_bank_without_past_balances(tmp_path: Path) -> None:
    world = watching(tmp_path, listing(unstated, past_days=0), HOURLY_S)
    world.start()
    day = today(world)
    world.submit("AP-1", 10_000)
    world.run(3 * 86_400)
    quiet = [closed(world, day + timedelta(days=ahead)) for ahead in (1, 2)]
    assert [(one["opening"], one["closing"], one["count"]) for [one] in quiet] == [("9999999900.00",) * 2 + (0,)] * 2


@pytest.mark.parametrize(("times_empty", "count"), [(1, 2), (99, 0)])
def test_a_list_that_is_empty_after_entries_were_told_closes_a_day_only_when_it_is_empty_again(
    tmp_path: Path, times_empty: int, count: int
) -> None:
    """An empty answer of citic's DLTRNALL names no day. The balances agree with it if the day's sum is zero."""
    left = [times_empty]

    def emptied(page: Page, question: LinesQuestion, _context: Context) -> Page:
        if question.last != day:
            return page
        if today(world) > day and left[0]:
            left[0] -= 1
            return Page(())
        both = ((Direction.CREDIT, "K1"), (Direction.DEBIT, "K2"))
        return Page(tuple(Line(question.account, key, way, Money(100), day) for way, key in both))

    world = watching(tmp_path, listing(emptied))
    day = today(world)
    world.clock.advance(to_midnight(world) - 3 * POLL_S)
    world.start()
    with capture_logs() as logged:
        world.run(10 * POLL_S)
    told = [one["day"] for one in logged if one["event"] == "statement.empty_after_entries"]
    assert told == [day.isoformat()] and len(named(world, "transaction.booked")) == 2
    assert [one["count"] for one in closed(world, day)] == [count]


def test_a_day_that_never_closed_is_given_up_aloud(tmp_path: Path) -> None:
    world = watching(tmp_path)
    life = world.start()
    lost, job = today(world) - timedelta(days=DAYS_BACK + 1), f"statement:{account_key(world.bank.account)}"
    life.store.write(lambda tx: jobs.claim(tx, job, "sample", lost))
    with capture_logs() as logged:
        world.run(5 * POLL_S)
    assert [one["day"] for one in logged if one["event"] == "statement.given_up"] == [lost.isoformat()]


# ---- large days ----


def test_a_large_day_is_written_in_small_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many, sizes = 3 * LINES_A_UNIT, list[int]()

    def full(_page: Page, question: LinesQuestion, context: Context) -> Page:
        if question.last == context.now.date():
            return Page(())
        made = (
            Line(question.account, f"N{n}", Direction.CREDIT, Money(1), question.last, balance=Money(n + 1))
            for n in range(many)
        )
        return Page(tuple(made), opening=Money(0), closing=Money(many))

    def change(bank: Bank) -> Bank:
        bank = listing(full, past_days=0)(bank)
        return replace(bank, questions=replace(bank.questions, balance=None))

    def measured(tx: Tx, lines: Sequence[Line]) -> list[Line]:
        sizes.append(len(lines))
        return real(tx, lines)

    real = accounts.unseen
    monkeypatch.setattr(accounts, "unseen", measured)
    world = watching(tmp_path, change)
    world.start()
    world.run(2 * POLL_S)
    assert len(named(world, "transaction.booked")) == many and len(named(world, "statement.closed")) == 1
    assert max(sizes) <= LINES_A_UNIT
