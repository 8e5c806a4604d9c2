"""The true order of each statement entry, from the banks' own ledgers, by which the demo's matches are judged. Pure.

An entry is identified by its account, direction, amount and counterparty. The judge checks for each match whether its
two sides are about the same orders, and uses no statement of the matching itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.reconciliation.rules.decision import Match
from gateway.reconciliation.rules.rows import MatchRow
from gateway.simbank.record import Execution
from protocols.canon.statement import Direction

BookedEntry = tuple[str, Direction, int, str]
"""Account, direction, minor units and the counterparty's account; "" for a bank that does not state it."""


@dataclass(slots=True)
class BookTruth:
    """The true orders behind statement entries, from the banks' ledgers, by kind of entry."""

    orders: dict[BookedEntry, set[str]] = field(default_factory=dict)

    def add(self, account: str, way: Direction, minor: int, party: str, order: str) -> None:
        """Add one entry that a bank booked."""
        for known in (party, ""):
            self.orders.setdefault((account, way, minor, known), set()).add(order)

    def of(self, line: MatchRow) -> set[str]:
        """The orders that a statement entry may be about."""
        return self.orders.get((line.account, line.direction, abs(line.amount_minor), line.party), set())


def add_ledger(
    truth: BookTruth,
    executions: Iterable[Execution],
    by_payee: Mapping[str, str],
    by_reference: Mapping[str, str],
    own: frozenset[str],
    now_ms: int,
) -> None:
    """Add all entries that one bank booked until `now_ms`.

    `by_payee`: if a payee's account belongs to one order only, the account identifies the order. `by_reference` is for
    this bank alone, because two banks may have the same reference.
    """
    for one in executions:
        asked = one.instruction
        if one.refused:
            continue
        order = by_payee.get(asked.creditor_account) or by_reference.get(asked.reference, asked.reference)
        for at_ms, back in ((one.decided_ms, False), (one.returned_ms, True)):
            if at_ms is None or at_ms > now_ms:
                continue
            out, into = Direction.DEBIT, Direction.CREDIT
            if back is not asked.collects:
                out, into = into, out
            truth.add(asked.debtor_account, out, asked.amount.minor, asked.creditor_account, order)
            if asked.creditor_account in own:
                truth.add(asked.creditor_account, into, asked.amount.minor, asked.debtor_account, order)


def wrong(
    matches: Sequence[Match], rows: Mapping[str, MatchRow], orders: Mapping[str, str], truth: BookTruth
) -> Iterator[str]:
    """Each match whose sides are not about the same orders. `orders` names the order of a payment or a book row."""
    for match in matches:
        lines = [truth.of(rows[id]) for id in match.lines]
        entries = {orders.get(id, id) for id in match.entries}
        if not match.entries:
            right = bool(lines) and bool(set.intersection(*lines))
        else:
            right = entries <= set[str]().union(*lines) and all(one & entries for one in lines)
        if not right:
            yield f"{match.rule.value}: {', '.join(sorted(entries)) or 'a reversed pair'} with {', '.join(match.lines)}"
