"""Matches by code, before all other rules: rows of one account, currency and direction with a common code, if their
amounts agree.

The codes come back from the bank (对账标识码), or are those of a payment that was matched with the line. The next rule
uses the bank's serials in the same way. A fee counts only if a fee line or the account's tariff explains it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.reconciliation.rules.decision import MatchRule, OpenReason, ProposalRule
from gateway.reconciliation.rules.open_rows import OpenRows
from gateway.reconciliation.rules.rows import AccountSide, MatchRow

_Keys = Callable[[MatchRow], frozenset[str]]


def match_codes(rows: OpenRows) -> None:
    """Match by reconciliation code; rows that share a code and do not fit are withheld from the weaker rules."""
    _match(rows, MatchRule.CODE, lambda row: row.codes)


def match_serials(rows: OpenRows) -> None:
    """Match by the bank's serial number."""
    _match(rows, MatchRule.SERIAL, lambda row: row.serials)


def _match(rows: OpenRows, rule: MatchRule, keys: _Keys) -> None:
    for shared, entries, lines in list(_sharing(rows, keys)):
        named = ", ".join(sorted(shared)[:3])
        evidence = (f"{rule.value} {named}", "account", "direction", "amount")
        if _amounts_of_one(rows, rule, entries, lines, evidence):
            continue
        fee = _tariff_fee(rows, entries, lines)
        if fee is not None:
            rows.confirm(rule, entries, lines, (*evidence[:3], f"amount and a tariff fee of {abs(fee)}"), fee)
            continue
        one_each = len(entries) == len(lines) == 1
        rows.withhold(OpenReason.AMOUNT if one_each else OpenReason.AMBIGUOUS, entries, lines)
        rows.propose(ProposalRule.AMOUNT if one_each else ProposalRule.AMBIGUOUS, entries, lines, evidence[:1])


def _sharing(rows: OpenRows, keys: _Keys) -> Iterator[tuple[set[str], list[MatchRow], list[MatchRow]]]:
    """Groups of rows that are linked by codes which both sides have."""
    entries, lines = rows.free()
    by_entry, by_line = _holders(entries, keys), _holders(lines, keys)
    both = by_entry.keys() & by_line.keys()
    seen: set[tuple[AccountSide, str]] = set()
    for first in sorted(both):
        if first in seen:
            continue
        seen.add(first)
        waiting, shared = [first], set[str]()
        found: dict[str, MatchRow] = {}
        found_lines: dict[str, MatchRow] = {}
        while waiting:
            place, code = waiting.pop()
            shared.add(code)
            for holders, group in ((by_entry, found), (by_line, found_lines)):
                for row in holders[place, code]:
                    if row.id not in group:
                        group[row.id] = row
                        more = {(place, other) for other in keys(row)} & both - seen
                        seen |= more
                        waiting += more
        yield shared, _in_order(found), _in_order(found_lines)


def _holders(side: Sequence[MatchRow], keys: _Keys) -> dict[tuple[AccountSide, str], list[MatchRow]]:
    found: dict[tuple[AccountSide, str], list[MatchRow]] = {}
    for row in side:
        for code in keys(row):
            found.setdefault((row.place, code), []).append(row)
    return found


def _in_order(group: dict[str, MatchRow]) -> list[MatchRow]:
    return [group[one] for one in sorted(group)]


def _amounts_of_one(
    rows: OpenRows, rule: MatchRule, entries: list[MatchRow], lines: list[MatchRow], evidence: tuple[str, ...]
) -> bool:
    """Confirm the matches that a common code and equal amounts make clear; False if nothing is clear."""
    mains = [row for row in lines if not row.fee]
    total = sum(row.amount_minor for row in entries)
    for some in (mains, lines):
        if some and min(len(entries), len(some)) == 1 and sum(row.amount_minor for row in some) == total:
            rows.confirm(rule, entries, some, evidence)
            return True
    amounts = {row.amount_minor: row for row in lines}
    distinct = len(amounts) == len(lines) == len(entries) == len({row.amount_minor for row in entries})
    if distinct and all(row.amount_minor in amounts for row in entries):
        for row in entries:
            rows.confirm(rule, (row,), (amounts[row.amount_minor],), evidence)
        return True
    return False


def _tariff_fee(rows: OpenRows, entries: list[MatchRow], lines: list[MatchRow]) -> int | None:
    """The tariff's fee if it explains the difference: line minus entry, so it is negative for incoming money."""
    if len(entries) != 1 or len(lines) != 1:
        return None
    difference = lines[0].amount_minor - entries[0].amount_minor
    return difference if explained(rows, entries[0], lines[0]) else None


def explained(rows: OpenRows, entry: MatchRow, line: MatchRow) -> bool:
    """True when the difference of the two amounts is exactly a fee of the account's tariff: more paid out, or less
    received.
    """
    tariff = rows.terms.tariffs.get(entry.account)
    fee = None if tariff is None else tariff.fee_of(entry.amount_minor)
    sign = 1 if entry.direction.value == "debit" else -1
    return bool(fee) and line.amount_minor - entry.amount_minor == sign * (fee or 0)
