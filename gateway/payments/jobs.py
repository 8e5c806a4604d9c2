"""Retention: deletes refusals, their parked copies and banks' pushes after their time, and counts what is kept.

A refusal is kept so that a refused command is not accepted when it is delivered again, and for the person who helps its
sender. It is deleted after `refusals_kept_days`; the audit trail still has an entry of it. The other rows are checked
once an hour: see `purge`, `old_rows` and `audit_purge`. The age of a row is judged by `retention_clock`, not by the
wall clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from gateway.kernel import log
from gateway.kernel.checkpoints.audit_purge import AuditPurge
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.meters import Meters
from gateway.kernel.retention_clock import RetentionClock
from gateway.kernel.tasks import Tasks, attempt, sleep
from gateway.payments.rows import old_rows, purge, pushes, refusals
from gateway.settings import Settings

LOOK_S = 60.0
PURGE_S = 3_600.0
DAY_MS = 86_400_000
AT_ONCE = 200
"""The rows deleted per unit, so that other units are not delayed."""
_log = log.get("journal.retention")


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """The number of days for which rows are kept: see the settings `[retention]` and `journal.refusals_kept_days`."""

    refusals_days: int
    payments_days: int = 3_653
    statements_days: int = 3_653
    reconciliation_days: int = 3_653
    audit_days: int = 3_653
    receipts_days: int = 10_958


def periods_of(settings: Settings) -> RetentionPeriods:
    """The retention periods in the settings."""
    kept = settings.retention
    return RetentionPeriods(
        settings.journal.refusals_kept_days,
        kept.payments_days,
        kept.statements_days,
        kept.books_days(),
        kept.audit_days,
        kept.receipts_days,
    )


@dataclass(frozen=True, slots=True)
class _Purge:
    """A group of rows that are deleted together: their name in the log, the days they are kept, and how they are found
    and deleted."""

    what: str
    days: int
    due: Callable[[Connection, int, int], int]
    forget: Callable[[Tx, int, int], int]


def _purges(kept: RetentionPeriods) -> Iterator[_Purge]:
    yield _Purge("payments", kept.payments_days, purge.due, purge.forget_payments)
    for days, tables in (
        (kept.refusals_days, (old_rows.MESSAGES,)),
        (kept.payments_days, (old_rows.USAGE,)),
        (kept.statements_days, (old_rows.ENTRIES, old_rows.DAYS, old_rows.JOBS, old_rows.CLAIMS)),
        (kept.reconciliation_days, (old_rows.BOOKS, old_rows.BOOK_ROWS, old_rows.DECISIONS, old_rows.BALANCE_TABLES)),
        (kept.reconciliation_days, (old_rows.LEDGERS, old_rows.LEDGER_PARTS, old_rows.MATCH_NEWS)),
        (kept.receipts_days, (old_rows.RECEIPT_FILES, old_rows.RECEIPT_SEARCHES)),
        (kept.audit_days, (old_rows.PROPOSALS, old_rows.DELEGATIONS)),
    ):
        for one in tables:
            yield _Purge(one.table.name, days, one.due, one.forget)


class Retention:
    """Deletes old rows once a minute. Any node may do it; several at once do no harm."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        retention_clock: RetentionClock,
        meters: Meters,
        periods: RetentionPeriods,
        audit_purge: AuditPurge | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._retention_clock = retention_clock
        self._kept_ms = periods.refusals_days * DAY_MS
        self._meters = meters
        self._purges = tuple(_purges(periods))
        self._audit_purge = audit_purge
        self._purge_at_s = float("-inf")
        self.overdue = 0
        self._tasks = Tasks(
            lambda failure: _log.error(
                "retention.ended",
                error=str(failure.value),
                action="nothing is deleted any more until the daemon restarts",
            )
        )

    async def begin(self) -> None:
        """Read the last recorded time. Must be awaited before this process commits anything."""
        await self._retention_clock.begin()

    def start(self) -> None:
        """Start the deletions, with the first one now."""
        self._tasks.spawn(self._keep_looking())

    def stop(self) -> None:
        """Stop the deletions."""
        self._tasks.stop()

    async def _keep_looking(self) -> None:
        while True:
            await attempt(self._round, self._defect, ends=StoreFailed)
            await sleep(self._clock, LOOK_S)

    async def _round(self) -> None:
        now_ms = self._retention_clock.now_ms()
        if now_ms is not None:
            await self._look(now_ms)
            await self._purge(now_ms)

    def _defect(self, error: str) -> None:
        _log.error("retention.failed", error=error, action="nothing is deleted; tried again in a minute")

    async def _look(self, now_ms: int) -> None:
        before_ms = now_ms - self._kept_ms
        held = await self._store.read(partial(refusals.held, before_ms=before_ms))
        self._overdue(held.over)
        while held.over:
            gone = await self._store.write(partial(refusals.forget, before_ms=before_ms, most=AT_ONCE))
            _log.info("refusals.deleted", count=gone, action="their retention is over")
            held = await self._store.read(partial(refusals.held, before_ms=before_ms))
        while await self._store.read(partial(pushes.overdue, before_ms=before_ms)):
            await self._store.write(partial(pushes.forget, before_ms=before_ms, most=AT_ONCE))
        self._overdue(held.over)
        self._meters.refusals_kept.set(held.refusals)
        self._meters.parked_copies_kept.set(held.parked)

    async def _purge(self, now_ms: int) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._purge_at_s:
            return
        self._purge_at_s = now_s + PURGE_S
        for one in self._purges:
            await self._forget(one, now_ms - one.days * DAY_MS)
        if self._audit_purge is not None:
            await self._audit_purge.purge_once(now_ms)
        await self._retention_clock.keep(now_ms)

    async def _forget(self, one: _Purge, before_ms: int) -> None:
        gone = 0
        # Read first, because a unit that finds nothing to delete would still cost a commit.
        while await self._store.read(lambda conn: one.due(conn, before_ms, 1)):
            gone += await self._store.write(lambda tx: one.forget(tx, before_ms, AT_ONCE))
        if gone:
            _log.info("retention.purged", what=one.what, count=gone, action="their retention is over")

    def _overdue(self, number: int) -> None:
        self.overdue = number
        self._meters.refusals_overdue.set(number)
