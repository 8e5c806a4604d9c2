"""Decide again only what new rows can change, with the outcome of deciding everything anew.

Rows compete where they share a key: a code, an amount, a counterparty. From the new rows the keys lead to the rows
whose match can change, and from these on. Rows matched by code or serial stay as they are, unless a new row has the
code. A row matched by amount has a counterpart of its own, so the smaller rows of its counterparty are no parts of it:
they are looked at only where a row is open. Without that, every row of a busy counterparty would lead to all others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import Protocol

from gateway.treasury.reconciliation.decision import STRONG, Decided, Match, MatchProposal, MatchRule, Unmatched
from gateway.treasury.reconciliation.matching import decide
from gateway.treasury.reconciliation.reversals import reversal_key, takes_back
from gateway.treasury.reconciliation.rows import MatchRow, MatchTerms, party_tokens

RowId = tuple[bool, str]


class Standing(IntEnum):
    """How fast a row's present decision is."""

    OPEN = 0
    WEAK = 1
    STRONG = 2


@dataclass(frozen=True, slots=True)
class Lookup:
    """A key that leads to other rows: those dated at most `days` away (None: any day), of a standing up to `most`, on
    the other side only or on both, with amounts below `below_minor` (None: all)."""

    key: str
    days: int | None
    most: Standing
    other_side: bool
    below_minor: int | None = None


Bucket = tuple[int, int, Standing]
"""The rows of one side that share a key, of one day, up to a standing."""


class KnownRows(Protocol):
    """The rows decided so far, to be found by key."""

    def find(self, lookup: Lookup, one: RowId, day: date, seen: set[Bucket]) -> Iterable[tuple[RowId, MatchRow]]:
        """The rows to which the key leads from a row of that id and day, but for buckets in `seen`; adds to these."""

    def partners(self, one: RowId) -> Iterable[tuple[RowId, MatchRow]]:
        """The rows of the match that a row is in."""

    def standing(self, one: RowId) -> Standing:
        """How fast the row's present decision is."""


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


def lookups(row: MatchRow, terms: MatchTerms, may_be_open: bool) -> Iterator[Lookup]:
    """The keys by which a row leads to those that it competes with. One that is open, or may be after what is decided,
    may be the sum of smaller ones."""
    for key in owned_keys(row):
        kind = key.partition(" ")[0]
        if kind in ("code", "serial"):
            yield Lookup(key, None, Standing.STRONG, False)
        elif kind == "amount":
            yield Lookup(key, terms.far_days, Standing.WEAK, True)
        elif kind == "party":
            yield Lookup(key, terms.span_days, Standing.OPEN, True)
            if may_be_open:
                yield Lookup(key, terms.span_days, Standing.WEAK, True, row.amount_minor)
        elif kind == "back":
            yield Lookup("size" + key[4:], terms.span_days, Standing.STRONG, False)
        else:
            yield Lookup("back" + key[4:], terms.span_days, Standing.STRONG, False)


def affected(
    known: KnownRows, fresh: Mapping[RowId, MatchRow], gone: Iterable[tuple[RowId, MatchRow]], terms: MatchTerms,
    opened: Collection[RowId] = (),
) -> dict[RowId, MatchRow]:  # fmt: skip
    """The rows to decide again: the fresh ones, and all that the keys lead to. `gone` are rows as they were before;
    `opened` are those that have a match, and would have none after what is decided."""
    found = dict(fresh)
    before = list(gone)
    waiting = [(one, row) for one, row in fresh.items()] + before
    hidden = {one for one, _ in before if one not in fresh}
    changed, seen = {*fresh, *hidden, *opened}, set[Bucket]()
    while waiting:
        one, row = waiting.pop()
        may_be_open = one in changed or known.standing(one) is Standing.OPEN
        leads = lookups(row, terms, may_be_open)
        near = [other for lookup in leads for other in known.find(lookup, one, row.day, seen)]
        for other, its_row in [*near, *known.partners(one)]:
            if other not in found and other not in hidden:
                found[other] = its_row
                # A shadow is never matched: it is there for the line that led to it, and leads to no other.
                if not its_row.shadow:
                    waiting.append((other, its_row))
    return found


