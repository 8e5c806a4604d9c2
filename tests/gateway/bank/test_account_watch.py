"""Watched accounts: every entry is reported once, days close when the figures agree, and entries prove payments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.bank.account_watch import OWNED_S, WatchedAccount, chain
from gateway.kernel.core.states import Work
from gateway.parts import Parts
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from gateway.simbank.ledger import CHINA, BookingRules
from gateway.statements.rows import accounts
from protocols.bank import Bank, Context, Conversation, Push, Pushes
from protocols.canon.limits import Hours
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import TOO_MANY_PAGES
from tests.world import files
from tests.world.lines import events
from tests.world.lines import lines as written
from tests.world.world import Life, World

pytestmark = pytest.mark.usefixtures("long_lease")

POLL_S = 60.0
HOURLY_S = 3_600.0


def watching(
    tmp_path: Path, change: Callable[[Bank], Bank] = lambda bank: bank, poll_s: float = POLL_S, **options: Any
) -> World:
    """A world whose account is watched once a minute."""

    def wrap(_life: Life, parts: Parts) -> Parts:
        bank = parts.banks["sample"]
        fast = replace(bank, profile=replace(bank.profile, poll_every=timedelta(seconds=poll_s)))
        return replace(parts, banks={"sample": change(fast)})

    # One session with few heartbeats, because days pass here.
    plain = World(tmp_path, wrap=wrap, bank_options={"sessions": 1, "heartbeat_s": 110}, **options)
    account = {"number": plain.bank.account, "name": "示例甲公司", "company": "jia", "bank": "sample", "watch": True}
    # No repeats, so that only the account ends a doubt here.
    plain._changes = {"accounts": [account], "banks": {"sample": {"most_repeats": 0}}}
    plain.settings = plain._settings()
    return plain


def named(world: World, event: str) -> list[dict[str, Any]]:
    return [one for one in world.events if one.get("event") == event]


def today(world: World) -> date:
    return world.bank.ledger.now().astimezone(CHINA).date()


def test_an_entry_is_told_once_and_names_the_payment(tmp_path: Path) -> None:
    world = watching(tmp_path)
    world.start()
    world.submit("AP-1", 12_345)
    world.run(3 * POLL_S)
    (told,) = named(world, "transaction.booked")
    assert told["line"]["amount"] == "123.45" and told["line"]["direction"] == "debit"
    assert told["account"] == world.bank.account and told["sender"] == "kingdee"
    assert told["line"]["matched_payment"] == world.last("AP-1")["payment"]
    assert world.life is not None and world.life.sample("bankgw_watched_entries_total", bank="sample") == 1


def test_a_bank_that_calls_has_its_account_read_before_the_next_poll(tmp_path: Path) -> None:
    def calling(bank: Bank) -> Bank:
        frames = Pushes(
            (), lambda: bank.ports["business"].answers(), lambda frame: Push("", ""), lambda frame, now: b""
        )
        return replace(bank, pushes=frames)

    for called in (False, True):
        folder = tmp_path / str(called)
        folder.mkdir()
        world = watching(folder, calling, poll_s=HOURLY_S)
        life = world.start()
        world.run(30)
        world.submit("AP-1", 12_345)
        world.run(30)
        assert not named(world, "transaction.booked")
        if called:
            life.gateway.account_watch.look_soon(world.bank.account)
            life.gateway.account_watch.look_soon("0000000000000000099")
        world.run(90)
        assert len(named(world, "transaction.booked")) == called


def test_a_call_while_the_account_is_read_asks_for_another_look(tmp_path: Path) -> None:
    calls: list[bool] = []

    def calling(bank: Bank) -> Bank:
        frames = Pushes(
            (), lambda: bank.ports["business"].answers(), lambda frame: Push("", ""), lambda frame, now: b""
        )
        put = bank.questions.lines
        assert put is not None

        def lines(question: LinesQuestion, context: Any) -> Any:
            # The bank calls while our question is on its way, so that its answer may be older.
            if calls == [True] and world.life is not None:
                calls.append(False)
                world.life.gateway.account_watch.look_soon(world.bank.account)
            return put(question, context)

        return replace(bank, pushes=frames, questions=replace(bank.questions, lines=lines))

    world = watching(tmp_path, calling, poll_s=HOURLY_S)
    life = world.start()
    world.run(30)
    calls.append(True)
    life.gateway.account_watch.look_soon(world.bank.account)
    world.run(90)
    assert calls == [True, False], "the look that the first call asked for"
    world.submit("AP-1", 12_345)
    world.run(90)
    assert len(named(world, "transaction.booked")) == 1


def test_a_restart_tells_nothing_again(tmp_path: Path) -> None:
    world = watching(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(2 * POLL_S)
    world.crash()
    world.run(30)
    world.start()
    world.run(3 * POLL_S)
    assert len(named(world, "transaction.booked")) == 1


def test_an_entry_ends_a_doubt(tmp_path: Path) -> None:
    """The bank answers neither the payment nor any enquiry, but its statement has the entry."""

    def silent(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, fate=None, returns=None))

    world = watching(tmp_path, silent, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]))
    world.start()
    world.submit("AP-1")
    world.run(OWNED_S - 2)
    assert world.state("AP-1") == "in_doubt"
    world.run(2 * POLL_S)
    assert world.state("AP-1") == "settled"
    assert world.last("AP-1")["evidence"] == "statement"


def test_no_entry_is_no_evidence(tmp_path: Path) -> None:
    def silent(bank: Bank) -> Bank:
        return replace(bank, questions=replace(bank.questions, fate=None, returns=None))

    world = watching(tmp_path, silent, plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE)]))
    world.start()
    world.submit("AP-1")
    world.run(10 * POLL_S)
    assert world.state("AP-1") in ("in_doubt", "pending", "escalated")


def test_a_day_is_closed_once_when_its_figures_agree(tmp_path: Path) -> None:
    world = watching(tmp_path, poll_s=HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    world.submit("AP-2", 5_000)
    day = today(world)
    world.run(86_400 + 2 * HOURLY_S)
    closed = [one for one in named(world, "statement.closed") if one["date"] == day.isoformat()]
    assert len(closed) == 1
    assert Money.parse(closed[0]["opening"]).minor - Money.parse(closed[0]["closing"]).minor == 15_000
    assert (closed[0]["count"], closed[0]["debit_sum"], closed[0]["credit_sum"]) == (2, "150.00", "0.00")
    assert world.life is not None and world.life.sample("bankgw_statements_missing", bank="sample") == 0


def test_a_day_whose_figures_do_not_agree_stays_open_and_is_counted(tmp_path: Path) -> None:
    """A bank that leaves out one entry of a closed day, and still states the balances."""

    def forgetful(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            assert bank.questions.lines is not None
            page = yield from bank.questions.lines(question, context)
            if question.last < context.bank_date and page.lines:
                hole = tuple(replace(line, balance=None) for line in page.lines[1:])
                return replace(page, lines=hole, opening=Money(10**12), closing=Money(10**12 - 15_000))
            return page

        return replace(bank, questions=replace(bank.questions, lines=lines))

    world = watching(tmp_path, forgetful, HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    world.submit("AP-2", 5_000)
    day = today(world)
    world.run(86_400 + 2 * HOURLY_S)
    assert [one for one in named(world, "statement.closed") if one["date"] == day.isoformat()] == []
    assert world.life is not None and world.life.sample("bankgw_statements_missing", bank="sample") == 1


def test_a_day_with_an_entry_that_cannot_be_read_stays_open_and_tells_the_others(tmp_path: Path) -> None:
    def odd(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            assert bank.questions.lines is not None
            page = yield from bank.questions.lines(question, context)
            return replace(page, unread=1, findings=("row 1 cannot be read",)) if page.lines else page

        return replace(bank, questions=replace(bank.questions, lines=lines))

    world = watching(tmp_path, odd, HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    day = today(world)
    with written() as heard:
        world.run(86_400 + 2 * HOURLY_S)
    assert [one for one in named(world, "statement.closed") if one["date"] == day.isoformat()] == []
    assert len(named(world, "transaction.booked")) == 1 and events(heard, "bank.finding")


def test_a_day_of_too_many_pages_is_asked_for_once(tmp_path: Path) -> None:
    days: list[date] = []

    def endless(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            assert bank.questions.lines is not None
            days.append(question.first)
            yield from bank.questions.lines(question, context)
            raise ProtocolError(TOO_MANY_PAGES, "more than 10000 pages")

        return replace(bank, questions=replace(bank.questions, lines=lines))

    world = watching(tmp_path, endless, HOURLY_S)
    world.start()
    with written() as heard:
        world.run(86_400 + 2 * HOURLY_S)
    assert len(days) == len(set(days)) == 3, "yesterday, today and tomorrow, each once"
    assert len(events(heard, "account.too_many_pages")) == 3
    assert world.life is not None and world.life.sample("bankgw_statements_missing", bank="sample") == 2


def test_the_balance_is_remembered_with_its_time_and_answers_questions(tmp_path: Path) -> None:
    asked: list[BalanceQuestion] = []

    def counted(bank: Bank) -> Bank:
        def balance(question: BalanceQuestion, context: Context) -> Conversation[Balance]:
            asked.append(question)
            assert bank.questions.balance is not None
            return (yield from bank.questions.balance(question, context))

        return replace(bank, questions=replace(bank.questions, balance=balance))

    world = watching(tmp_path, counted)
    world.start()
    world.run(POLL_S - 5)
    before = len(asked)
    assert before, "the first look follows the lease at once"
    world.command("balance.query", {"accounts": [world.bank.account], "max_age": "PT5M"})
    world.run(2)
    (_, said) = world.replies[-1]
    assert said["balances"][0]["source"] == "cache" and len(asked) == before
    known = world.read(lambda conn: accounts.balance_of(conn, world.bank.account))
    assert known is not None and known.balance.book == Money(10**12) and known.currency == "CNY"


def test_a_bank_that_says_no_is_looked_at_again(tmp_path: Path) -> None:
    def broken(bank: Bank) -> Bank:
        def lines(question: LinesQuestion, context: Context) -> Conversation[Page]:
            assert bank.questions.lines is not None
            page = yield from bank.questions.lines(question, context)
            return replace(page, cursor="again and again")

        return replace(bank, questions=replace(bank.questions, lines=lines))

    world = watching(tmp_path, broken)
    world.start()
    world.run(5 * POLL_S)
    assert world.life is not None and world.life.sample("bankgw_watch_failures_total", bank="sample") >= 3
    assert world.life.gateway.lanes["sample.main"].halted is None


def test_what_is_not_watched_is_not_asked_about(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.submit("AP-1")
    world.run(600)
    assert world.exchanges(life, "lines") == 0 and named(world, "transaction.booked") == []


def test_an_account_that_leaves_the_list_and_comes_back_is_looked_at_as_often_as_before(tmp_path: Path) -> None:
    world = watching(tmp_path)
    life = world.start()
    world.run(POLL_S / 2)
    listed = life.gateway.account_watch
    account = WatchedAccount(world.bank.account, "sample", "sample.main", "CNY", ("kingdee",))
    for watched in ([], [account], [], [account]):
        listed.watch(watched)
    before = world.exchanges(life, "lines")
    world.run(10 * POLL_S)
    assert world.exchanges(life, "lines") - before in (9, 10, 11)
    listed.watch([])
    world.run(2 * POLL_S)
    before = world.exchanges(life, "lines")
    world.run(2 * POLL_S)
    assert world.exchanges(life, "lines") == before
    listed.watch([account])
    world.run(2 * POLL_S)
    assert world.exchanges(life, "lines") > before


def line(minor: int, after: int, minute: int, direction: Direction = Direction.DEBIT) -> Line:
    booked_at = datetime(2026, 11, 24, 9, minute, tzinfo=CHINA)
    return Line(
        AccountNumber("0000000000000000017"),
        str(after),
        direction,
        Money(minor),
        date(2026, 11, 24),
        booked_at,
        balance=Money(after),
    )


DAY = [line(10, 90, 1), line(30, 120, 2, Direction.CREDIT), line(20, 100, 3)]


@pytest.mark.parametrize("lines", [DAY, DAY[::-1]])
def test_entries_that_follow_from_each_other_tell_the_balances_around_them(lines: list[Line]) -> None:
    assert chain(lines) == (Money(100), Money(100))


@pytest.mark.parametrize("lines", [[], DAY[:1] + DAY[2:], [replace(DAY[0], balance=None), *DAY[1:]]])
def test_a_hole_in_the_chain_tells_nothing(lines: list[Line]) -> None:
    assert chain(lines) is None


def test_the_books_can_be_unlike(tmp_path: Path) -> None:
    """Fees are entries of their own in the bank's books, and a day with fees closes too."""
    world = watching(tmp_path, poll_s=HOURLY_S, conduct=BookingRules(fee_minor=50))
    world.start()
    world.submit("AP-1", 10_000)
    day = today(world)
    world.run(86_400 + 2 * HOURLY_S)
    (closed,) = [one for one in named(world, "statement.closed") if one["date"] == day.isoformat()]
    assert closed["count"] == 2 and closed["debit_sum"] == "100.50"


