"""Proposals for a person: rows that weaker signs connect. Nothing here confirms a match."""

from __future__ import annotations

from difflib import SequenceMatcher

from gateway.reconciliation.rules.by_amount import amount_key
from gateway.reconciliation.rules.by_code import explained
from gateway.reconciliation.rules.decision import OpenReason, ProposalRule
from gateway.reconciliation.rules.open_rows import OpenRows, by_key
from gateway.reconciliation.rules.rows import AccountSide, MatchRow, contradicts, party_tokens, same_party

PROPOSALS_A_LINE = 3
ALIKE = 0.6


def propose_and_close(rows: OpenRows) -> None:
    """Propose rows that may belong together, and give each row that stays open its reason."""
    entries, lines = rows.free()
    by_amount = by_key(entries, amount_key)
    by_party: dict[tuple[AccountSide, str], list[MatchRow]] = {}
    for entry in entries if rows.terms.tariffs else ():
        for token in party_tokens(entry):
            by_party.setdefault((entry.place, token), []).append(entry)
    reasons: dict[str, OpenReason] = {}
    for line in lines:
        same = by_amount.get(amount_key(line), [])
        near = [row for row in same if rows.terms.reaches(row, line) and not contradicts(row, line)]
        near.sort(key=lambda row: (not same_party(row, line), abs((row.day - line.day).days), row.id))
        for entry in near[:PROPOSALS_A_LINE]:
            rows.propose(_rule(entry, line, len(near)), (entry,), (line,), ("amount",))
        if near:
            reasons.update((row.id, OpenReason.AMBIGUOUS) for row in near)
            rows.decided.open_lines[line.id] = OpenReason.AMBIGUOUS
            continue
        known = {row.id: row for token in party_tokens(line) for row in by_party.get((line.place, token), ())}
        fees = [row for _, row in sorted(known.items()) if rows.terms.reaches(row, line) and explained(rows, row, line)]
        for entry in fees[:PROPOSALS_A_LINE]:
            rows.propose(ProposalRule.FEE, (entry,), (line,), ("counterparty", "the tariff's fee"))
        apart = [row for row in same if same_party(row, line) and abs((row.day - line.day).days) <= rows.terms.far_days]
        reasons.update((row.id, OpenReason.DATE) for row in apart if row.id not in reasons)
        rows.decided.open_lines[line.id] = OpenReason.DATE if apart else OpenReason.NO_COUNTERPART
    for entry in entries:
        rows.decided.open_entries[entry.id] = reasons.get(entry.id, OpenReason.NO_COUNTERPART)
    rows.decided.open_entries.update(rows.withheld)
    rows.decided.open_lines.update(rows.withheld_lines)


def _rule(entry: MatchRow, line: MatchRow, candidates: int) -> ProposalRule:
    if same_party(entry, line):
        return ProposalRule.AMBIGUOUS
    if SequenceMatcher(None, entry.party_name, line.party_name).ratio() >= ALIKE:
        return ProposalRule.NAME
    return ProposalRule.AMOUNT_ONLY if candidates == 1 else ProposalRule.AMBIGUOUS
