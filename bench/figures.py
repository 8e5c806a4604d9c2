"""The benchmark's arithmetic: medians, ratios, tables and a verdict from rounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

RSA: Final = "RSA-2048 signature"
"""The part of the floor that differs most between hosts: 230 µs on one, 685 on another."""
BEYOND_RSA_TARGET: Final = 3.2
"""The target for the daemon's CPU a payment at `sample`, as a multiple of the floor, both without the RSA signature."""
SCRIPT_TARGETS: Final = {"sample": 0.85, "pab": 0.8}
"""The targets for the daemon's CPU a payment, as a share of the script's CPU, by bank."""
SCRIPT_MOST: Final = 1.2
"""The gate for the share of the script's CPU. Other work slows both programs alike, but may come between the halves of
a pair.
"""
FLOOR_MOST: Final = 5.0
"""The gate for the multiple of the floor. It leaves room, because on a busy machine the floor's few loops stay in the
caches and a daemon's code does not.
"""
MEMORY_MOST_BYTES: Final = 150_000_000
MEMORY_TARGET_BYTES: Final = 140_000_000
BATCH_TARGET: Final = 10.0
ADDED_TARGET_MS: Final = 25.0


@dataclass(frozen=True, slots=True)
class Times:
    """One order: the times of its publish and its two events, in seconds of the monotonic clock."""

    number: int
    published_s: float
    accepted_s: float
    settled_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """The figures of one burst through one program. `cpu_us` is the CPU of each process, `group` the units of a
    commit."""

    payments: int
    seconds: float
    cpu_us: Mapping[str, int]
    times: Sequence[Times] = ()
    group: float = 1.0

    @property
    def per_second(self) -> float:
        """Payments a second, from the first publish to the last event."""
        return self.payments / self.seconds

    @property
    def steady_per_second(self) -> float:
        """Payments a second between the first and the last quarter that settled, so that begin and end of the burst do
        not count."""
        settled = sorted(one.settled_s for one in self.times)
        first, last = len(settled) // 4, len(settled) * 3 // 4
        return (last - first) / max(settled[last] - settled[first], 0.001)

    def cpu_each_us(self, process: str) -> float:
        """Processor time of one process for one payment, in microseconds."""
        return self.cpu_us[process] / self.payments


