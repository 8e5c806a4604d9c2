"""Decides which rows belong together: applies the rules in their order to the rows of one matching.

The result depends only on the set of rows, not on the order in which they arrive. A rule confirms only pairs that are
unique on both sides; likely pairs are proposed to a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from gateway.reconciliation.rules.by_amount import match_amounts
from gateway.reconciliation.rules.by_code import match_codes, match_serials
from gateway.reconciliation.rules.by_group import find_contested, match_groups
from gateway.reconciliation.rules.by_number import match_numbers
from gateway.reconciliation.rules.decision import Match, MatchResult
from gateway.reconciliation.rules.open_rows import OpenRows
from gateway.reconciliation.rules.proposals import propose_and_close
from gateway.reconciliation.rules.reversals import net_reversals
from gateway.reconciliation.rules.rows import MatchRow
from gateway.register.match_terms import MatchTerms


def decide(entries: Iterable[MatchRow], lines: Iterable[MatchRow], terms: MatchTerms) -> MatchResult:
    """Match payments or book rows with statement lines; every row is in one match, or open with a reason.

    With payments, `entries` also has the book's rows as shadows.
    """
    rows = OpenRows(entries, lines, terms)
    net_reversals(rows)
    match_codes(rows)
    match_serials(rows)
    find_contested(rows)
    # When one rule has matched rows, another rule may have a single candidate left.
    while match_amounts(rows) or match_numbers(rows):
        pass
    match_groups(rows)
    propose_and_close(rows)
    return rows.decided.ordered()


def lend_codes(lines: Iterable[MatchRow], matches: Iterable[Match], payments: Mapping[str, MatchRow]) -> list[MatchRow]:
    """The lines, each with the codes of the payments matched with it, for the matching with the book."""
    lent: dict[str, frozenset[str]] = {}
    for match in matches:
        codes = frozenset[str]().union(*(payments[one].codes for one in match.entries))
        for line in match.lines:
            lent[line] = codes
    return [replace(row, codes=row.codes | lent[row.id]) if row.id in lent else row for row in lines]
