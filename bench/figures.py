"""The benchmark's arithmetic: rounds in, medians, ratios, a table and a verdict out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

SPEED_LEAST = 3.0
CPU_MOST = 0.5
MEMORY_MOST_BYTES = 150_000_000


@dataclass(frozen=True, slots=True)
class Round:
    """One burst through one contestant. `cpu_us` is what each process spent in it."""

    payments: int
    seconds: float
    cpu_us: Mapping[str, int]
    waits_ms: Sequence[float] = ()

    @property
    def per_second(self) -> float:
        """Payments a second."""
        return self.payments / self.seconds

    def cpu_each_us(self, process: str) -> float:
        """Processor time of one process for one payment."""
        return self.cpu_us[process] / self.payments


@dataclass(frozen=True, slots=True)
class Match:
    """The gateway's rounds and the script's at one bank, played in turn: the n-th of each belong together.

    `ours` and `theirs` name the process whose processor time is compared.
    """

    bank: str
    gateway: Sequence[Round]
    script: Sequence[Round]
    calm: Round | None = None
    ours: str = "daemon"
    theirs: str = "script"

    @property
    def per_second(self) -> float:
        """The gateway's payments a second, median of the rounds."""
        return median(one.per_second for one in self.gateway)

    @property
    def script_per_second(self) -> float:
        """The script's."""
        return median(one.per_second for one in self.script)

    @property
    def speed_ratio(self) -> float:
        """How many times faster the gateway is: the median over the pairs, since noise comes and goes."""
        return median(a.per_second / b.per_second for a, b in zip(self.gateway, self.script, strict=True))

    @property
    def cpu_us(self) -> float:
        """The daemon's processor time for one payment, median of the rounds."""
        return median(one.cpu_each_us(self.ours) for one in self.gateway)

    @property
    def cpu_ratio(self) -> float:
        """That as a share of the script's, median over the pairs."""
        pairs = zip(self.gateway, self.script, strict=True)
        return median(a.cpu_each_us(self.ours) / b.cpu_each_us(self.theirs) for a, b in pairs)


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest of `values` that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    assert ordered, "no values"
    assert 0 < share <= 1, share
    # -(-a // b) rounds up; the rank is counted in whole values, so a hair of floating point must not add one.
    return ordered[max(int(-(-round(share * len(ordered), 9) // 1)), 1) - 1]


def table(match: Match) -> list[str]:
    """The rounds of one match, and their medians, as lines."""
    lines = [f"{match.bank}: {'':22}payments/s   CPU us a payment"]
    for number, (ours, theirs) in enumerate(zip(match.gateway, match.script, strict=True), start=1):
        lines.append(f"  round {number}  gateway {_row(ours)}")
        lines.append(f"  round {number}  script  {_row(theirs)}")
    lines.append(
        f"  median   gateway {match.per_second:.0f}/s, {match.speed_ratio:.2f} x the script's "
        f"{match.script_per_second:.0f}/s; daemon {match.cpu_us:.0f} us, {match.cpu_ratio:.2f} x the script's"
    )
    waits = [wait for one in match.gateway for wait in one.waits_ms]
    lines.append(f"  order to event, all at once: {_waits(waits)}")
    if match.calm is not None:
        lines.append(f"  order to event, {match.calm.per_second:.0f} a second: {_waits(match.calm.waits_ms)}")
    return lines


def _row(one: Round) -> str:
    spent = "  ".join(f"{name} {one.cpu_each_us(name):.0f}" for name in one.cpu_us)
    return f"{one.payments:5d} in {one.seconds:6.2f} s  {one.per_second:7.0f}   {spent}"


def _waits(waits_ms: Sequence[float]) -> str:
    return f"p50 {percentile(waits_ms, 0.5):.0f} ms, p99 {percentile(waits_ms, 0.99):.0f} ms"


def last_line(sample: Match, pab: Match, peak_bytes: int) -> str:
    """The line everybody looks for."""
    return (
        f"bench: sample {sample.per_second:.0f} payments/s ({sample.speed_ratio:.1f} x the script), "
        f"{sample.cpu_us:.0f} us CPU a payment ({sample.cpu_ratio:.2f} x the script's), "
        f"pab {pab.per_second:.0f} payments/s ({pab.speed_ratio:.1f} x), "
        f"daemon peak {peak_bytes / 1e6:.0f} MB"
    )


def failings(sample: Match, peak_bytes: int) -> list[str]:
    """What was promised and not reached; empty when all was."""
    found = []
    if sample.speed_ratio < SPEED_LEAST:
        found.append(f"sample is {sample.speed_ratio:.2f} x the script, the promise is {SPEED_LEAST:g}")
    if sample.cpu_ratio > CPU_MOST:
        found.append(f"sample costs {sample.cpu_ratio:.2f} x the script's CPU, the promise is {CPU_MOST:g}")
    if peak_bytes >= MEMORY_MOST_BYTES:
        found.append(f"the daemon needed {peak_bytes / 1e6:.0f} MB, the promise is under {MEMORY_MOST_BYTES / 1e6:.0f}")
    return found
