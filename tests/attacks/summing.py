"""One line about all attacks at the end of a run, summed from the notes of each test in every process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

NOTE = "attacks"


@dataclass
class AttackSum:
    """The number of kinds and cases, how many were accepted, and the longest time of one."""

    kinds: set[int] = field(default_factory=set)
    cases: int = 0
    accepted: int = 0
    worst_ms: float = 0.0

    def note(self) -> list[object]:
        """The sum in a form that can be sent between processes."""
        return [sorted(self.kinds), self.cases, self.accepted, self.worst_ms]

    def add(self, note: Iterable[object]) -> None:
        """Add another test's note."""
        kinds, cases, accepted, worst_ms = note
        assert isinstance(kinds, list) and isinstance(cases, int) and isinstance(accepted, int)
        assert isinstance(worst_ms, float)
        self.kinds.update(kinds)
        self.cases += cases
        self.accepted += accepted
        self.worst_ms = max(self.worst_ms, worst_ms)

    def line(self) -> str:
        """The line that `make test` prints."""
        return (
            f"attacks: {len(self.kinds)} kinds, {self.cases} cases, {self.accepted} accepted, "
            f"worst {self.worst_ms:.0f} ms"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """`attacks: 118 kinds, N cases, 0 accepted, worst M ms`, if any were carried out."""
    total = AttackSum()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                for name, note in report.user_properties:
                    if name == NOTE:
                        total.add(note)
    if total.cases:
        terminalreporter.write_line(total.line())
