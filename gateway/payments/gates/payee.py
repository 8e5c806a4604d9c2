"""Rule `payee`: if a sender needs known payees, the first payment to a new payee waits for a person."""

from __future__ import annotations

from gateway.kernel.core import policy
from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_PAYEE
from gateway.payments.gates.order_facts import OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts

_ANSWERS = (
    RuleAnswer(
        HOLD_PAYEE,
        "the sender needs known payees, and no earlier payment and no registration covers this one",
        "holds it",
        "`payment.held`, `new_payee`",
        "release it, or register the payee (two persons)",
    ),
)


class PayeeRule:
    """Rule `payee` at admission: holds the first payment to a new payee if the sender needs known payees."""

    name = "payee"
    asks = "Is the payee known well enough for this amount?"
    answers = _ANSWERS

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Judge by the amount: a small earlier payment does not make the payee known for a large one."""
        allowance, order = facts.terms.allowance, facts.order
        known = not policy.looks_at_payee(order, allowance) or policy.payee_covers(
            order.amount.minor, allowance, facts.payee
        )
        return PASS if known else Hold(HOLD_PAYEE)


class PayeeAtRelease:
    """Rule `payee` at a release: a payee that has become known since admission is no reason to hold any more."""

    name = "payee"
    asks = "Is the payee known by now, or has a person cleared the reason?"
    answers = _ANSWERS

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Judge by the present settings and journal. If the sender is not configured any more, no payee counts as
        known."""
        if HOLD_PAYEE in facts.passed_over:
            return PASS
        allowance, order = facts.allowance, facts.row.order
        if allowance is None:
            return Hold(HOLD_PAYEE) if HOLD_PAYEE in facts.row.holds else PASS
        known = not policy.looks_at_payee(order, allowance) or policy.payee_covers(
            order.amount.minor, allowance, facts.payee
        )
        return PASS if known else Hold(HOLD_PAYEE)