@dataclass(frozen=True, slots=True)
class Match:
    """The rounds of gateway and script at one bank, played in turn; the n-th rounds of each belong together.

    `floors` holds for each pair the parts of the floor, measured directly after them. `ours` and `theirs` name the
    process whose processor time is compared. `steady`: payments a second are those of the steady state.
    """

    bank: str
    gateway: Sequence[Round]
    script: Sequence[Round]
    floors: Sequence[Mapping[str, float]]
    steady: bool = False
    ours: str = "daemon"
    theirs: str = "script"

    @property
    def per_second(self) -> float:
        """The gateway's payments a second, median of the rounds."""
        return median(one.steady_per_second if self.steady else one.per_second for one in self.gateway)

    @property
    def script_per_second(self) -> float:
        """The script's payments a second, median of the rounds."""
        return median(one.per_second for one in self.script)

    @property
    def speed_ratio(self) -> float:
        """The gateway's speed as a multiple of the script's: the median over the pairs of rounds, because noise changes
        over time."""
        pairs = zip(self.gateway, self.script, strict=True)
        return median((a.steady_per_second if self.steady else a.per_second) / b.per_second for a, b in pairs)

    @property
    def cpu_us(self) -> float:
        """The daemon's processor time for one payment in microseconds, median of the rounds."""
        return median(one.cpu_each_us(self.ours) for one in self.gateway)

    @property
    def cpu_ratio(self) -> float:
        """The daemon's processor time as a share of the script's, median over the pairs of rounds."""
        pairs = zip(self.gateway, self.script, strict=True)
        return median(a.cpu_each_us(self.ours) / b.cpu_each_us(self.theirs) for a, b in pairs)

    @property
    def floor_us(self) -> float:
        """The floor of the daemon's processor time for one payment in microseconds, median of the rounds."""
        return median(sum(parts.values()) for parts in self.floors)

    @property
    def floor_ratio(self) -> float:
        """The daemon's processor time as a multiple of the floor, median over the pairs."""
        pairs = zip(self.gateway, self.floors, strict=True)
        return median(a.cpu_each_us(self.ours) / sum(parts.values()) for a, parts in pairs)

    @property
    def beyond_rsa_ratio(self) -> float:
        """As `floor_ratio`, without the RSA signature on either side. A floor that is mostly RSA makes a slow daemon
        look fast on a host whose RSA is slow."""
        pairs = zip(self.gateway, self.floors, strict=True)
        signed = [(a.cpu_each_us(self.ours), sum(parts.values()), parts.get(RSA, 0.0)) for a, parts in pairs]
        return median((spent - rsa) / (floor - rsa) for spent, floor, rsa in signed)


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of an order at half of the load that the stub bank allows, in milliseconds from its publishing.

    `added` is the time until it is settled less the bank's own: from the request's first bytes there to its answer.
    """

    per_second: float
    accepted: Sequence[float]
    bank_byte: Sequence[float]
    settled: Sequence[float]
    added: Sequence[float]

    @staticmethod
    def of(one: Round, came_s: Mapping[int, float], went_s: Mapping[int, float]) -> Stages:
        """The stages of each order, from the times of the ERP and of the stub, both by order number."""
        return Stages(
            one.per_second,
            [(t.accepted_s - t.published_s) * 1000 for t in one.times],
            [(came_s[t.number] - t.published_s) * 1000 for t in one.times],
            [(t.settled_s - t.published_s) * 1000 for t in one.times],
            [(t.settled_s - t.published_s - went_s[t.number] + came_s[t.number]) * 1000 for t in one.times],
        )

    @property
    def added_p99_ms(self) -> float:
        """The gateway's share of the latency, broker and disk included."""
        return percentile(self.added, 0.99)


@dataclass(frozen=True, slots=True)
class Result:
    """All measurements of a run. `line_us` is the daemon's CPU for one line of a large batch."""

    sample: Match
    pab: Match
    stub: Sequence[Round]
    stages: Stages
    line_us: float
    peak_bytes: int

    @property
    def lines_for_one(self) -> float:
        """The number of lines of a batch that cost as much as one single payment."""
        return self.sample.cpu_us / self.line_us


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest of `values` such that at least `share` of all do not exceed it (nearest rank)."""
    ordered = sorted(values)
    assert ordered, "no values"
    assert 0 < share <= 1, share
    # -(-a // b) rounds up; the rank is counted in whole values, so a hair of floating point must not add one.
    return ordered[max(int(-(-round(share * len(ordered), 9) // 1)), 1) - 1]


def table(match: Match) -> list[str]:
    """The rounds of one match, their medians, and the floor, as lines."""
    lines = [f"{match.bank}: {'':22}payments/s   CPU us a payment"]
    for number, (ours, theirs) in enumerate(zip(match.gateway, match.script, strict=True), start=1):
        lines.append(f"  round {number}  gateway {_row(ours)}  ({ours.group:.1f} units a commit)")
        lines.append(f"  round {number}  script  {_row(theirs)}")
        lines.append(f"  round {number}  floor {sum(match.floors[number - 1].values()):37.0f}")
    lines.append(
        f"  median   daemon {match.cpu_us:.0f} us = {match.floor_ratio:.2f} x floor, {match.cpu_ratio:.2f} x script; "
        f"{match.per_second:.0f} payments/s, {match.speed_ratio:.1f} x the script's {match.script_per_second:.0f}"
    )
    parts = {part: median(one[part] for one in match.floors) for part in match.floors[0]}
    lines.append("  floor    " + ", ".join(f"{part} {us:.0f}" for part, us in parts.items()))
    return lines


def stub_table(rounds: Sequence[Round]) -> list[str]:
    """The rounds with the stub bank as lines."""
    lines = [f"sample with the stub bank: {'':4}payments/s   CPU us a payment"]
    return lines + [f"  round {n}  gateway {_row(one)}" for n, one in enumerate(rounds, start=1)]


def stages_table(stages: Stages) -> list[str]:
    """The stages at half load, as lines."""
    rows = (
        ("accepted", stages.accepted),
        ("first byte at the bank", stages.bank_byte),
        ("settled", stages.settled),
        ("settled, less the bank's own time", stages.added),
    )
    lines = [f"half load, {stages.per_second:.0f} payments/s with the stub bank, ms from publishing: p50, p95, p99"]
    for name, waits in rows:
        told = "  ".join(f"{percentile(waits, share):6.1f}" for share in (0.5, 0.95, 0.99))
        lines.append(f"  {name:36}{told}")
    return lines


def _row(one: Round) -> str:
    spent = "  ".join(f"{name} {one.cpu_each_us(name):.0f}" for name in one.cpu_us)
    return f"{one.payments:5d} in {one.seconds:6.2f} s  {one.per_second:7.0f}   {spent}"


def last_line(result: Result) -> str:
    """The run's last printed line: the figures and the verdict."""
    sample, pab = result.sample, result.pab
    return (
        f"bench: sample {sample.cpu_us:.0f} us = {sample.floor_ratio:.2f} x floor, "
        f"{sample.beyond_rsa_ratio:.2f} x beyond RSA, {sample.cpu_ratio:.2f} x script; "
        f"pab {pab.cpu_us:.0f} us = {pab.floor_ratio:.2f} x floor, {pab.cpu_ratio:.2f} x script; "
        f"added latency p99 {result.stages.added_p99_ms:.0f} ms; batch line 1/{result.lines_for_one:.1f}; "
        f"{sample.per_second:.0f} payments/s"
    )


