"""Matches several rows with one: only a declared group as a whole, with the exact sum, of at most `group_most` rows.

A declared group is everything that one counterparty has open on one day, or all of it that belongs to one batch. That a
part of it adds up to a line is no evidence, because 20 amounts have a million sums. Even a whole group counts only if a
second search finds no other rows of that counterparty with the same sum. A row that may have a counterpart of its own
amount is no part of a group. Rows that are the only ones with a sum, and are not a whole group, are proposed.

A batch that has a code is matched by its code, whatever its size (by_code.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from gateway.reconciliation.rules.by_amount import rivals_of
from gateway.reconciliation.rules.decision import MatchRule, ProposalRule
from gateway.reconciliation.rules.open_rows import OpenRows, by_key
from gateway.reconciliation.rules.rows import BATCH, AccountSide, MatchRow, contradicts, party_tokens, same_party
from gateway.register.match_terms import MatchTerms


@dataclass(frozen=True, slots=True)
class _Cover:
    """A row, the rows that add up to it, and all open rows of their counterparty on their day."""

    whole: MatchRow
    parts: tuple[MatchRow, ...]
    day: tuple[MatchRow, ...]


def match_groups(rows: OpenRows) -> None:
    """Confirm each whole group that is the only one with its sum and shares no row with another such group."""
    covers = _all_covers(rows)
    uses = Counter(used for is_split, cover in covers for used in _used(is_split, cover))
    rivals = _rivals(rows)
    for is_split, cover in covers:
        if any(uses[used] > 1 or used in rivals for used in _used(is_split, cover)):
            continue
        declared = _declared(cover, {id for is_line, id in rivals if is_line is is_split})
        whole, parts = (cover.whole,), cover.parts
        entries, lines = (whole, parts) if is_split else (parts, whole)
        if declared:
            rows.confirm(MatchRule.GROUP, entries, lines, (declared, "exact sum", "no other rows give the sum"))
        else:
            rows.propose(ProposalRule.SUM, entries, lines, ("exact sum", "not all of the counterparty's day or batch"))


def _declared(cover: _Cover, with_own: set[str]) -> str:
    """The mark that declares the parts to be one group; "" if there is none."""
    left = [row for row in cover.day if row.id not in with_own]
    if len(left) == len(cover.parts):
        return f"all {len(cover.parts)} rows of one counterparty and day"
    batches = set.intersection(*({code for code in row.codes if code.startswith(BATCH)} for row in cover.parts))
    for batch in sorted(batches):
        if sum(batch in row.codes for row in left) == len(cover.parts):
            return f"all {len(cover.parts)} rows of {batch} to one counterparty"
    return ""


def find_contested(rows: OpenRows) -> None:
    """Mark the rows that add up to a row without a counterpart of its own amount: they may be its parts."""
    rivals = _rivals(rows)
    for is_split, cover in _all_covers(rows):
        if (not is_split, cover.whole.id) not in rivals:
            rows.contested.update(_used(is_split, cover))


def _groupable(row: MatchRow) -> bool:
    return row.amount_minor > 0 and bool(row.party or row.party_name) and not row.fee


def _used(is_split: bool, cover: _Cover) -> list[tuple[bool, str]]:
    """The ids of a cover's rows, each with whether the row is a statement line."""
    return [(not is_split, cover.whole.id), *((is_split, row.id) for row in cover.parts)]


def _all_covers(rows: OpenRows) -> list[tuple[bool, _Cover]]:
    """All covers, each with whether an entry was split into several lines."""
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


def _covers(
    wholes: list[MatchRow], parts: list[MatchRow], terms: MatchTerms, reaches: Callable[[MatchRow, MatchRow], bool]
) -> Iterator[_Cover]:
    by_party: dict[tuple[AccountSide, str], list[MatchRow]] = {}
    for row in parts:
        for token in party_tokens(row):
            by_party.setdefault((row.place, token), []).append(row)
    for whole in wholes:
        known = {row.id: row for token in party_tokens(whole) for row in by_party.get((whole.place, token), ())}
        pool = [row for _, row in sorted(known.items()) if same_party(row, whole) and reaches(whole, row)]
        found: list[_Cover] = []
        for day in by_key(pool, lambda row: row.day).values():
            some = [row for row in day if row.amount_minor <= whole.amount_minor and not contradicts(row, whole)]
            if len(some) > terms.group_most:
                break
            amounts = tuple(row.amount_minor for row in some)
            for places in sums(amounts, whole.amount_minor):
                found.append(_Cover(whole, tuple(some[place] for place in places), tuple(day)))
        else:
            if len(found) == 1 and len(found[0].parts) > 1:
                yield found[0]


def sums(amounts: Sequence[int], total: int) -> list[tuple[int, ...]]:
    """Sets of places whose amounts add up to the total: none, the only one, or two as proof that there are more.

    The amounts are positive. The sums of each half are computed completely, so that 20 amounts cost about a thousand
    additions.
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
