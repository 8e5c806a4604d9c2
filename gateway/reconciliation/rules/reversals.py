"""Nets pairs of one side in which a row reverses the other (冲正, 红字), before anything is matched.

A text with 冲正 may come from anybody. So a row whose code is also on the other side is netted only with a row that has
this code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.reconciliation.rules.decision import MatchRule
from gateway.reconciliation.rules.open_rows import OpenRows, by_key
from gateway.reconciliation.rules.rows import AccountSide, MatchRow, contradicts, other_party, same_party


def net_reversals(rows: OpenRows) -> None:
    """Net each reversal with the only row that it can reverse. If two rows fit, neither is netted."""
    coded = [{(row.place, code) for row in side.values() for code in row.codes} for side in (rows.entries, rows.lines)]
    both = coded[0] & coded[1]
    for reversal, original in _pairs(rows.entries, rows.terms.span_days, both):
        rows.confirm(MatchRule.REVERSED, (reversal, original), (), ("the second takes the first back",))
    for reversal, original in _pairs(rows.lines, rows.terms.span_days, both):
        rows.confirm(MatchRule.REVERSED, (), (reversal, original), ("the second takes the first back",))


def takes_back(row: MatchRow) -> bool:
    """True for a row that reverses another row."""
    return row.reversal or row.amount_minor < 0


def reversal_key(row: MatchRow) -> tuple[str, str, int]:
    """The key that a reversal and its original share."""
    return row.account, row.currency, abs(row.amount_minor)


_Codes = set[tuple[AccountSide, str]]


def _pairs(side: Mapping[str, MatchRow], span_days: int, both: _Codes) -> list[tuple[MatchRow, MatchRow]]:
    reversals = by_key((row for row in side.values() if takes_back(row)), reversal_key)
    if not reversals:
        return []
    originals = by_key(
        (row for row in side.values() if not takes_back(row) and reversal_key(row) in reversals), reversal_key
    )
    pairs = []
    for key, taking in reversals.items():
        found = originals.get(key, [])
        meant = {row.id: _meant(row, found, span_days, both) for row in taking}
        for row in taking:
            if len(meant[row.id]) == 1:
                original = meant[row.id][0]
                if sum(original in others for others in meant.values()) == 1:
                    pairs.append((row, original))
    return pairs


def _meant(reversal: MatchRow, originals: Iterable[MatchRow], span_days: int, both: _Codes) -> list[MatchRow]:
    found = [row for row in originals if _undoes(reversal, row, span_days)]
    named = [row for row in found if (row.codes & reversal.codes) or (row.serials & reversal.serials)]
    if named:
        return named
    claimed = any((row.place, code) in both for row in (reversal, *found) for code in row.codes)
    return [] if claimed or any(not same_party(reversal, row) for row in found) else found


def _undoes(reversal: MatchRow, original: MatchRow, span_days: int) -> bool:
    opposite = (reversal.amount_minor > 0) == (reversal.direction is not original.direction)
    near = 0 <= (reversal.day - original.day).days <= span_days
    return opposite and near and not other_party(reversal, original) and not contradicts(reversal, original)
