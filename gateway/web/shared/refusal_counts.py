"""Counts the refusals of a site until they are reported to the daemon, which writes them to the audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway.people.rules.page_refusals import PAGE_REFUSALS, REFUSALS_MOST, TELL_EVERY_S


class RefusalCounts:
    """Counts refusals by kind. They are reported to the daemon at most once in `TELL_EVERY_S`. Nothing else of a
    request is kept."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._told_s: float | None = None

    def add(self, kind: str) -> None:
        """Count one refusal. An unknown kind is not counted."""
        if kind in PAGE_REFUSALS:
            self._counts[kind] += 1

    def due(self, now_s: float) -> Mapping[str, int]:
        """The counts to report now; empty if there are none, or if the last report was too recent."""
        if not self._counts or self._told_s is not None and now_s - self._told_s < TELL_EVERY_S:
            return {}
        self._told_s, counts = now_s, self._counts
        self._counts = Counter()
        return {kind: min(count, REFUSALS_MOST) for kind, count in counts.items()}

    def untold(self, counts: Mapping[str, int]) -> None:
        """Add counts back that the daemon did not accept, to report them with the next ones."""
        self._counts.update(counts)
