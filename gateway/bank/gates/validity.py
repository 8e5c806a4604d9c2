"""Rule `validity`: an order whose `valid_until` has passed does not leave."""

from __future__ import annotations

from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class ValidityRule:
    """Rule `validity`: does not send an order whose `valid_until` has passed."""

    name = "validity"
    asks = "Is every order of the message still valid?"
    answers = (
        RuleAnswer(
            "expired",
            "`valid_until` passed while the order was prepared or committed",
            "does not send; the order expires",
            "`payment.expired`",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge the orders' validity by the present wall clock."""
        now_ms = facts.now_ms
        over = any(row.life.valid_until_ms is not None and now_ms >= row.life.valid_until_ms for row in facts.rows)
        return Refuse("expired") if over else PASS
