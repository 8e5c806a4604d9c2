"""Rule `mandates`: a move of a cash pool beyond a ceiling of its mandate waits for an approval.

Inside the mandate, the two persons' signatures under the pool stand for the order, so that the rule `approvals` needs
nobody. Rule `pool_move` (`pools/gates/pool_move.py`) checks again at the send whether the mandate is still in force.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_BAND
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.pools.rows import pool_moves
from gateway.settings.agreement import TREASURY


class MandatesRule:
    """Rule `mandates`: holds a pool's move that exceeds a ceiling of the pool's mandate until it is approved."""

    name = "mandates"
    asks = "Is a cash pool's move inside the ceilings that two persons signed?"
    answers = (
        RuleAnswer(
            HOLD_BAND,
            "the pool's run or day moves more than the mandate allows",
            "holds the move",
            "–",
            "release or cancel it; two persons raise the ceiling for later runs",
        ),
    )

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Judge the treasury's own orders, because only they are moves of pools; all others pass."""
        return Hold(HOLD_BAND) if facts.terms.over_mandate else PASS

    def enter(self, command: CommandFacts, rows: Sequence[PaymentRow]) -> None:
        """Do nothing, because the move was counted in its pool when it was planned."""

    def ended(self, tx: Tx, before: PaymentRow, after: PaymentRow, actor: str) -> tuple[str, ...]:
        """Record at the move how its payment ended, because a payment that moved nothing is no longer lent."""
        if after.sender == TREASURY:
            pool_moves.note_outcome(tx, after)
        return ()