def failings(result: Result) -> list[str]:
    """The gates that this run missed; empty if it missed none. Rates and waits have no gate, because they depend on the
    machine."""
    sample, found = result.sample, []
    if sample.floor_ratio > FLOOR_MOST:
        found.append(f"sample costs {sample.floor_ratio:.2f} x the floor, the gate is {FLOOR_MOST:g}")
    if sample.cpu_ratio > SCRIPT_MOST:
        found.append(f"sample costs {sample.cpu_ratio:.2f} x the script's CPU, the gate is {SCRIPT_MOST:g}")
    if result.peak_bytes >= MEMORY_MOST_BYTES:
        found.append(
            f"the daemon needed {result.peak_bytes / 1e6:.0f} MB, the gate is under {MEMORY_MOST_BYTES / 1e6:.0f}"
        )
    return found


def not_reached(result: Result) -> list[str]:
    """The targets that this run did not reach. A target is an aim and does not decide whether the run passes."""
    sample, found = result.sample, []
    if sample.beyond_rsa_ratio > BEYOND_RSA_TARGET:
        found.append(f"sample {sample.beyond_rsa_ratio:.2f} x floor beyond RSA, the target is {BEYOND_RSA_TARGET:g}")
    for match in (sample, result.pab):
        if match.cpu_ratio > SCRIPT_TARGETS[match.bank]:
            target = SCRIPT_TARGETS[match.bank]
            found.append(f"{match.bank} {match.cpu_ratio:.2f} x script, the target is {target:g}")
    if result.peak_bytes > MEMORY_TARGET_BYTES:
        found.append(f"memory {result.peak_bytes / 1e6:.0f} MB, the target is {MEMORY_TARGET_BYTES / 1e6:.0f}")
    if result.lines_for_one < BATCH_TARGET:
        found.append(f"a line of a batch costs 1/{result.lines_for_one:.1f}, the target is 1/{BATCH_TARGET:g}")
    if result.stages.added_p99_ms > ADDED_TARGET_MS:
        found.append(
            f"added latency p99 {result.stages.added_p99_ms:.0f} ms, the target on an otherwise idle machine is "
            f"{ADDED_TARGET_MS:g}"
        )
    return found
