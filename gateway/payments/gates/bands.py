"""Rule `bands`: a payment or batch in an amount band of the settings that is held waits for an approval."""

from __future__ import annotations

from gateway.kernel.core import policy
from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_BAND
from gateway.payments.gates.order_facts import OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts

_ANSWERS = (
    RuleAnswer(
        HOLD_BAND,
        "the amount, or the sum of the batch, is in a band of the sender's settings that is held",
        "holds it",
        "`payment.held`, `approval`",
        "release it; where an approval policy is in force, approve it",
    ),
)


class BandsRule:
    """Rule `bands` at admission: holds a payment or batch whose amount is in a band that needs an approval."""

    name = "bands"
    asks = "Is the amount, or the sum of the batch, in a band of the settings that is held?"
    answers = _ANSWERS

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Judge the order's amount and its batch's sum, so that many small payments do not avoid the band."""
        held = facts.terms.band_of_whole or policy.held_by_band(facts.order.amount.minor, facts.terms.allowance)
        return Hold(HOLD_BAND) if held else PASS


class BandsAtRelease:
    """Rule `bands` at a release: judges by the bands of the present settings."""

    name = "bands"
    asks = "Is the amount in a held band now, or was the order held for a band, and nobody has cleared that reason?"
    answers = _ANSWERS

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Hold also for a band of the admission that the present settings do not have, until a person has cleared
        it.
        """
        if HOLD_BAND in facts.passed_over:
            return PASS
        allowance = facts.allowance
        now = allowance is not None and policy.held_by_band(facts.row.order.amount.minor, allowance)
        return Hold(HOLD_BAND) if now or HOLD_BAND in facts.row.holds else PASS
