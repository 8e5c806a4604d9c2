"""Several rows for one: only inside a declared group (one counterparty and one day), at most `group_most` rows, with
the exact sum, and only if no other group of that counterparty gives the sum as well. A row that may have a counterpart
of its own amount is no part of a group.

A batch that has a code is matched by its code, whatever its size (by_code.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from gateway.treasury.reconciliation.by_amount import rivals_of
from gateway.treasury.reconciliation.decision import MatchRule
from gateway.treasury.reconciliation.open_rows import OpenRows, by_key
from gateway.treasury.reconciliation.rows import (
    AccountSide,
    MatchRow,
    MatchTerms,
    contradicts,
    party_tokens,
    same_party,
)


@dataclass(frozen=True, slots=True)
class _Cover:
    """A row and those that add up to it."""

    whole: MatchRow
    parts: tuple[MatchRow, ...]


def match_groups(rows: OpenRows) -> None:
    """Confirm the groups that are the only ones with their sum, and share no row with another such group."""
    covers = _all_covers(rows)
    uses = Counter(used for is_split, cover in covers for used in _used(is_split, cover))
    rivals = _rivals(rows)
    for is_split, cover in covers:
        if all(uses[used] == 1 and used not in rivals for used in _used(is_split, cover)):
            _confirm(rows, cover, is_split)


def find_contested(rows: OpenRows) -> None:
    """Mark the rows that add up to one which has no counterpart of its own amount: they may be its parts."""
    rivals = _rivals(rows)
    for is_split, cover in _all_covers(rows):
        if (not is_split, cover.whole.id) not in rivals:
            rows.contested.update(_used(is_split, cover))


def _groupable(row: MatchRow) -> bool:
    return row.amount_minor > 0 and bool(row.party or row.party_name) and not row.fee


def _used(is_split: bool, cover: _Cover) -> list[tuple[bool, str]]:
    """The rows of a cover, each with whether it is a line."""
    return [(not is_split, cover.whole.id), *((is_split, row.id) for row in cover.parts)]


def _all_covers(rows: OpenRows) -> list[tuple[bool, _Cover]]:
    """The covers, each with whether an entry was split into lines."""
    entries, lines = ([row for row in side if _groupable(row)] for side in rows.free())
    batched = _covers(lines, entries, rows.terms, lambda line, entry: rows.terms.reaches(entry, line))
    split = _covers(entries, lines, rows.terms, rows.terms.reaches)
    return [*((False, one) for one in batched), *((True, one) for one in split)]


def _rivals(rows: OpenRows) -> set[tuple[bool, str]]:
    found = set[tuple[bool, str]]()
    for one in rivals_of(rows):
        found.update((False, row.id) for row in one.entries)
        found.update((True, row.id) for row in one.lines)
    return found


def _confirm(rows: OpenRows, cover: _Cover, is_split: bool) -> None:
    evidence = (f"{len(cover.parts)} rows of one counterparty and day", "exact sum", "no other group gives the sum")
    whole, parts = (cover.whole,), cover.parts
    entries, lines = (whole, parts) if is_split else (parts, whole)
    rows.confirm(MatchRule.GROUP, entries, lines, evidence)


def _covers(
    wholes: list[MatchRow], parts: list[MatchRow], terms: MatchTerms, reaches: Callable[[MatchRow, MatchRow], bool]
) -> Iterator[_Cover]:
    by_party: dict[tuple[AccountSide, str], list[MatchRow]] = {}
    for row in parts:
        for token in party_tokens(row):
            by_party.setdefault((row.place, token), []).append(row)
    for whole in wholes:
        known = {row.id: row for token in party_tokens(whole) for row in by_party.get((whole.place, token), ())}
        pool = [row for _, row in sorted(known.items()) if row.amount_minor <= whole.amount_minor]
        pool = [row for row in pool if same_party(row, whole) and reaches(whole, row) and not contradicts(row, whole)]
        found: list[tuple[MatchRow, ...]] = []
        for day in by_key(pool, lambda row: row.day).values():
            if len(day) > terms.group_most:
                break
            amounts = tuple(row.amount_minor for row in day)
            found += [tuple(day[place] for place in some) for some in sums(amounts, whole.amount_minor)]
        else:
            if len(found) == 1 and len(found[0]) > 1:
                yield _Cover(whole, found[0])


def sums(amounts: Sequence[int], total: int) -> list[tuple[int, ...]]:
    """At most two sets of places whose amounts add up to the total: none, the only one, or proof that there are more.

    The amounts are positive. Each half is added up in all ways, so 20 amounts cost about a thousand additions.
    """
    half = len(amounts) // 2
    low, high = range(half), range(half, len(amounts))
    by_sum: dict[int, list[tuple[int, ...]]] = {}
    for some in _subsets(low):
        by_sum.setdefault(sum(amounts[place] for place in some), []).append(some)
    found: list[tuple[int, ...]] = []
    for others in _subsets(high):
        rest = total - sum(amounts[place] for place in others)
        for some in by_sum.get(rest, ()):
            found.append((*some, *others))
            if len(found) == 2:
                return found
    return found


def _subsets(places: range) -> Iterator[tuple[int, ...]]:
    for size in range(len(places) + 1):
        yield from combinations(places, size)
