"""What the matching made of generated lines, against the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bench.recon.generator import AccountMonth, Known
from gateway.treasury.reconciliation.decision import Decided, MatchRule
from gateway.treasury.reconciliation.matching import decide, lend_codes
from gateway.treasury.reconciliation.rows import MatchTerms

CODED_LEAST, UNCODED_LEAST, GROUPS_LEAST = 98.0, 84.0, 90.0
LEAST_JUDGED = 1_000
"""A share of fewer lines is stated and not judged. The lines of one group are right or wrong together: an account with
5,000 lines has 36 to 74 groups in both matchings, and their share was 79 to 98 % in twelve of them."""


@dataclass(slots=True)
class Share:
    """So many of so many."""

    right: int = 0
    of: int = 0

    @property
    def percent(self) -> float:
        """The share in percent; 100 of nothing."""
        return 100.0 * self.right / self.of if self.of else 100.0

    def text(self, name: str) -> str:
        """The share, with its size where that is too small to be judged."""
        few = "" if self.of >= LEAST_JUDGED else f" ({self.right} of {self.of}, too few to judge)"
        return f"{self.percent:.1f} % {name}{few}"


@dataclass(slots=True)
class Figures:
    """The counts of both matchings. A line counts once in each matching in which it has a counterpart."""

    lines: int = 0
    coded: Share = field(default_factory=Share)
    uncoded: Share = field(default_factory=Share)
    groups: Share = field(default_factory=Share)
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
        """The promises that do not hold."""
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
    """Match one account's month, A and then B, and count."""
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
    decided: Decided, truth: Mapping[str, Known], pairs: set[frozenset[str]], book_pairs: set[frozenset[str]],
    figures: Figures,
) -> None:  # fmt: skip
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


def _same(known: Known, entries: Iterable[str], lines: Iterable[str]) -> bool:
    return known.entries == frozenset(entries) and known.lines == frozenset(lines)
