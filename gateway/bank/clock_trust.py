"""Whether this node's clock can be trusted for elapsed time and for the bank's date."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway import log
from gateway.bank.lease import Lease
from gateway.clock import Clock
from gateway.meters import Meters
from protocols.canon.outcome import Fate

CLOCK_DIFFERS_MS = 60_000
"""With a larger difference from the bank's clock, the two may count different days."""
_DOUBTS = {
    "clock_set": "nothing is sent again until a restart",
    "clock_differs": "nothing is sent again until it agrees with the bank's; set this machine's clock right",
}
"""Why the wall clock is not trusted, and what the gateway does about it."""
_log = log.get("bank.clock_trust")


@dataclass(frozen=True, slots=True)
class ClockVerdict:
    """`spans`: elapsed time by the wall clock is reliable beyond the quarantine. `days`: so it is, and our date is the
    bank's."""

    spans: bool
    days: bool

    def of(self, fate: Fate) -> bool:
        """Whether an answer with this fate may count. A payment can be unknown because we named the wrong date."""
        return self.days if fate is Fate.NOT_FOUND else self.spans


def banks_agree(trusts: Iterable[ClockTrust]) -> bool | None:
    """Whether the banks' clocks agree with ours; None if no bank told its time."""
    ahead = [one.ahead_ms for one in trusts if one.ahead_ms is not None]
    return all(abs(ms) <= CLOCK_DIFFERS_MS for ms in ahead) if ahead else None


class ClockTrust:
    """See the module. One per lane."""

    def __init__(self, lane: str, clock: Clock, lease: Lease, meters: Meters) -> None:
        self._lane = lane
        self._clock = clock
        self._lease = lease
        self._meters = meters
        self._ahead_ms = 0
        self._compared = False

    @property
    def ahead_ms(self) -> int | None:
        """How far this node's clock is ahead of the bank's; None: the bank never told its time."""
        return self._ahead_ms if self._compared else None

    @property
    def doubt(self) -> str | None:
        """Why nothing is sent a second time: `clock_set` or `clock_differs`; None while the clock is trusted."""
        if self._lease.clock_set:
            return "clock_set"
        return "clock_differs" if abs(self._ahead_ms) > CLOCK_DIFFERS_MS else None

    def trusted(self) -> bool:
        """Whether the clock is trusted. If not, an alarm is raised."""
        doubt = self.doubt
        if doubt is None:
            return True
        self._ring(doubt)
        return False

    def was_set(self) -> None:
        """The clock was set by more than a minute: raise the alarm, also if nothing waits to be sent again."""
        self._ring("clock_set")

    def _ring(self, doubt: str) -> None:
        self._meters.alarms.labels(doubt).inc()
        _log.error(f"lane.{doubt}", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000),
                   action=_DOUBTS[doubt])  # fmt: skip

    def quarantine_left_ms(self, quarantine_ms: int) -> int:
        """How much of a quarantine is left by the monotonic clock, counted from when this node has had the lane and an
        unchanged wall clock. What was sent before that was timed by another node's clock, or by a wrong one.
        """
        return max(math.ceil(quarantine_ms - self._lease.lasted_s * 1000), 0)

    def sure(self, quarantine_ms: int) -> ClockVerdict:
        """What may be concluded from an answer of the bank now: see ClockVerdict.

        After the clock was set, elapsed time is reliable again once the clock was left alone for a whole quarantine:
        what was sent before the change is older than that.
        """
        spans = abs(self._ahead_ms) <= CLOCK_DIFFERS_MS and not self.quarantine_left_ms(quarantine_ms)
        return ClockVerdict(spans, spans and self.doubt is None)

    def compare(self, bank_at: datetime) -> None:
        """Compare this node's clock with what the bank's clock showed a moment ago."""
        self._compared = True
        before_ms, self._ahead_ms = self._ahead_ms, self._clock.now_ms() - round(bank_at.timestamp() * 1000)
        differs, differed = (abs(off_ms) > CLOCK_DIFFERS_MS for off_ms in (self._ahead_ms, before_ms))
        if differs and not differed:
            _log.warning("lane.clock_differs", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000),
                         action=_DOUBTS["clock_differs"])  # fmt: skip
        elif differed and not differs:
            _log.info("lane.clock_agrees", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000))
