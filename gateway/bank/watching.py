"""Watching accounts: new entries are told as they are booked, and a day is closed when its figures agree.

Each watched account is looked at as often as its bank bears, within the bank's hours: today's entries to their end,
then the balance. A day that is over is read once more; when the bank's opening balance and all entries make its
closing balance, the day is closed and told, once, by whichever node claims its row in `jobs`; then the bank is asked
about what its entries left in doubt. A day that does not close is tried again, and counted as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from hashlib import sha256

from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Asker, Unavailable
from gateway.clock import Clock
from gateway.core.hours import local, next_open_ms
from gateway.journal import accounts, jobs, sightings
from gateway.journal.store import Store, Tx
from gateway.meters import Meters
from gateway.tasks import Tasks, sleep, sleep_until
from protocols.bank import Bank
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.erp.account_replies import Statement
from protocols.kit.errors import ProtocolError

ANSWER_S = 300.0
PAGES_MAX = 2_000
DAYS_BACK = 7
"""A day that did not close is tried again for so long; then only a person can say what is missing."""
LINES_A_UNIT = 200
_log = log.get("bank.watching")


@dataclass(frozen=True, slots=True)
class Watched:
    """An account to watch, and the senders that hear of it."""

    account: str
    bank: str
    lane: str
    currency: str
    senders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WatchParts:
    """What watching needs. `owns` says whether this node may speak for a lane now, `epoch` the lane's epoch."""

    store: Store
    clock: Clock
    meters: Meters
    banks: dict[str, Bank]
    ask: Asker
    owns: Callable[[str], bool]
    epoch: Callable[[str], int]
    on_balance: Callable[[Balance, str], None]


