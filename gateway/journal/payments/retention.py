"""Retention: deletes refusals, their parked copies and banks' pushes after their time, and counts what is kept.

A refusal is kept so that a refused command is not accepted when it is delivered again, and for the person who helps its
sender. After `refusals_kept_days` it is deleted; the audit trail still has an entry of it. The rest is looked at once
an hour: see `purge` and `audit_purge`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from gateway import log
from gateway.clock import Clock
from gateway.journal.checkpoints.audit_purge import AuditPurge
from gateway.journal.commit.store import Store, StoreFailed
from gateway.journal.payments import purge, pushes, refusals
from gateway.meters import Meters
from gateway.settings import Settings
from gateway.tasks import Tasks, sleep

LOOK_S = 60.0
PURGE_MS = 3_600_000
DAY_MS = 86_400_000
AT_ONCE = 200
"""The rows deleted per unit, so that other units are not delayed."""
_log = log.get("journal.retention")


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """For how many days refusals, payments and statement entries are kept."""

    refusals_days: int
    payments_days: int = 3_653
    statements_days: int = 3_653


def periods_of(settings: Settings) -> RetentionPeriods:
    """Those of the settings."""
    kept = settings.retention
    return RetentionPeriods(settings.journal.refusals_kept_days, kept.payments_days, kept.statements_days)


class Retention:
    """Checks once a minute. Any node may do it; several at once do no harm."""

    def __init__(
        self, store: Store, clock: Clock, meters: Meters, periods: RetentionPeriods,
        audit_purge: AuditPurge | None = None,
    ) -> None:  # fmt: skip
        self._store = store
        self._clock = clock
        self._kept_ms = periods.refusals_days * DAY_MS
        self._meters = meters
        self._periods = periods
        self._audit_purge = audit_purge
        self._purge_at_ms = 0
        self.overdue = 0
        self._tasks = Tasks(lambda failure: _log.error("retention.ended", error=str(failure.value)))

    def start(self) -> None:
        """Start with a check now."""
        self._tasks.spawn(self._keep_looking())

    def stop(self) -> None:
        """Stop."""
        self._tasks.stop()

    async def _keep_looking(self) -> None:
        while True:
            try:
                await self._look()
                await self._purge()
            except (CancelledError, StoreFailed):
                raise
            except Exception:
                _log.error("retention.failed", error=Failure().getTraceback(detail="brief"),
                           action="tried again in a minute; nothing is deleted meanwhile")  # fmt: skip
            await sleep(self._clock, LOOK_S)

    async def _look(self) -> None:
        before_ms = self._clock.now_ms() - self._kept_ms
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

    async def _purge(self) -> None:
        now_ms = self._clock.now_ms()
        if now_ms < self._purge_at_ms:
            return
        self._purge_at_ms = now_ms + PURGE_MS
        for what, due, forget, days in (
            ("payments", purge.due, purge.forget_payments, self._periods.payments_days),
            ("statement_entries", purge.entries_due, purge.forget_entries, self._periods.statements_days),
        ):
            gone, before_ms = 0, now_ms - days * DAY_MS
            # Looked at first: a unit that finds nothing to delete would cost a commit.
            while await self._store.read(partial(due, before_ms=before_ms, most=1)):
                gone += await self._store.write(partial(forget, before_ms=before_ms, most=AT_ONCE))
            if gone:
                _log.info("retention.purged", what=what, count=gone, action="their retention is over")
        if self._audit_purge is not None:
            await self._audit_purge.look()

    def _overdue(self, number: int) -> None:
        self.overdue = number
        self._meters.refusals_overdue.set(number)
