"""Rule `limits`: an order stays inside the limits of its sender.

The sums are counted before the order is judged (`payments/rows/limits.py`), so that two nodes cannot both judge by the
same earlier sum. A refused order is subtracted again.
"""

from __future__ import annotations

from gateway.kernel.core import policy
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict
from gateway.payments.gates.order_facts import OrderFacts
from protocols.canon.errors import Code


class LimitsRule:
    """Rule `limits`: refuses an order that exceeds its sender's limits."""

    name = "limits"
    asks = "Is the order inside its sender's limits: per payment, day, account and day, payee and day?"
    answers = (
        RuleAnswer(
            Code.VALIDATION.value,
            "the order is over a limit of its sender, or one of its fields cannot be carried",
            "refuses it, with all limits and fields at once",
            "`payment.rejected`, `over_limit` and what is left",
            "the ERP sends less, or the sender's limits are raised in the settings",
        ),
    )

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Refuse for the faults that were found before the unit, else for exceeded limits. An order with faults uses up
        no limit."""
        faults = facts.terms.faults
        if not faults:
            allowance = facts.terms.allowance
            faults = tuple(policy.over_limits(facts.order.amount, allowance, facts.usage))
        return Refuse(Code.VALIDATION.value, faults=faults) if faults else PASS
