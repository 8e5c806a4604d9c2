"""What a site refused by itself, counted until the daemon is told, which writes it to the audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.people.page_refusals import PAGE_REFUSALS, REFUSALS_MOST, TELL_EVERY_S


class RefusalCounts:
    """Counts by kind, to be told once in `TELL_EVERY_S`. Nothing of a request is kept."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told_s: float | None = None

    def add(self, kind: str) -> None:
        """One more. What is no refusal of the known kinds is not counted."""
        if kind in PAGE_REFUSALS:
            self._counts[kind] += 1

    def due(self, now_s: float) -> Mapping[str, int]:
        """What to tell now; empty if there is nothing, or the last note was less than a minute ago."""
        if not self._counts or self._told_s is not None and now_s - self._told_s < TELL_EVERY_S:
            return {}
        self._told_s, counts = now_s, self._counts
        self._counts = Counter()
        return {kind: min(count, REFUSALS_MOST) for kind, count in counts.items()}

    def untold(self, counts: Mapping[str, int]) -> None:
        """The daemon did not take these: they are told with the next ones."""
        self._counts.update(counts)
