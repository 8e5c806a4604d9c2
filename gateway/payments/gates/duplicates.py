"""Rule `duplicates`: an order that looks like another one of the last hours waits for a person."""

from __future__ import annotations

from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_ALIKE
from gateway.payments.gates.order_facts import OrderFacts
from gateway.payments.gates.release_facts import ReleaseFacts

_ANSWERS = (
    RuleAnswer(
        HOLD_ALIKE,
        "another order of the last `alike_hours` has the same debtor, creditor, amount and purpose",
        "holds it",
        "`payment.held`, `suspected_duplicate`",
        "release it if it is another payment, else cancel it",
    ),
)


class DuplicatesRule:
    """Rule `duplicates` at admission: holds an order that resembles an earlier one of the last hours."""

    name = "duplicates"
    asks = "Does the order look like another one of the last hours?"
    answers = _ANSWERS

    def judge(self, facts: OrderFacts) -> RuleVerdict:
        """Hold the order if there is an earlier similar order. A sender with `alike_hours` 0 is not checked."""
        alike = facts.usage.alike_id is not None and facts.terms.allowance.alike_hours
        return Hold(HOLD_ALIKE) if alike else PASS


class DuplicatesAtRelease:
    """Rule `duplicates` at a release: no new check is needed, because an order resembles only earlier orders, which
    were compared at its arrival."""

    name = "duplicates"
    asks = "Was the order held as a suspected duplicate, and has nobody cleared that reason?"
    answers = _ANSWERS

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Hold for the reason of the admission until a person has cleared it."""
        return Hold(HOLD_ALIKE) if facts.waits_for(HOLD_ALIKE) else PASS
