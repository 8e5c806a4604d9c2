"""Options that every bank behind a front end has: time-outs, probe and pace, and the hours for orders.

A bank's Options has them as one field with the bank's own defaults; in the settings they stand beside the others:

    timing: Timing = Timing(probe_every_s=60.0, per_second=2.0, burst=2)

`choices.read_choices` fills the group from the settings' flat table, and takes their checks from `choices.COMMON`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import time, timedelta
from types import MappingProxyType
from typing import Final

from protocols.bank import Cutter, Port
from protocols.canon.limits import Hours, Pace

_NOTHING_APART: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Timing:
    """Time-outs, the probe's interval and the pace of a bank's connections. Times are in seconds.

    `first_byte_s` and `exchange_s` are the time-outs of one exchange. `probe_every_s` is the time between probes.
    `per_second` and `burst` are the requests that the bank tolerates; `first_enquiry_s` is the time between a payment's
    send and its first enquiry.
    """

    probe_every_s: float = 120.0
    first_byte_s: float = 60.0
    exchange_s: float = 120.0
    per_second: float = 1.0
    burst: int = 1
    first_enquiry_s: float = 10.0

    def port(self, name: str, answers: Callable[[], Cutter], *, first_byte_s: float | None = None) -> Port:
        """A port whose connections carry one exchange each. `first_byte_s` is given if this port has its own
        time-out."""
        waits_s = self.first_byte_s if first_byte_s is None else first_byte_s
        return Port(name, answers, kept=False, first_byte_s=waits_s, exchange_s=self.exchange_s)

    def pace(self, apart_s: Mapping[str, float] = _NOTHING_APART) -> Pace:
        """The pace in the form that intake and lane use."""
        return Pace(self.per_second, self.burst, timedelta(seconds=self.first_enquiry_s), apart_s)


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """The hours in which a bank takes orders, as `HH:MM` of the bank's day; equal times mean round the clock.

    `cut_off` is the last moment for today's bank date.
    """

    opens: str = "00:00"
    closes: str = "00:00"
    cut_off: str | None = None

    def hours(self, *, asked_outside: bool = True) -> Hours:
        """The hours as limits; `asked_outside` is False if the bank answers no questions outside these hours either."""
        return Hours(
            opens=time.fromisoformat(self.opens),
            closes=time.fromisoformat(self.closes),
            cut_off=None if self.cut_off is None else time.fromisoformat(self.cut_off),
            asked_outside=asked_outside,
        )
