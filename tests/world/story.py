"""The results of simulated stories: violations, kinds of events, and the last line of `make sim`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gateway.simbank.faults import BankFault
from tests.world import approving, between

KINDS = (
    "several accounts",
    between.TWO_LANES,
    *between.SETTINGS,
    between.RESTORED,
    between.RESTORED_QUIETLY,
    between.LOG_LOST,
    between.RESOLVED,
    between.RESENT,
    "released by persons",
    "clock days off",
    between.DAYS_AHEAD,
    "confirm lost",
    BankFault.DUPLICATE.value,
    approving.APPROVALS,
    approving.REJECTED,
    approving.RENEWED,
    approving.POLICY,
)
"""Events that must occur in many stories: changes between two lives, and rare events."""


@dataclass(slots=True)
class Story:
    """The result of one seed. `cpu_s` is the CPU time of the run, `simulated_s` the time that passed in the world."""

    seed: int
    trace: str = ""
    violations: list[str] = field(default_factory=list)
    rules: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    payments: int = 0
    crashes: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    told: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    steps: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class StoryTotals:
    """The sums over many stories."""

    played: int = 0
    broken: int = 0
    payments: int = 0
    crashes: int = 0
    simulated_s: float = 0.0
    cpu_s: float = 0.0
    rules: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, story: Story) -> None:
        """Count one story."""
        self.played += 1
        self.broken += len(story.violations)
        self.payments += story.payments
        self.crashes += story.crashes
        self.simulated_s += story.simulated_s
        self.cpu_s += story.cpu_s
        self.rules.update(story.rules)
        self.faults.update(story.faults)
        self.kinds.update(kind for kind, count in (story.actions + story.faults).items() if count > 0)

    def breakdown(self) -> str:
        """The share of stories in which each kind of event occurred, the rarest first."""
        shares = sorted((self.kinds[kind] / max(self.played, 1), kind) for kind in {*KINDS, *self.kinds})
        return "stories with: " + ", ".join(f"{kind} {100 * share:.0f} %" for share, kind in shares)

    def last_line(self) -> str:
        """The last line of `make sim`."""
        per_cpu_s = 1 / max(self.cpu_s, 0.001)
        return (
            f"sim: {self.played} seeds, {self.broken} violations, {self.payments} payments, {self.crashes} crashes, "
            f"{len(self.rules)} rows of the table and {len(self.faults)} kinds of faults reached, "
            f"{self.payments * per_cpu_s:.0f} payments per CPU second, {self.simulated_s * per_cpu_s:.0f} : 1"
        )
