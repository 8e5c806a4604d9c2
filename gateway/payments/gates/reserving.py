"""The further methods of a rule that counts or reserves something for a payment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import GateRule
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts


class ReservingRule(GateRule[OrderFacts], Protocol):
    """A rule that counts or reserves money: `enter` is called when payments are made, `ended` when one has ended."""

    def enter(self, command: CommandFacts, rows: Sequence[PaymentRow]) -> None:
        """Reserve for the payments of a command, in the unit that creates them."""

    def ended(self, tx: Tx, before: PaymentRow, after: PaymentRow, actor: str) -> tuple[str, ...]:
        """Return what was reserved for a payment that this unit brought into a final state. The result is the payments
        that must be cancelled with it."""
