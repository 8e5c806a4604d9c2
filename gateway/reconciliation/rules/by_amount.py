"""Matches by exact amount and counterparty, on the same day or some days apart, if only one pair of rows fits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.reconciliation.rules.decision import MatchRule
from gateway.reconciliation.rules.open_rows import OpenRows, by_key
from gateway.reconciliation.rules.rows import AccountSide, MatchRow, contradicts, party_tokens, same_party
from gateway.register.match_terms import MatchTerms


@dataclass(frozen=True, slots=True)
class AmountGroup:
    """Open rows of one account and amount that compete for the same matches.

    Their days are near enough, and their counterparty is the same or unknown. Both sides are in the group.
    """

    entries: tuple[MatchRow, ...]
    lines: tuple[MatchRow, ...]


def amount_key(row: MatchRow) -> tuple[AccountSide, int]:
    """The key that all rows with the same account and amount share."""
    return row.place, row.amount_minor


def match_amounts(rows: OpenRows) -> bool:
    """Confirm the pairs that are clear by amount, counterparty and day. Returns whether there were any.

    One entry and one line that are near enough are a pair. Several rows are paired by their day, if each of their days
    has one entry and one line: then all of them fit, and no other pairing is possible. If the entry causes the line,
    later entries without a line do not matter, because a line is never older than its cause.
    """
    before = len(rows.decided.matches)
    for rivals in list(rivals_of(rows)):
        if len(rivals.entries) == len(rivals.lines) == 1:
            _confirm(rows, rivals.entries[0], rivals.lines[0])
        else:
            for entry, line in _day_by_day(rivals, rows.terms):
                _confirm(rows, entry, line)
    return len(rows.decided.matches) > before


def rivals_of(rows: OpenRows) -> Iterator[AmountGroup]:
    """All open rows that have a possible counterpart of the same account and amount, in groups of competing rows."""
    entries, lines = rows.free()
    by_entry = by_key((row for row in entries if row.amount_minor > 0), amount_key)
    by_line = by_key((row for row in lines if row.amount_minor > 0 and amount_key(row) in by_entry), amount_key)
    for key, some in sorted(by_line.items()):
        if len(some) == 1 and len(by_entry[key]) == 1:
            yield AmountGroup(tuple(by_entry[key]), tuple(some))
        else:
            for near in _reaching(by_entry[key], some, rows.terms):
                for party_entries, party_lines in _by_party(near.entries, near.lines):
                    yield from _reaching(party_entries, party_lines, rows.terms)


def _confirm(rows: OpenRows, entry: MatchRow, line: MatchRow) -> None:
    if not rows.terms.reaches(entry, line) or not same_party(entry, line) or contradicts(entry, line):
        return
    if not rows.is_clear(entry, line):
        return
    days = (line.day - entry.day).days
    rule = MatchRule.NEAR_DAY if days else MatchRule.SAME_DAY
    apart = f"{days:+d} days" if days else "same day"
    rows.confirm(rule, (entry,), (line,), ("amount", "counterparty", apart, "no other row can be meant"))


def _by_party(
    entries: Sequence[MatchRow], lines: Sequence[MatchRow]
) -> Iterator[tuple[Sequence[MatchRow], Sequence[MatchRow]]]:
    """Split a group by counterparty. Rows with a common account or name stay together; a row with an unknown one joins
    all.
    """
    if any(not row.party and not row.party_name for row in (*entries, *lines)):
        yield entries, lines
        return
    parent: dict[str, str] = {}

    def root(token: str) -> str:
        while parent.setdefault(token, token) != token:
            token = parent[token]
        return token

    for row in (*entries, *lines):
        first, last = party_tokens(row)[0], party_tokens(row)[-1]
        parent[root(last)] = root(first)
    by_entry = by_key(entries, lambda row: root(party_tokens(row)[0]))
    by_line = by_key(lines, lambda row: root(party_tokens(row)[0]))
    for party in sorted(by_entry.keys() & by_line.keys()):
        yield by_entry[party], by_line[party]


def _reaching(entries: Sequence[MatchRow], lines: Sequence[MatchRow], terms: MatchTerms) -> Iterator[AmountGroup]:
    """Split a group into runs of rows whose days are near enough to each other; a row near no other is left out."""
    by_day, targets = sorted(entries, key=_day_and_id), sorted(lines, key=_day_and_id)
    days = [row.day.toordinal() for row in targets]
    held: list[MatchRow] = []
    first = end = 0
    for entry in by_day:
        day = entry.day.toordinal()
        low, high = bisect_left(days, day + terms.earliest_days), bisect_right(days, day + terms.latest_days)
        if low == high:
            continue
        if held and low >= end:
            yield AmountGroup(tuple(held), tuple(targets[first:end]))
            held, first = [], low
        first, end = (first if held else low), high
        held.append(entry)
    if held:
        yield AmountGroup(tuple(held), tuple(targets[first:end]))


def _day_and_id(row: MatchRow) -> tuple[date, str]:
    return row.day, row.id


def _day_by_day(rivals: AmountGroup, terms: MatchTerms) -> list[tuple[MatchRow, MatchRow]]:
    by_entry, by_line = by_key(rivals.entries, lambda row: row.day), by_key(rivals.lines, lambda row: row.day)
    pairs: list[tuple[MatchRow, MatchRow]] = []
    for day in sorted(by_entry.keys() | by_line.keys()):
        here, there = by_entry.get(day, []), by_line.get(day, [])
        if terms.is_causal and not there and day > rivals.lines[-1].day:
            break
        if len(here) != 1 or len(there) != 1:
            return []
        if pairs and not terms.is_causal and (day - pairs[-1][0].day).days <= terms.crossing_days:
            return []
        pairs.append((here[0], there[0]))
    return pairs
