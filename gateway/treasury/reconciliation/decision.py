"""What a matching decides: rows that belong together and the rule, what is only proposed, what stays open and why."""

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
    """Why two rows are proposed to a person. None of these confirms anything."""

    AMBIGUOUS = "ambiguous"
    FEE = "fee_difference"
    AMOUNT = "amount_differs"
    NAME = "name_alike"
    AMOUNT_ONLY = "amount_only"
    SUM = "sum_of_some"


class Unmatched(StrEnum):
    """Why a row is open."""

    AMOUNT = "amount_differs"
    AMBIGUOUS = "ambiguous"
    DATE = "date_differs"
    NO_COUNTERPART = "no_counterpart"


@dataclass(frozen=True, slots=True)
class Match:
    """Rows that belong together. `entries` are payments or book rows; one of the two is empty for a reversed pair.

    `fee_minor` is what a tariff explains of the difference between the two sides. `evidence` says what agreed.
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
class Decided:
    """The outcome of one matching over some rows. Ids in `open_entries` and `open_lines` have their reason."""

    matches: list[Match] = field(default_factory=list)
    proposals: list[MatchProposal] = field(default_factory=list)
    open_entries: dict[str, Unmatched] = field(default_factory=dict)
    open_lines: dict[str, Unmatched] = field(default_factory=dict)

    def ordered(self) -> Decided:
        """The same, in an order that does not depend on that of the rows."""
        return Decided(
            sorted(self.matches, key=lambda one: (one.entries, one.lines)),
            sorted(self.proposals, key=lambda one: (one.lines, one.entries, one.rule)),
            dict(sorted(self.open_entries.items())),
            dict(sorted(self.open_lines.items())),
        )


def ids(rows: Iterable[str]) -> tuple[str, ...]:
    """Ids as a match has them: sorted."""
    return tuple(sorted(rows))
