"""Whether this node's clock can be trusted for elapsed time and for the bank's date."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway.bank.lease import Lease
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.meters import Meters
from protocols.canon.outcome import Fate

CLOCK_DIFFERS_MS = 60_000
"""With a larger difference from the bank's clock, the two may count different days."""
_DOUBTS = {
    "clock_set": "no payment is sent a second time until the daemon restarts; payments in doubt are asked about",
    "clock_differs": (
        "no payment is sent a second time until the clock agrees with the bank's; set this machine's clock right"
    ),
}
"""Why the wall clock is not trusted, and what the gateway does about it."""
_log = log.get("bank.clock_trust")


@dataclass(frozen=True, slots=True)
class ClockVerdict:
    """The conclusions that this node's clock allows. `spans`: elapsed time by the wall clock is reliable beyond the
    quarantine. `days`: that holds too, and this node's date is the bank's."""

    spans: bool
    days: bool

    def of(self, fate: Fate) -> bool:
        """True if an answer with this fate may count. An answer that the payment is unknown may be wrong because the
        question named the wrong date."""
        return self.days if fate is Fate.NOT_FOUND else self.spans


def banks_agree(trusts: Iterable[ClockTrust]) -> bool | None:
    """True if the banks' clocks agree with this node's; None if no bank told its time."""
    ahead = [one.ahead_ms for one in trusts if one.ahead_ms is not None]
    return all(abs(ms) <= CLOCK_DIFFERS_MS for ms in ahead) if ahead else None


class ClockTrust:
    """Judges for one lane whether this node's clock can be trusted for elapsed time and for the bank's date."""

    def __init__(self, lane: str, clock: Clock, lease: Lease, meters: Meters) -> None:
        self._lane = lane
        self._clock = clock
        self._lease = lease
        self._meters = meters
        self._ahead_ms = 0
        self._compared = False
        self._compared_since_set = False

    @property
    def ahead_ms(self) -> int | None:
        """The milliseconds by which this node's clock is ahead of the bank's; None if the bank never told its time."""
        return self._ahead_ms if self._compared else None

    @property
    def doubt(self) -> str | None:
        """Why nothing is sent a second time: `clock_set` or `clock_differs`; None while the clock is trusted."""
        if self._lease.clock_set:
            return "clock_set"
        return "clock_differs" if abs(self._ahead_ms) > CLOCK_DIFFERS_MS else None

    @property
    def day_doubt(self) -> str:
        """Why this node's date may differ from the bank's: the clocks differ, or this one was set and no bank has told
        its time since; "" if nothing suggests a difference."""
        if self._compared and abs(self._ahead_ms) > CLOCK_DIFFERS_MS:
            return "clock_differs"
        return "clock_set" if self._lease.clock_set and not self._compared_since_set else ""

    def trusted(self) -> bool:
        """True if the clock is trusted; raises an alarm if not."""
        doubt = self.doubt
        if doubt is None:
            return True
        self._ring(doubt)
        return False

    def was_set(self) -> None:
        """Raise the alarm that the clock was set by more than a minute, even if no payment waits to be sent again."""
        self._ring("clock_set")

    def _ring(self, doubt: str) -> None:
        self._meters.alarms.labels(doubt).inc()
        _log.error(
            f"lane.{doubt}", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000), action=_DOUBTS[doubt]
        )

    def quarantine_left_ms(self, quarantine_ms: int) -> int:
        """The milliseconds left of a quarantine, by the monotonic clock, counted from when this node got the lane with
        a wall clock unchanged since. Earlier sends were timed by another node's clock, or by a wrong one."""
        return max(math.ceil(quarantine_ms - self._lease.lasted_s * 1000), 0)

    def sure(self, quarantine_ms: int) -> ClockVerdict:
        """The conclusions that an answer of the bank allows now: see ClockVerdict.

        After the clock was set, elapsed time is reliable again once the clock was left alone for a whole quarantine,
        because every earlier send is older than the quarantine by then.
        """
        spans = abs(self._ahead_ms) <= CLOCK_DIFFERS_MS and not self.quarantine_left_ms(quarantine_ms)
        return ClockVerdict(spans, spans and self.doubt is None)

    def compare(self, bank_at: datetime) -> None:
        """Compare this node's clock with the time that the bank's clock showed a moment ago."""
        self._compared = True
        self._compared_since_set = self._lease.clock_set
        before_ms, self._ahead_ms = self._ahead_ms, self._clock.now_ms() - round(bank_at.timestamp() * 1000)
        differs, differed = (abs(off_ms) > CLOCK_DIFFERS_MS for off_ms in (self._ahead_ms, before_ms))
        if differs and not differed:
            _log.warning(
                "lane.clock_differs",
                lane=self._lane,
                ahead_of_bank_s=round(self._ahead_ms / 1000),
                action=_DOUBTS["clock_differs"],
            )
        elif differed and not differs:
            _log.info("lane.clock_agrees", lane=self._lane, ahead_of_bank_s=round(self._ahead_ms / 1000))
