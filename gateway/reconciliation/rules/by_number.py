"""Matches by a number in a line's text and the amount, if no other row has both. The settings declare the ranges of
numbers.
"""

from __future__ import annotations

from gateway.reconciliation.rules.by_amount import AmountGroup, rivals_of
from gateway.reconciliation.rules.decision import MatchRule
from gateway.reconciliation.rules.open_rows import OpenRows
from gateway.reconciliation.rules.rows import MatchRow, contradicts, numbers_in


def match_numbers(rows: OpenRows) -> bool:
    """Confirm the pairs whose text names the entry's number. Returns whether there were any."""
    before = len(rows.decided.matches)
    if rows.terms.numbers:
        for rivals in list(rivals_of(rows)):
            _match(rows, rivals)
    return len(rows.decided.matches) > before


def _match(rows: OpenRows, rivals: AmountGroup) -> None:
    named = {line.id: numbers_in(line.text, rows.terms.numbers) for line in rivals.lines}
    meant = {line.id: [entry for entry in rivals.entries if entry.numbers & named[line.id]] for line in rivals.lines}
    for line in rivals.lines:
        if len(meant[line.id]) != 1:
            continue
        entry = meant[line.id][0]
        alone = sum(entry in others for others in meant.values()) == 1
        if alone and rows.terms.reaches(entry, line) and rows.is_clear(entry, line) and _fits(entry, line):
            number = ", ".join(sorted(entry.numbers & named[line.id]))
            rows.confirm(MatchRule.NUMBER, (entry,), (line,), (f"number {number} in the text", "amount"))


def _fits(entry: MatchRow, line: MatchRow) -> bool:
    other_account = bool(entry.party and line.party) and entry.party != line.party
    return not other_account and not contradicts(entry, line)
