"""Compares the results of matching generated lines with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bench.recon.generator import AccountMonth, LineTruth
from gateway.reconciliation.rules.decision import MatchResult, MatchRule
from gateway.reconciliation.rules.matching import decide, lend_codes
from gateway.register.match_terms import MatchTerms

CODED_LEAST, UNCODED_LEAST, GROUPS_LEAST = 98.0, 84.0, 90.0
LEAST_JUDGED = 1_000
"""The number of lines from which on a share is judged; a smaller share is only stated.

The lines of one group are right or wrong together: an account with 5,000 lines has 36 to 74 groups in both matchings,
and their share was 79 to 98 % in twelve of them.
"""


@dataclass(slots=True)
class CountShare:
    """A count, and the total of which it is a part."""

    right: int = 0
    of: int = 0

    @property
    def percent(self) -> float:
        """The share in percent; 100 if the whole is 0."""
        return 100.0 * self.right / self.of if self.of else 100.0

    def text(self, name: str) -> str:
        """The share as text, with its size if that is too small for a judgement."""
        few = "" if self.of >= LEAST_JUDGED else f" ({self.right} of {self.of}, too few to judge)"
        return f"{self.percent:.1f} % {name}{few}"


@dataclass(slots=True)
class Figures:
    """The counts of both matchings. A line counts once in each matching in which it has a counterpart."""

    lines: int = 0
    coded: CountShare = field(default_factory=CountShare)
    uncoded: CountShare = field(default_factory=CountShare)
    groups: CountShare = field(default_factory=CountShare)
    wrong: list[str] = field(default_factory=list)
    proposed: int = 0
    unmatched: int = 0

    def line(self) -> str:
        """The last line of `make recon`."""
        return (
            f"recon: {self.lines} lines, {self.coded.text('automatic with codes')}, {self.uncoded.text('without')}, "
            f"{self.groups.text('groups')}, {len(self.wrong)} wrong, {self.proposed} proposed, "
            f"{self.unmatched} unmatched"
        )

    def failings(self) -> list[str]:
        """The promises about matching that these counts do not keep."""
        found = [f"wrong: {one}" for one in self.wrong[:10]]
        promised = (
            ("with codes", self.coded, CODED_LEAST),
            ("without codes", self.uncoded, UNCODED_LEAST),
            ("groups", self.groups, GROUPS_LEAST),
        )
        for name, share, least in promised:
            if share.of >= LEAST_JUDGED and share.percent < least:
                found.append(f"{name}: {share.percent:.1f} %, less than {least} %")
        return found


def judge(month: AccountMonth, payment_terms: MatchTerms, book_terms: MatchTerms, figures: Figures) -> None:
    """Match one account's month in both matchings, and count the results."""
    shadows = [replace(row, shadow=True) for row in month.book]
    matched_a = decide([*month.payments, *shadows], month.lines, payment_terms)
    by_id = {row.id: row for row in month.payments}
    matched_b = decide(month.book, lend_codes(month.lines, matched_a.matches, by_id), book_terms)
    figures.lines += len(month.lines)
    _count(matched_a, month.truth_a, month.reversed_lines, set(), figures)
    _count(matched_b, month.truth_b, month.reversed_lines, month.reversed_book, figures)
    with_proposal = {line for one in matched_b.proposals for line in one.lines}
    figures.proposed += len(with_proposal)
    figures.unmatched += len(matched_b.open_lines.keys() - with_proposal)


def _count(
    decided: MatchResult,
    truth: Mapping[str, LineTruth],
    pairs: set[frozenset[str]],
    book_pairs: set[frozenset[str]],
    figures: Figures,
) -> None:
    right = set[str]()
    for match in decided.matches:
        if match.rule is MatchRule.REVERSED:
            if frozenset(match.lines or match.entries) not in (pairs if match.lines else book_pairs):
                figures.wrong.append(str(match))
            continue
        known = [truth.get(line) for line in match.lines]
        if (
            all(one == known[0] for one in known)
            and known[0] is not None
            and _same(known[0], match.entries, match.lines)
        ):
            right.update(match.lines)
        else:
            figures.wrong.append(f"{match} is {known}")
    for line, one in truth.items():
        grouped = len(one.entries) > 1 or len(one.lines) > 1
        share = figures.groups if grouped else figures.coded if one.coded else figures.uncoded
        share.of += 1
        share.right += line in right


def _same(known: LineTruth, entries: Iterable[str], lines: Iterable[str]) -> bool:
    return known.entries == frozenset(entries) and known.lines == frozenset(lines)
