"""The results of a matching: confirmed rows with their rule, proposals, and open rows with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class MatchRule(StrEnum):
    """The rule by which rows were put together, strongest first."""

    REVERSED = "reversed"
    CODE = "code"
    SERIAL = "serial"
    SAME_DAY = "same_day"
    NEAR_DAY = "near_day"
    NUMBER = "number"
    GROUP = "group"


STRONG = frozenset({MatchRule.CODE, MatchRule.SERIAL})


class ProposalRule(StrEnum):
    """The reason for which two rows are proposed to a person. No proposal confirms anything."""

    AMBIGUOUS = "ambiguous"
    FEE = "fee_difference"
    AMOUNT = "amount_differs"
    NAME = "name_alike"
    AMOUNT_ONLY = "amount_only"
    SUM = "sum_of_some"


class OpenReason(StrEnum):
    """The reason why a row is open."""

    AMOUNT = "amount_differs"
    AMBIGUOUS = "ambiguous"
    DATE = "date_differs"
    NO_COUNTERPART = "no_counterpart"


@dataclass(frozen=True, slots=True)
class Match:
    """Rows that belong together. `entries` are payments or book rows; one of the two is empty for a reversed pair.

    `fee_minor` is the part of the difference between the two sides that a tariff explains. `evidence` names the
    agreeing values.
    """

    rule: MatchRule
    entries: tuple[str, ...]
    lines: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    fee_minor: int = 0


@dataclass(frozen=True, slots=True)
class MatchProposal:
    """Rows that may belong together; a person confirms or not."""

    rule: ProposalRule
    entries: tuple[str, ...]
    lines: tuple[str, ...]
    evidence: tuple[str, ...] = ()


@dataclass(slots=True)
class MatchResult:
    """The result of one matching over some rows. `open_entries` and `open_lines` have the reason for each id."""

    matches: list[Match] = field(default_factory=list)
    proposals: list[MatchProposal] = field(default_factory=list)
    open_entries: dict[str, OpenReason] = field(default_factory=dict)
    open_lines: dict[str, OpenReason] = field(default_factory=dict)

    def ordered(self) -> MatchResult:
        """The same result in an order that does not depend on the order of the rows."""
        return MatchResult(
            sorted(self.matches, key=lambda one: (one.entries, one.lines)),
            sorted(self.proposals, key=lambda one: (one.lines, one.entries, one.rule)),
            dict(sorted(self.open_entries.items())),
            dict(sorted(self.open_lines.items())),
        )


def ids(rows: Iterable[str]) -> tuple[str, ...]:
    """Ids in the order of a match: sorted."""
    return tuple(sorted(rows))
