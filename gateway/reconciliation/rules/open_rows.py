"""The rows that are not decided yet, while the rules are tried one after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

from gateway.reconciliation.rules.decision import (
    Match,
    MatchProposal,
    MatchResult,
    MatchRule,
    OpenReason,
    ProposalRule,
    ids,
)
from gateway.reconciliation.rules.rows import MatchRow, contradicts, other_party
from gateway.register.match_terms import MatchTerms

K = TypeVar("K", bound=Hashable)


class OpenRows:
    """Both sides of one matching, and what was decided so far. A row that a rule takes is no candidate for the next.

    `withheld` rows are claimed by a code that does not fit: no weaker rule may match them with something else.
    `contested` rows (is it a line, id) may be part of a sum, so no rule by amount alone may match them.
    """

    def __init__(self, entries: Iterable[MatchRow], lines: Iterable[MatchRow], terms: MatchTerms) -> None:
        self.terms = terms
        both = sorted(entries, key=lambda row: row.id)
        self.entries = {row.id: row for row in both if not row.shadow}
        self.lines = {row.id: row for row in sorted(lines, key=lambda row: row.id)}
        self.withheld: dict[str, OpenReason] = {}
        self.withheld_lines: dict[str, OpenReason] = {}
        self.decided = MatchResult()
        self.contested: set[tuple[bool, str]] = set()
        self._shadows = by_key((row for row in both if row.shadow), lambda row: (row.place, row.amount_minor))

    def confirm(
        self,
        rule: MatchRule,
        entries: Iterable[MatchRow],
        lines: Iterable[MatchRow],
        evidence: tuple[str, ...],
        fee_minor: int = 0,
    ) -> None:
        """Match rows, and remove them from the candidates."""
        taken, taken_lines = ids(row.id for row in entries), ids(row.id for row in lines)
        self.decided.matches.append(Match(rule, taken, taken_lines, evidence, fee_minor))
        for one in taken:
            del self.entries[one]
        for one in taken_lines:
            del self.lines[one]

    def propose(
        self, rule: ProposalRule, entries: Iterable[MatchRow], lines: Iterable[MatchRow], evidence: tuple[str, ...] = ()
    ) -> None:
        """Propose rows to a person."""
        self.decided.proposals.append(
            MatchProposal(rule, ids(row.id for row in entries), ids(row.id for row in lines), evidence)
        )

    def withhold(self, reason: OpenReason, entries: Iterable[MatchRow], lines: Iterable[MatchRow]) -> None:
        """Exclude rows from the weaker rules."""
        for row in entries:
            self.withheld[row.id] = reason
        for row in lines:
            self.withheld_lines[row.id] = reason

    def is_clear(self, entry: MatchRow, line: MatchRow) -> bool:
        """True when a pair of equal amounts has no rival: no sum of several rows, and no book row of another
        payment."""
        if (False, entry.id) in self.contested or (True, line.id) in self.contested:
            return False
        own = 0
        for shadow in self._shadows.get((line.place, line.amount_minor), ()):
            near = abs((line.day - shadow.day).days) <= self.terms.span_days and not other_party(shadow, line)
            # A book row with the code of another payment belongs to that payment.
            if near and not contradicts(shadow, entry):
                own += 1
        return own <= 1

    def free(self) -> tuple[list[MatchRow], list[MatchRow]]:
        """The rows that weaker rules may match, entries and lines."""
        return (
            [row for row in self.entries.values() if row.id not in self.withheld],
            [row for row in self.lines.values() if row.id not in self.withheld_lines],
        )


def by_key(rows: Iterable[MatchRow], key: Callable[[MatchRow], K]) -> dict[K, list[MatchRow]]:
    """Rows in lists by a key."""
    found: dict[K, list[MatchRow]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found
