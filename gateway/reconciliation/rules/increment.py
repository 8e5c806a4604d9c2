"""Decides again only the rows that new rows can affect, with the same result as deciding all rows anew.

Rows compete if they share a key: a code, an amount, a counterparty. The keys lead from the new rows to the rows whose
match can change, and from these to further ones. Rows matched by code or serial stay as they are, unless a new row has
the code. A row matched by amount has a counterpart of its own, so the smaller rows of its counterparty are no parts of
it: they are examined only if a row is open. Without this limit, every row of a busy counterparty would lead to all
others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import Protocol

from gateway.reconciliation.rules.decision import STRONG, Match, MatchProposal, MatchResult, MatchRule, OpenReason
from gateway.reconciliation.rules.matching import decide
from gateway.reconciliation.rules.reversals import reversal_key, takes_back
from gateway.reconciliation.rules.rows import MatchRow, party_tokens
from gateway.register.match_terms import MatchTerms

RowId = tuple[bool, str]


class DecisionStrength(IntEnum):
    """How strong a row's present decision is against new rows."""

    OPEN = 0
    WEAK = 1
    STRONG = 2


@dataclass(frozen=True, slots=True)
class RowLookup:
    """A key that leads to other rows, and limits on them.

    `days`: at most so many days away (None: any day). `most`: with a decision of at most this strength. `other_side`:
    on the other side only, else on both. `below_minor`: with amounts below it (None: all).
    """

    key: str
    days: int | None
    most: DecisionStrength
    other_side: bool
    below_minor: int | None = None


Bucket = tuple[int, int, DecisionStrength]
"""The rows of one side that share a key, of one day, with decisions up to a strength."""


class KnownRows(Protocol):
    """The rows that are already decided, as the rules look them up by key."""

    def find(self, lookup: RowLookup, one: RowId, day: date, seen: set[Bucket]) -> Iterable[tuple[RowId, MatchRow]]:
        """The rows to which the key leads from a row of that id and day. Buckets in `seen` are skipped, and new ones
        are added to it.
        """

    def partners(self, one: RowId) -> Iterable[tuple[RowId, MatchRow]]:
        """The other rows of the match that contains a row."""

    def standing(self, one: RowId) -> DecisionStrength:
        """The strength of the row's present decision."""


def owned_keys(row: MatchRow) -> list[str]:
    """The keys by which a row is found."""
    place = "/".join(row.place)
    if row.shadow:
        return [f"amount {place} {row.amount_minor}"]
    found = [f"code {place} {code}" for code in row.codes] + [f"serial {place} {one}" for one in row.serials]
    size = "/".join(map(str, reversal_key(row)))
    found.append(f"amount {place} {row.amount_minor}")
    if row.amount_minor > 0:
        found += [f"party {place} {token}" for token in party_tokens(row)]
    return [*found, f"size {size}", f"back {size}"] if takes_back(row) else [*found, f"size {size}"]


def lookups(row: MatchRow, terms: MatchTerms, may_be_open: bool) -> Iterator[RowLookup]:
    """The keys from a row to the rows that compete with it.

    A row that is open, or may be open after the decision, may be the sum of smaller rows.
    """
    for key in owned_keys(row):
        kind = key.partition(" ")[0]
        if kind in ("code", "serial"):
            yield RowLookup(key, None, DecisionStrength.STRONG, False)
        elif kind == "amount":
            yield RowLookup(key, terms.far_days, DecisionStrength.WEAK, True)
        elif kind == "party":
            yield RowLookup(key, terms.span_days, DecisionStrength.OPEN, True)
            if may_be_open:
                yield RowLookup(key, terms.span_days, DecisionStrength.WEAK, True, row.amount_minor)
        elif kind == "back":
            yield RowLookup("size" + key[4:], terms.span_days, DecisionStrength.STRONG, False)
        else:
            yield RowLookup("back" + key[4:], terms.span_days, DecisionStrength.STRONG, False)


def affected(
    known: KnownRows,
    fresh: Mapping[RowId, MatchRow],
    gone: Iterable[tuple[RowId, MatchRow]],
    terms: MatchTerms,
    opened: Collection[RowId] = (),
) -> dict[RowId, MatchRow]:
    """The rows to decide again: the new ones, and all rows to which their keys lead.

    `gone` are rows in their earlier form; `opened` are rows that would lose their match by the decision.
    """
    found = dict(fresh)
    before = list(gone)
    waiting = [(one, row) for one, row in fresh.items()] + before
    hidden = {one for one, _ in before if one not in fresh}
    changed, seen = {*fresh, *hidden, *opened}, set[Bucket]()
    while waiting:
        one, row = waiting.pop()
        may_be_open = one in changed or known.standing(one) is DecisionStrength.OPEN
        leads = lookups(row, terms, may_be_open)
        near = [other for lookup in leads for other in known.find(lookup, one, row.day, seen)]
        for other, its_row in [*near, *known.partners(one)]:
            if other not in found and other not in hidden:
                found[other] = its_row
                # A shadow row is never matched. Only its own line leads to it, and it leads to no other row.
                if not its_row.shadow:
                    waiting.append((other, its_row))
    return found


def standing_of(rule: MatchRule | None) -> DecisionStrength:
    """The strength of the decision that a match gives. Rows of a group compete with open rows, because another sum may
    cover them too.
    """
    if rule is None or rule is MatchRule.GROUP:
        return DecisionStrength.OPEN
    return DecisionStrength.STRONG if rule in STRONG else DecisionStrength.WEAK