def keeping(hours: Hours) -> Callable[[Bank], Bank]:
    """The bank with other opening hours."""
    return lambda bank: replace(bank, profile=replace(bank.profile, limits=replace(bank.profile.limits, hours=hours)))


def test_a_day_is_not_closed_before_it_is_over_though_its_cut_off_has_passed(tmp_path: Path) -> None:
    world = watching(tmp_path, keeping(Hours(cut_off=time(0, 0))), HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    day, now = today(world), world.bank.ledger.now().astimezone(CHINA)
    left_s = (datetime.combine(day, time(), CHINA) + timedelta(days=1) - now).total_seconds()
    world.run(left_s - 60)
    assert [one for one in named(world, "statement.closed") if one["date"] >= day.isoformat()] == []
    world.run(2 * HOURLY_S)
    assert [one["date"] for one in named(world, "statement.closed") if one["date"] >= day.isoformat()] == [
        day.isoformat()
    ]


def test_the_bank_is_asked_after_each_statement_about_what_it_left_in_doubt(tmp_path: Path) -> None:
    world = watching(tmp_path, poll_s=HOURLY_S, plan=FaultScript([ScriptedFault(BankFault.DROP_BEFORE)]))
    life = world.start()
    world.submit("AP-1", 10_000)
    world.submit("AP-2", 10_000)
    world.run(OWNED_S - 2)
    watched = life.gateway._watched()
    life.gateway.account_watch.watch([])
    world.run(2_000)
    life.gateway.account_watch.watch(watched)
    asked_ms, before_ms, told_ms = max(one.at_ms for one in files.evidence(world, "AP-1")), 0, None
    while told_ms is None:
        before_ms = asked_ms
        world.run(60)
        asked_ms = max(one.at_ms for one in files.evidence(world, "AP-1"))
        told_ms = world.clock.seconds() * 1000 if named(world, "statement.closed") else None
    assert world.state("AP-1") == "in_doubt" and world.state("AP-2") == "settled"
    assert told_ms - asked_ms < 61_000 < asked_ms - before_ms < 3_500_000, "not in its turn: it was hourly by now"
    assert [one.work for one in files.due(world, "AP-2")] == [Work.RETURNS]


def test_days_after_which_nobody_looked_are_closed_later(tmp_path: Path) -> None:
    world = watching(tmp_path, poll_s=HOURLY_S)
    world.start()
    world.submit("AP-1", 10_000)
    world.run(86_400 + 2 * HOURLY_S)
    world.submit("AP-2", 5_000)
    friday = today(world)
    world.run(HOURLY_S)
    world.crash()
    world.run(2.5 * 86_400)
    world.start()
    world.run(2 * HOURLY_S)
    assert friday.isoformat() in [one["date"] for one in named(world, "statement.closed")]