class Watching:
    """See the module. `start` begins, `stop` ends; `watch` replaces the list of accounts."""

    def __init__(self, parts: WatchParts, node: str) -> None:
        self._parts = parts
        self._node = node
        self._tasks = Tasks(self._defect)
        self._watched: dict[str, Watched] = {}
        # An account that is taken off the list and put back before its next look goes on where it was.
        self._looped: set[str] = set()
        self._missing: dict[str, int] = {}

    def watch(self, watched: Sequence[Watched]) -> None:
        """Watch these accounts from now on; those that are new begin at once, those that are gone end by themselves."""
        self._watched = {one.account: one for one in watched}
        for account in self._watched.keys() - self._looped:
            self._looped.add(account)
            self._tasks.spawn(self._for_ever(account))

    def stop(self) -> None:
        """Look no more."""
        self._tasks.stop()

    def _defect(self, failure: Failure) -> None:
        _log.error("account.watch_defect", error=failure.getTraceback(detail="brief"),
                   action="this account is watched again after a reload or a restart")  # fmt: skip
        self._parts.meters.alarms.labels("impossible").inc()

    async def _for_ever(self, account: str) -> None:
        try:
            await self._while_listed(account)
        finally:
            self._looped.discard(account)

    async def _while_listed(self, account: str) -> None:
        while (one := self._watched.get(account)) is not None:
            profile = self._parts.banks[one.bank].profile
            now_ms = self._parts.clock.now_ms()
            opens_ms = next_open_ms(profile.limits.hours, now_ms)
            if opens_ms > now_ms:
                await sleep_until(self._parts.clock, opens_ms)
                continue
            if self._parts.owns(one.lane):
                await self._look(one)
            await sleep(self._parts.clock, profile.poll_every.total_seconds())

    async def _look(self, one: Watched) -> None:
        hours = self._parts.banks[one.bank].profile.limits.hours
        # The calendar's day, not the one that an order would get now: after a cut-off today's is not over yet.
        today = local(hours, self._parts.clock.now_ms()).date()
        try:
            balance = await self._balance(one)
            await self._close(one, today, balance)
            pages = await self._walk(one, today)
            await self._keep(one, [line for page in pages for line in page.lines])
        except (Unavailable, ProtocolError) as error:
            self._unread(one, error)

    def _unread(self, one: Watched, error: Exception) -> None:
        _log.warning("account.not_read", bank=one.bank, lane=one.lane, error=str(error),
                     action="looked at again after the bank's interval")  # fmt: skip
        self._parts.meters.watch_failures.labels(one.bank).inc()

    # ---- what the bank says ----

    async def _balance(self, one: Watched) -> Balance | None:
        put = self._parts.banks[one.bank].questions.balance
        if put is None:
            return None
        question = BalanceQuestion(AccountNumber(one.account), one.currency)
        balance = await self._parts.ask(one.lane, "balance", partial(put, question), ANSWER_S)
        await self._parts.store.write(lambda tx: accounts.keep_balance(tx, one.bank, balance, one.currency))
        self._parts.on_balance(balance, one.account)
        return balance

    async def _walk(self, one: Watched, day: date) -> list[Page]:
        """Every page of a day. Raises Unavailable and ProtocolError."""
        put = self._parts.banks[one.bank].questions.lines
        if put is None:
            return []
        pages: list[Page] = []
        at, seen = None, set[str]()
        while True:
            question = LinesQuestion(AccountNumber(one.account), day, day, one.currency, at)
            page = await self._parts.ask(one.lane, "lines", partial(put, question), ANSWER_S)
            pages.append(page)
            at = page.cursor
            if at is None:
                break
            if at in seen or len(pages) >= PAGES_MAX:
                raise ProtocolError("paging", "the bank's continuation repeats or does not end")
            seen.add(at)
        found = sum(len(page.lines) for page in pages)
        if pages[-1].total_lines not in (None, found):
            raise ProtocolError("paging", f"the bank counts {pages[-1].total_lines} entries and gave {found}")
        return pages

    async def _keep(self, one: Watched, lines: Sequence[Line]) -> None:
        """Write down what is new, tell of it, and let it speak for the payments it names."""
        fresh = 0
        for start in range(0, len(lines), LINES_A_UNIT):
            some = lines[start : start + LINES_A_UNIT]
            fresh += await self._parts.store.write(partial(self._kept, one=one, lines=some))
        if fresh:
            self._parts.meters.watched_entries.labels(one.bank).inc(fresh)

    def _kept(self, tx: Tx, one: Watched, lines: Sequence[Line]) -> int:
        fresh = 0
        for line in accounts.unseen(tx, lines):
            if not accounts.keep_entry(tx, one.bank, line, one.senders):
                continue
            fresh += 1
            seen = sightings.evidence_from_entry(
                tx, one.lane, line, epoch=self._parts.epoch(one.lane), actor=f"watch:{one.lane}"
            )
            if seen is not None and seen.disagrees is not None:
                self._parts.meters.alarms.labels("answers_disagree").inc()
        return fresh

    # ---- closing a day ----

    async def _close(self, one: Watched, today: date, balance: Balance | None) -> None:
        """Try to close the days that are over and not closed yet, oldest first."""
        job = f"statement:{account_key(one.account)}"
        missing, begun = 0, False
        for back in range(DAYS_BACK, 0, -1):
            day = today - timedelta(days=back)
            found = await self._parts.store.read(partial(jobs.find, job=job, bank=one.bank, business_date=day))
            if found is None and back > 1 and not begun:
                continue  # before it was watched
            begun = True
            if found is None:
                # Also a day after which nobody looked: a closed bank, a stopped gateway.
                await self._parts.store.write(partial(jobs.claim, job=job, bank=one.bank, business_date=day))
            elif found.finished_ms is not None:
                continue
            elif found.node != self._node:
                # The lane is ours now, and so is what its last owner left undone.
                inherit = partial(jobs.inherit, job=job, bank=one.bank, business_date=day, dead_node=found.node)
                await self._parts.store.write(inherit)
            try:
                closed = await self._closed(one, day, balance if back == 1 else None)
            except (Unavailable, ProtocolError) as error:
                # An old day that cannot be read must not keep today from being read.
                self._unread(one, error)
                closed = None
            if closed is None:
                missing += 1
                continue
            await self._parts.store.write(partial(self._told, one=one, job=job, day=day, statement=closed))
        self._missing[one.account] = missing
        total = sum(count for account, count in self._missing.items()
                    if (known := self._watched.get(account)) is not None and known.bank == one.bank)  # fmt: skip
        self._parts.meters.statements_missing.labels(one.bank).set(total)

    def _told(self, tx: Tx, one: Watched, job: str, day: date, statement: Statement) -> None:
        self._kept(tx, one, statement.lines)
        if jobs.finish(tx, job, one.bank, day):
            accounts.close_day(tx, one.bank, statement, one.senders)
            sightings.ask_after_statement(tx, one.lane, one.account)

    async def _closed(self, one: Watched, day: date, balance: Balance | None) -> Statement | None:
        """The day's statement if the bank states both balances and they fit; None if it cannot be closed (yet)."""
        pages = await self._walk(one, day)
        lines = tuple(line for page in pages for line in page.lines)
        opening, closing = await self._around(one, day, pages, lines, balance)
        statement = Statement(AccountNumber(one.account), one.currency, day, lines, opening, closing, True)
        if not statement.stated:
            return None
        if not statement.fits:
            _log.error("statement.does_not_add_up", bank=one.bank, lane=one.lane, day=day.isoformat(),
                       entries=len(lines), action="the day stays open and is read again")  # fmt: skip
            return None
        return statement

    async def _around(
        self, one: Watched, day: date, pages: Sequence[Page], lines: Sequence[Line], balance: Balance | None
    ) -> tuple[Money | None, Money | None]:
        """The balances around a day, from whoever states them: the pages, the entries, the past, today's balance."""
        opening = pages[0].opening if pages else None
        closing = pages[-1].closing if pages else None
        chained = chain(lines)
        if chained is not None:
            opening, closing = opening or chained[0], closing or chained[1]
        if closing is None:
            closing = await self._past(one, day)
        if closing is None and balance is not None:
            closing = balance.previous_day
        if opening is None:
            opening = await self._past(one, day - timedelta(days=1))
        return opening, closing

    async def _past(self, one: Watched, day: date) -> Money | None:
        bank = self._parts.banks[one.bank]
        if bank.questions.balance is None or not bank.profile.past_balance_days:
            return None
        question = BalanceQuestion(AccountNumber(one.account), one.currency, day)
        told = await self._parts.ask(one.lane, "balance", partial(bank.questions.balance, question), ANSWER_S)
        return told.book


def account_key(account: str) -> str:
    """A short name for an account's jobs that does not show its number."""
    return sha256(account.encode()).hexdigest()[:24]


def chain(lines: Sequence[Line]) -> tuple[Money, Money] | None:
    """The balances before and after entries that each state the balance after them; None unless every one follows from
    the one before. Their times say which way round they stand; where there are none, both ways are tried."""
    if not lines or any(line.balance is None for line in lines):
        return None
    first, last = lines[0].booked_at, lines[-1].booked_at
    ways = [lines, tuple(reversed(lines))]
    if first is not None and last is not None and first != last:
        ways = ways[:1] if first < last else ways[1:]
    for ordered in ways:
        opening = _before(ordered[0])
        at = opening
        for line in ordered:
            at = at + _signed(line)
            if at != line.balance:
                break
        else:
            return opening, at
    return None


def _before(line: Line) -> Money:
    assert line.balance is not None
    return line.balance - _signed(line)


def _signed(line: Line) -> Money:
    minor = line.amount.minor
    return Money(minor if line.direction is Direction.CREDIT else -minor, line.amount.currency)