@dataclass(slots=True)
class MatchingRegister:
    """One matching in memory. Rows may arrive in portions of any size; the result equals that of deciding all rows at
    once."""

    terms: MatchTerms
    rows: dict[RowId, MatchRow] = field(default_factory=dict)
    matches: dict[RowId, Match] = field(default_factory=dict)
    reasons: dict[RowId, OpenReason] = field(default_factory=dict)
    proposals: dict[str, list[MatchProposal]] = field(default_factory=dict)
    _by_key: dict[int, dict[int, list[str]]] = field(default_factory=dict)

    def put(self, entries: Iterable[MatchRow] = (), lines: Iterable[MatchRow] = ()) -> Collection[RowId]:
        """Add rows, or replace those with the same id; returns the rows that were decided again."""
        fresh: dict[RowId, MatchRow] = {(False, row.id): row for row in entries}
        fresh.update({(True, row.id): row for row in lines})
        gone = [(one, self.rows[one]) for one in fresh if one in self.rows]
        for one, row in gone:
            self._forget(one, row)
        for one, row in fresh.items():
            self.rows[one] = row
            for key in owned_keys(row):
                days = self._by_key.setdefault(hash((key, one[0])), {})
                days.setdefault(row.day.toordinal(), []).append(one[1])
        return self._decide(fresh, gone)

    def remove(self, entries: Iterable[str] = (), lines: Iterable[str] = ()) -> Collection[RowId]:
        """Remove rows, and decide the affected ones; returns the rows that were decided again."""
        gone = [(one, self.rows[one]) for one in [*((False, one) for one in entries), *((True, one) for one in lines)]]
        again = self._decide({}, gone)
        for one, row in gone:
            self._forget(one, row)
            self.matches.pop(one, None)
            self.reasons.pop(one, None)
            if one[0]:
                self.proposals.pop(one[1], None)
        return again

    def decided(self) -> MatchResult:
        """All decisions, equal to those of `decide` over all rows."""
        unique = {(match.entries, match.lines): match for match in self.matches.values()}
        outcome = MatchResult(list(unique.values()), [one for some in self.proposals.values() for one in some])
        for (is_line, one), reason in self.reasons.items():
            (outcome.open_lines if is_line else outcome.open_entries)[one] = reason
        return outcome.ordered()

    def find(self, lookup: RowLookup, one: RowId, day: date, seen: set[Bucket]) -> Iterable[tuple[RowId, MatchRow]]:
        """The rows to which the key leads, except `seen` buckets. Rarely, a row comes whose key only has
        the same hash.
        """
        for is_line in (not one[0],) if lookup.other_side else (False, True):
            key = hash((lookup.key, is_line))
            by_day, middle = self._by_key.get(key, {}), day.toordinal()
            days = by_day if lookup.days is None else range(middle - lookup.days, middle + lookup.days + 1)
            buckets = [(key, near, lookup.most) for near in days if near in by_day]
            if lookup.below_minor is None:
                buckets = [one for one in buckets if one not in seen]
                seen.update(buckets)
            for other in [(is_line, found) for _, near, _ in buckets for found in by_day[near]]:
                row = self.rows[other]
                small = lookup.below_minor is None or row.amount_minor < lookup.below_minor
                if small and self.standing(other) <= lookup.most:
                    yield other, row

    def partners(self, one: RowId) -> Iterable[tuple[RowId, MatchRow]]:
        """The other rows of the match that contains a row."""
        match = self.matches.get(one)
        if match is not None:
            for other in _members(match):
                if other in self.rows:
                    yield other, self.rows[other]

    def standing(self, one: RowId) -> DecisionStrength:
        """The strength of the row's present decision."""
        match = self.matches.get(one)
        return standing_of(match.rule if match else None)

    def _decide(self, fresh: Mapping[RowId, MatchRow], gone: list[tuple[RowId, MatchRow]]) -> Collection[RowId]:
        """Decide the affected rows. A row that loses its match leads to more rows, until no row loses one."""
        # If most rows are new, looking for the affected ones costs more than deciding all.
        again = dict(self.rows) if 2 * len(fresh) > len(self.rows) else affected(self, fresh, gone, self.terms)
        opened = set[RowId]()
        while True:
            entries = [row for (is_line, _), row in again.items() if not is_line]
            lines = [row for (is_line, _), row in again.items() if is_line]
            outcome = decide(entries, lines, self.terms)
            left = [*((False, one) for one in outcome.open_entries), *((True, one) for one in outcome.open_lines)]
            left += [one for match in outcome.matches if match.rule is MatchRule.GROUP for one in _members(match)]
            more = {one for one in left if one not in opened and self.standing(one) is not DecisionStrength.OPEN}
            if not more or len(again) == len(self.rows):
                break
            opened |= more
            again = affected(self, fresh, gone, self.terms, opened)
        self._keep(again, outcome)
        return again.keys()

    def _keep(self, again: Collection[RowId], outcome: MatchResult) -> None:
        for one in again:
            self.matches.pop(one, None)
            self.reasons.pop(one, None)
            if one[0]:
                self.proposals.pop(one[1], None)
        for match in outcome.matches:
            for one in _members(match):
                self.matches[one] = match
        self.reasons.update({(False, one): reason for one, reason in outcome.open_entries.items()})
        self.reasons.update({(True, one): reason for one, reason in outcome.open_lines.items()})
        for proposal in outcome.proposals:
            self.proposals.setdefault(proposal.lines[0], []).append(proposal)

    def _forget(self, one: RowId, row: MatchRow) -> None:
        for key in owned_keys(row):
            self._by_key[hash((key, one[0]))][row.day.toordinal()].remove(one[1])
        del self.rows[one]


def _members(match: Match) -> list[RowId]:
    return [*((False, one) for one in match.entries), *((True, one) for one in match.lines)]
