"""What the wall clock is worth on one lane: whether its spans are those that passed, and its days those of the bank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from gateway import log
from gateway.bank.lease import Lease
from gateway.clock import Clock
from gateway.meters import Meters
from protocols.canon.outcome import Fate

CLOCK_DIFFERS_MS = 60_000
"""A clock that differs by more from the bank's counts other days than the bank does."""
_DOUBTS = {
    "clock_set": "nothing is sent again until a restart",
    "clock_differs": "nothing is sent again until it agrees with the bank's; set this machine's clock right",
}
"""Why spans and days by the wall clock mean nothing, and what is done about it."""
_log = log.get("bank.clock_trust")


@dataclass(frozen=True, slots=True)
class ClockVerdict:
    """`spans`: a span of the wall clock that exceeds the quarantine means that so much time has passed. `days`: so it
    does, and our date is the bank's."""

    spans: bool
    days: bool

    def of(self, fate: Fate) -> bool:
        """Whether this word may count. A payment can be unknown because we named the wrong days to look at."""
        return self.days if fate is Fate.NOT_FOUND else self.spans


class ClockTrust:
    """See the module."""

    def __init__(self, lane: str, clock: Clock, lease: Lease, meters: Meters) -> None:
        self._lane = lane
        self._clock = clock
        self._lease = lease
        self._meters = meters
        self._ahead_ms = 0

    @property
    def doubt(self) -> str | None:
        """Why nothing is sent a second time by this clock: `clock_set`, `clock_differs`; None while all is well."""
        if self._lease.clock_set:
            return "clock_set"
        return "clock_differs" if abs(self._ahead_ms) > CLOCK_DIFFERS_MS else None

    def trusted(self) -> bool:
        """Whether spans and days by it mean anything: false, and an alarm, if it was set or differs."""
        doubt = self.doubt
        if doubt is None:
            return True
        self._ring(doubt)
        return False

    def was_set(self) -> None:
        """Somebody has set it by more than a minute: they must hear of it also if nothing waits to be sent again."""
        self._ring("clock_set")

    def _ring(self, doubt: str) -> None:
        self._meters.alarms.labels(doubt).inc()
        _log.error(f"lane.{doubt}", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000),
                   action=_DOUBTS[doubt])  # fmt: skip

    def quarantine_left_ms(self, quarantine_ms: int) -> int:
        """How much of a quarantine is surely left, by the one clock that nobody can set: what this node's time with the
        lane, and with the clock as it is, is short of it. What was sent before was timed by another node's, or by one
        that may have been wrong.
        """
        return max(math.ceil(quarantine_ms - self._lease.lasted_s * 1000), 0)

    def sure(self, quarantine_ms: int) -> ClockVerdict:
        """What may be concluded from what a bank says now. See Sure.

        A span is sure also after the clock was set, once it was left alone for so long: what was sent before is older
        than that.
        """
        spans = abs(self._ahead_ms) <= CLOCK_DIFFERS_MS and not self.quarantine_left_ms(quarantine_ms)
        return ClockVerdict(spans, spans and self.doubt is None)

    def hear(self, bank_at: datetime) -> None:
        """What the bank's clock showed a moment ago."""
        before_ms, self._ahead_ms = self._ahead_ms, self._clock.now_ms() - round(bank_at.timestamp() * 1000)
        differs, differed = (abs(off_ms) > CLOCK_DIFFERS_MS for off_ms in (self._ahead_ms, before_ms))
        if differs and not differed:
            _log.warning("lane.clock_differs", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000),
                         action=_DOUBTS["clock_differs"])  # fmt: skip
        elif differed and not differs:
            _log.info("lane.clock_agrees", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000))