def standing_of(rule: MatchRule | None) -> Standing:
    """The standing that a match gives. Rows of a group compete with open ones, for another sum may cover them too."""
    if rule is None or rule is MatchRule.GROUP:
        return Standing.OPEN
    return Standing.STRONG if rule in STRONG else Standing.WEAK


@dataclass(slots=True)
class Register:
    """One matching in memory: rows arrive in any portions, and the decisions are those of all rows at once."""

    terms: MatchTerms
    rows: dict[RowId, MatchRow] = field(default_factory=dict)
    matches: dict[RowId, Match] = field(default_factory=dict)
    reasons: dict[RowId, Unmatched] = field(default_factory=dict)
    proposals: dict[str, list[MatchProposal]] = field(default_factory=dict)
    _by_key: dict[int, dict[int, list[str]]] = field(default_factory=dict)

    def put(self, entries: Iterable[MatchRow] = (), lines: Iterable[MatchRow] = ()) -> Collection[RowId]:
        """Add rows, or replace those of the same id; returns the rows that were decided for it."""
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
        """Take rows out, and decide what that changes; returns the rows that were decided for it."""
        gone = [(one, self.rows[one]) for one in [*((False, one) for one in entries), *((True, one) for one in lines)]]
        again = self._decide({}, gone)
        for one, row in gone:
            self._forget(one, row)
            self.matches.pop(one, None)
            self.reasons.pop(one, None)
            if one[0]:
                self.proposals.pop(one[1], None)
        return again

    def decided(self) -> Decided:
        """All decisions, as `decide` over all rows gives them."""
        unique = {(match.entries, match.lines): match for match in self.matches.values()}
        outcome = Decided(list(unique.values()), [one for some in self.proposals.values() for one in some])
        for (is_line, one), reason in self.reasons.items():
            (outcome.open_lines if is_line else outcome.open_entries)[one] = reason
        return outcome.ordered()

    def find(self, lookup: Lookup, one: RowId, day: date, seen: set[Bucket]) -> Iterable[tuple[RowId, MatchRow]]:
        """The rows to which the key leads (and, rarely, one whose key has the same hash), but for `seen` buckets."""
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
        """The rows of the match that a row is in."""
        match = self.matches.get(one)
        if match is not None:
            for other in _members(match):
                if other in self.rows:
                    yield other, self.rows[other]

    def standing(self, one: RowId) -> Standing:
        """How fast the row's present decision is."""
        match = self.matches.get(one)
        return standing_of(match.rule if match else None)

    def _decide(self, fresh: Mapping[RowId, MatchRow], gone: list[tuple[RowId, MatchRow]]) -> Collection[RowId]:
        """Decide what the change affects. A row that loses its match by it leads to more rows, until none does."""
        # Most of the rows are new: then to look for those that are affected costs more than to decide all.
        again = dict(self.rows) if 2 * len(fresh) > len(self.rows) else affected(self, fresh, gone, self.terms)
        opened = set[RowId]()
        while True:
            entries = [row for (is_line, _), row in again.items() if not is_line]
            lines = [row for (is_line, _), row in again.items() if is_line]
            outcome = decide(entries, lines, self.terms)
            left = [*((False, one) for one in outcome.open_entries), *((True, one) for one in outcome.open_lines)]
            left += [one for match in outcome.matches if match.rule is MatchRule.GROUP for one in _members(match)]
            more = {one for one in left if one not in opened and self.standing(one) is not Standing.OPEN}
            if not more or len(again) == len(self.rows):
                break
            opened |= more
            again = affected(self, fresh, gone, self.terms, opened)
        self._keep(again, outcome)
        return again.keys()

    def _keep(self, again: Collection[RowId], outcome: Decided) -> None:
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
