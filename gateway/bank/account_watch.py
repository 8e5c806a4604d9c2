"""Watches accounts: reports new entries as they are booked, and closes a day when its figures agree.

Each watched account is polled as often as its bank allows, within the bank's hours: the balance, then all entries of
today. Payments and the ERP's questions go first, and a lane with many accounts reads a few of them at a time.

Days are those that the bank's answers state. A day that is over is read once more. The node that claims the day's row
in `jobs` closes the day and reports it, once, when all stated opening and closing balances agree and the entries lead
from one to the other. Then the bank is asked about the payments that the entries left in doubt. A day that does not
close is tried again, and counted as missing. One item that cannot be read or written does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.python.failure import Failure

from gateway.bank.clock_trust import CLOCK_DIFFERS_MS
from gateway.bank.host_date import HostDate
from gateway.bank.question_queue import Background
from gateway.kernel import log
from gateway.kernel.asking import AskBank, Unavailable
from gateway.kernel.clock import Clock
from gateway.kernel.cluster import jobs
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.core.hours import next_open_ms
from gateway.kernel.meters import Meters
from gateway.kernel.tasks import Tasks, sleep, sleep_until
from gateway.statements.rows import accounts, statement_evidence
from gateway.statements.rows.statement_evidence import StatementEvidence
from gateway.statements.rules.statement_jobs import DAYS_BACK, statement_job
from protocols.bank import Bank, Context, Conversation
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Direction, Line, Page
from protocols.erp.account_replies import Statement, Totals, line_id
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.paging import PAGES_MAX, TOO_MANY_PAGES

R = TypeVar("R")

ANSWER_S = 300.0
CALLED_S = 60.0
"""How often to check whether the bank has called about an account."""
LINES_A_UNIT = 200
OWNED_S = 5.0
"""How often to check whether this node owns the lane: after a start, the first reading follows the lease at once."""
LOOKS_AT_ONCE = 2
"""Accounts of one lane that are read at the same time; the others wait for their turn, not for an answer."""
_log = log.get("bank.account_watch")


@dataclass(frozen=True, slots=True)
class WatchedAccount:
    """An account to watch, and the senders that get its events."""

    account: str
    bank: str
    lane: str
    currency: str
    senders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WatchParts:
    """The parts that watching needs. `owns` says whether this node owns the lane now, `epoch` gives the lane's epoch,
    `clock_trusted` says whether this node's business days are the bank's, and `host_date` has the date that the bank's
    answers state.
    """

    store: Store
    clock: Clock
    meters: Meters
    banks: dict[str, Bank]
    ask: AskBank
    owns: Callable[[str], bool]
    epoch: Callable[[str], int]
    clock_trusted: Callable[[str], bool]
    host_date: Callable[[str], HostDate]
    on_balance: Callable[[Balance, str], None]


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reading of an account: the lane's epoch before the bank was asked, and the day at the bank."""

    one: WatchedAccount
    epoch: int
    today: date


class AccountWatch:
    """Watches bank accounts: sends events about new entries, and closes finished days. `start` begins, `stop` ends;
    `watch` replaces the list of accounts."""

    def __init__(self, parts: WatchParts, node: str) -> None:
        self._parts = parts
        self._node = node
        self._tasks = Tasks(self._defect)
        self._watched: dict[str, WatchedAccount] = {}
        # An account that is removed and added again before its next poll keeps its loop.
        self._looped: set[str] = set()
        self._missing: dict[str, int] = {}
        self._given_up: dict[str, date] = {}
        self._too_long: set[tuple[str, date]] = set()
        self._empty: set[tuple[str, date]] = set()
        self._wanted: set[str] = set()
        self._turns: dict[str, DeferredSemaphore] = {}

    def watch(self, watched: Sequence[WatchedAccount]) -> None:
        """Watch these accounts from now on. New ones begin at once; removed ones end at their next poll."""
        self._watched = {one.account: one for one in watched}
        for account in self._watched.keys() - self._looped:
            self._looped.add(account)
            self._tasks.spawn(self._for_ever(account))

    def look_soon(self, account: str) -> None:
        """Read a watched account before its next poll, though not within a minute of the last reading."""
        if account in self._watched:
            self._wanted.add(account)

    def stop(self) -> None:
        """Stop watching."""
        self._tasks.stop()

    def _defect(self, failure: Failure) -> None:
        _log.error(
            "account.watch_defect",
            error=failure.getTraceback(detail="brief"),
            action=(
                "a defect of the program: one account is not watched until a reload or a restart; report this error"
            ),
        )
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
            if not self._parts.owns(one.lane):
                await sleep(self._parts.clock, OWNED_S)
                continue
            await self._in_turn(one)
            await self._interval(one, profile.poll_every.total_seconds())

    async def _in_turn(self, one: WatchedAccount) -> None:
        turn = self._turns.setdefault(one.lane, DeferredSemaphore(LOOKS_AT_ONCE))
        await turn.acquire()
        # A push that arrives during the reading may be about entries that were read already, so that it causes another
        # reading.
        self._wanted.discard(one.account)
        now = self._watched.get(one.account)
        if now is not None and now.lane == one.lane:
            await self._attempt(now, self._look(now))
        # This is not in a `finally`, because an error that gets here ends the watching of all accounts, and no other
        # account waits for this turn then.
        turn.release()

    async def _interval(self, one: WatchedAccount, seconds: float) -> None:
        """Wait for the next poll, or until the bank has pushed a message about the account."""
        most = seconds if self._parts.banks[one.bank].pushes is None else CALLED_S
        while seconds > 0:
            await sleep(self._parts.clock, piece := min(seconds, most))
            seconds -= piece
            if one.account in self._wanted:
                return

    async def _look(self, one: WatchedAccount) -> None:
        host = self._parts.host_date(one.lane)
        # The bank's day, not the business date of an order sent now: after a cut-off today is not over yet.
        look = _Reading(one, self._parts.epoch(one.lane), host.today(self._parts.clock.now_ms()))
        balance = await self._attempt(one, self._balance(look))
        if not host.is_settled():
            # Today's list states the bank's date. Without it, a day that the bank has yet to come to would be closed.
            await self._attempt(one, self._read(look, look.today))
            look = replace(look, today=host.today(self._parts.clock.now_ms()))
            if host.is_settled():
                await self._attempt(one, self._close(look, balance))
            else:
                _log.info(
                    "statement.host_date_unknown",
                    bank=one.bank,
                    lane=one.lane,
                    action="no day is closed before an entry in the bank's list of today states the bank's date",
                )
            return
        await self._attempt(one, self._close(look, balance))
        await self._attempt(one, self._read(look, look.today))

    async def _attempt(self, one: WatchedAccount, doing: Coroutine[Deferred[Any], Any, R]) -> R | None:
        """The result of `doing`, or None after an error that was logged, so that one failure does not stop the other
        readings."""
        try:
            return await doing
        except (CancelledError, StoreFailed):
            raise
        except (Unavailable, ProtocolError) as error:
            _log.warning(
                "account.not_read",
                bank=one.bank,
                lane=one.lane,
                error=str(error),
                action="the account is read again after the bank's interval",
            )
        except Exception:
            _log.error(
                "account.watch_defect",
                bank=one.bank,
                lane=one.lane,
                error=Failure().getTraceback(detail="brief"),
                action=(
                    "a defect of the program: the account is read again after the bank's interval; report this error"
                ),
            )
            self._parts.meters.alarms.labels("impossible").inc()
        self._parts.meters.watch_failures.labels(one.bank).inc()
        return None

    # ---- what the bank says ----

    async def _balance(self, look: _Reading) -> Balance | None:
        one = look.one
        put = self._parts.banks[one.bank].questions.balance
        if put is None:
            return None
        question = BalanceQuestion(AccountNumber(one.account), one.currency)
        balance = await self._parts.ask(one.lane, "balance", Background(partial(put, question)), ANSWER_S)

        def keep_balance(tx: Tx) -> None:
            if tx.epoch_of(one.lane) <= look.epoch:
                accounts.keep_balance(tx, one.bank, balance, one.currency)

        await self._parts.store.write(keep_balance)
        self._parts.on_balance(balance, one.account)
        return balance

    async def _walk(self, one: WatchedAccount, day: date) -> list[Page]:
        """All pages of a day's entries; none if the day has too many pages. Raises Unavailable and ProtocolError."""
        put = self._parts.banks[one.bank].questions.lines
        if put is None or (one.account, day) in self._too_long:
            return []
        try:
            return await self._pages(one, day, put)
        except ProtocolError as error:
            if error.reason == TOO_MANY_PAGES:
                self._too_long = {known for known in self._too_long if known[1] >= day - timedelta(days=DAYS_BACK)}
                self._too_long.add((one.account, day))
                _log.error(
                    "account.too_many_pages",
                    bank=one.bank,
                    lane=one.lane,
                    day=day.isoformat(),
                    most=PAGES_MAX,
                    action="this day's entries are not published and not asked for again; get the list from the bank",
                )
            raise

    async def _pages(
        self, one: WatchedAccount, day: date, put: Callable[[LinesQuestion, Context], Conversation[Page]]
    ) -> list[Page]:
        pages: list[Page] = []
        at, seen = None, set[str]()
        while True:
            question = LinesQuestion(AccountNumber(one.account), day, day, one.currency, at)
            page = await self._parts.ask(one.lane, "lines", Background(partial(put, question)), ANSWER_S)
            pages.append(page)
            at = page.cursor
            if at is None:
                break
            if at in seen:
                raise ProtocolError("paging", "the bank's continuation repeats")
            if len(pages) >= PAGES_MAX:
                raise ProtocolError(TOO_MANY_PAGES, f"more than {PAGES_MAX} pages")
            seen.add(at)
        found = sum(len(page.lines) for page in pages)
        if pages[-1].total_lines not in (None, found):
            raise ProtocolError(
                "paging", f"the bank says that there are {pages[-1].total_lines} entries, and it sent {found}"
            )
        return pages

    async def _read(self, look: _Reading, day: date) -> tuple[list[Page], bool]:
        """Read a day's pages and record their entries. Returns the pages, and whether they are complete: no entry hides
        another, and every entry was recorded."""
        pages = await self._walk(look.one, day)
        lines: dict[str, Line] = {}
        repeated = clash = 0
        for line in (line for page in pages for line in page.lines):
            other = lines.setdefault(line_id(line), line)
            repeated += other is not line
            clash += other != line
        if clash:
            # A list that grows while its pages are read may give an entry twice. Two different entries under one key
            # are a fault.
            _log.error(
                "account.entries_of_one_key",
                bank=look.one.bank,
                lane=look.one.lane,
                day=day.isoformat(),
                entries=clash,
                action=(
                    "several entries have the same key, and only the first is "
                    "published; get the day's list from the bank and compare"
                ),
            )
            self._parts.meters.alarms.labels("answers_disagree").inc()
        return pages, await self._keep(look, tuple(lines.values())) and not repeated

    async def _keep(self, look: _Reading, lines: Sequence[Line]) -> bool:
        """Record new entries, send events about them, and apply them to the payments that they name. Returns whether
        all were recorded."""
        every = True
        for start in range(0, len(lines), LINES_A_UNIT):
            some = lines[start : start + LINES_A_UNIT]
            if not await self._attempt(look.one, self._write(look, some)):
                # One of them has a fault; the others are recorded one by one.
                for line in some:
                    every = await self._keep_one(look, line) and every
        return every

    async def _keep_one(self, look: _Reading, line: Line) -> bool:
        """Record one entry by itself. If applying it to a payment fails, it is recorded without that."""
        tried = await self._attempt(look.one, self._write(look, (line,)))
        return bool(tried or await self._attempt(look.one, self._write(look, (line,), mute=True)))

    async def _write(self, look: _Reading, lines: Sequence[Line], *, mute: bool = False) -> bool:
        fresh, seen = await self._parts.store.write(partial(self._kept, look=look, lines=lines, mute=mute))
        if fresh:
            self._parts.meters.watched_entries.labels(look.one.bank).inc(fresh)
        for sighting in seen:
            self._log_sighting(look.one, sighting)
        return True

    def _kept(self, tx: Tx, look: _Reading, lines: Sequence[Line], mute: bool) -> tuple[int, list[StatementEvidence]]:
        one = look.one
        if tx.epoch_of(one.lane) > look.epoch:
            return 0, []  # the lane's next owner reads them again and applies them to their payments
        new = accounts.unseen(tx, lines)
        fresh = sum(accounts.keep_entry(tx, one.bank, line, one.senders) for line in new)
        if mute:
            return fresh, []
        # Also entries seen before, if their payment is still in doubt: they may not have been applied then.
        keys, days = {line_id(line) for line in new}, self._parts.host_date(one.lane).days
        old = statement_evidence.unheard(tx, one.lane, (line for line in lines if line_id(line) not in keys), days)
        seen = (
            statement_evidence.evidence_from_entry(
                tx, one.lane, line, epoch=look.epoch, actor=f"watch:{one.lane}", host=days
            )
            for line in (*new, *old)
        )
        return fresh, [sighting for sighting in seen if sighting is not None]

    def _log_sighting(self, one: WatchedAccount, sighting: StatementEvidence) -> None:
        """Log what an entry means for a payment, after its commit."""
        if sighting.disagrees is not None:
            self._parts.meters.alarms.labels("answers_disagree").inc()
            _log.error(
                "payment.entry_disagrees",
                bank=one.bank,
                lane=one.lane,
                payment=sighting.row.payment,
                differs=sighting.disagrees,
                action=(
                    "the entry does not change this payment, because the two differ; compare them with the bank's list"
                ),
            )
        if sighting.twice:
            self._parts.meters.alarms.labels("booked_twice").inc()
            _log.error(
                "payment.booked_twice",
                bank=one.bank,
                lane=one.lane,
                payment=sighting.row.payment,
                order=sighting.row.order.id,
                action="two entries have this payment's reference: the bank may have paid twice; call the bank",
            )

    # ---- closing a day ----

    async def _close(self, look: _Reading, balance: Balance | None) -> None:
        """Try to close the days that are over and not closed yet, the oldest first."""
        one, job = look.one, statement_job(look.one.account)
        # Over by the bank's clock too, which may be behind this node's by the tolerance of a trusted clock.
        over = self._parts.host_date(one.lane).today(self._parts.clock.now_ms() - CLOCK_DIFFERS_MS)
        await self._give_up(one, job, over - timedelta(days=DAYS_BACK + 1))
        missing, begun = 0, False
        for back in range(DAYS_BACK, 0, -1):
            day = over - timedelta(days=back)
            found = await self._parts.store.read(partial(jobs.find, job=job, bank=one.bank, business_date=day))
            if found is None and back > 1 and not begun:
                continue  # before it was watched
            begun = True
            if found is None:
                # Also a day after which no reading took place: the bank was closed, or the gateway stopped.
                await self._parts.store.write(partial(jobs.claim, job=job, bank=one.bank, business_date=day))
            elif found.finished_ms is not None:
                continue
            elif found.node != self._node:
                # This node owns the lane now, so that it also closes days that the lane's last owner did not close.
                inherit = partial(jobs.inherit, job=job, bank=one.bank, business_date=day, dead_node=found.node)
                await self._parts.store.write(inherit)
            # A failure to read an old day must not keep today from being read.
            closed = await self._attempt(one, self._closed(look, day, balance))
            if closed is None:
                missing += 1
                continue
            await self._parts.store.write(partial(self._finish_day, look=look, job=job, day=day, statement=closed))
        self._missing[one.account] = missing
        total = sum(
            count
            for account, count in self._missing.items()
            if (known := self._watched.get(account)) is not None and known.bank == one.bank
        )
        self._parts.meters.statements_missing.labels(one.bank).set(total)

    async def _give_up(self, one: WatchedAccount, job: str, day: date) -> None:
        """Log once that closing a day is not tried any more. From now on the day is not counted as missing."""
        if self._given_up.get(one.account) == day:
            return
        self._given_up[one.account] = day
        found = await self._parts.store.read(partial(jobs.find, job=job, bank=one.bank, business_date=day))
        if found is not None and found.finished_ms is None:
            _log.error(
                "statement.given_up",
                bank=one.bank,
                lane=one.lane,
                day=day.isoformat(),
                action="the day's statement stays open and is not read again; get it from the bank",
            )

    def _finish_day(self, tx: Tx, look: _Reading, job: str, day: date, statement: Statement) -> None:
        one = look.one
        if tx.epoch_of(one.lane) <= look.epoch and jobs.finish(tx, job, one.bank, day):
            accounts.close_day(tx, one.bank, statement, one.senders)
            statement_evidence.ask_after_statement(tx, one.lane, one.account)

    async def _closed(self, look: _Reading, day: date, balance: Balance | None) -> Statement | None:
        """The day's statement if all sources of its balances agree; None if it cannot be closed (yet).

        Entries that were booked after the day's last reading are reported here in any case, because nothing else
        reports them.
        """
        one = look.one
        pages, complete = await self._read(look, day)
        if not pages or not complete or any(page.unread for page in pages):
            return None
        if not self._parts.clock_trusted(one.lane):
            _log.warning(
                "statement.clock_in_doubt",
                bank=one.bank,
                lane=one.lane,
                day=day.isoformat(),
                action=(
                    "the day's statement stays open until this machine's clock is trusted again; correct the clock"
                ),
            )
            return None
        lines = tuple(line for page in pages for line in page.lines)
        if not await self._is_whole(look, day, lines):
            return None
        openings, closings = await self._around(look, day, pages, lines, balance)
        opening, closing = next(iter(openings), None), next(iter(closings), None)
        statement = Statement(AccountNumber(one.account), one.currency, day, Totals.of(lines), opening, closing, True)
        if len(openings) > 1 or len(closings) > 1 or not statement.fits:
            _log.error(
                "statement.does_not_add_up",
                bank=one.bank,
                lane=one.lane,
                day=day.isoformat(),
                entries=len(lines),
                action=(
                    "the day's statement stays open; entries and balances are read again after the bank's interval"
                ),
            )
            return None
        return statement if statement.stated else None

    async def _is_whole(self, look: _Reading, day: date, lines: Sequence[Line]) -> bool:
        """False if a list is empty for the first time although entries of its day were recorded. Some banks' empty
        answers name neither account nor day, so that the answer may belong to another question. The next reading
        decides."""
        one, key = look.one, (look.one.account, day)
        if lines or key in self._empty:
            self._empty.discard(key)
            return True
        if not await self._parts.store.read(partial(accounts.has_entries, account=one.account, day=day)):
            return True
        self._empty.add(key)
        _log.warning(
            "statement.empty_after_entries",
            bank=one.bank,
            lane=one.lane,
            day=day.isoformat(),
            action=(
                "the bank's list is empty, but entries of the day are known; the day stays open and its list is read "
                "again"
            ),
        )
        return False

    async def _around(
        self, look: _Reading, day: date, pages: Sequence[Page], lines: Sequence[Line], balance: Balance | None
    ) -> tuple[set[Money | None], set[Money | None]]:
        """The stated balances before and after a day: those of its pages, of its entries, of past days, of today, and
        of the day before as it was closed."""
        one, before = look.one, day - timedelta(days=1)
        yesterday = day == look.today - timedelta(days=1)
        kept = await self._parts.store.read(partial(accounts.closing_of, account=one.account, day=before))
        openings: set[Money | None] = {pages[0].opening, kept, await self._past(look, before)}
        closings: set[Money | None] = {pages[-1].closing, await self._past(look, day)}
        if yesterday and balance is not None:
            closings.add(balance.previous_day)
        chained = chain(lines)
        if chained is not None:
            openings.add(chained[0])
            # The last entry of an incomplete list states a balance too. If nothing else states one, it is trusted a day
            # later.
            if closings != {None} or not yesterday:
                closings.add(chained[1])
        return openings - {None}, closings - {None}

    async def _past(self, look: _Reading, day: date) -> Money | None:
        one, bank = look.one, self._parts.banks[look.one.bank]
        if bank.questions.balance is None or (look.today - day).days > bank.profile.past_balance_days:
            return None
        question = BalanceQuestion(AccountNumber(one.account), one.currency, day)
        asking = Background(partial(bank.questions.balance, question))
        try:
            told = await self._parts.ask(one.lane, "balance", asking, ANSWER_S)
        except Declined as no:
            if no.listed and no.outcome != "failed":
                raise  # the bank may state it a moment later
            return None
        return told.book


def chain(lines: Sequence[Line]) -> tuple[Money, Money] | None:
    """The balances before and after entries that each state the balance after them; None unless each follows from the
    one before. Their times give the order. Without times both orders are tried; the result is None if both fit and give
    different balances."""
    if not lines or any(line.balance is None for line in lines):
        return None
    first, last = lines[0].booked_at, lines[-1].booked_at
    ways = [lines, tuple(reversed(lines))]
    if first is not None and last is not None and first != last:
        ways = ways[:1] if first < last else ways[1:]
    found = {around for ordered in ways if (around := _along(ordered)) is not None}
    return found.pop() if len(found) == 1 else None


def _along(lines: Sequence[Line]) -> tuple[Money, Money] | None:
    opening = at = _before(lines[0])
    for line in lines:
        at = at + _signed(line)
        if at != line.balance:
            return None
    return opening, at


def _before(line: Line) -> Money:
    assert line.balance is not None
    return line.balance - _signed(line)


def _signed(line: Line) -> Money:
    minor = line.amount.minor
    return Money(minor if line.direction is Direction.CREDIT else -minor, line.amount.currency)
