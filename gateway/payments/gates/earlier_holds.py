"""Rule `earlier_holds`: a reason for which a payment was held after its admission stays until a person clears it."""

from __future__ import annotations

from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_ALIKE, HOLD_BAND, HOLD_FUNDING, HOLD_PAYEE
from gateway.payments.gates.release_facts import ReleaseFacts

_OF_OTHER_RULES = frozenset({HOLD_ALIKE, HOLD_BAND, HOLD_FUNDING, HOLD_PAYEE})


class EarlierHolds:
    """Rule `earlier_holds`: keeps a payment held for each reason found after its admission, until a person clears it.
    Reasons that no other rule knows are included, so that no release loses one."""

    name = "earlier_holds"
    asks = "Was the order held when it was to be sent, and has nobody cleared that reason?"
    answers = (
        RuleAnswer(
            "cannot_be_prepared",
            "the bank's form cannot carry it, its kind is switched off, its bytes were not as approved, or the permit "
            "log knew this send",
            "holds it",
            "`payment.held`, `cannot_be_prepared`",
            "mend the cause and release it, or cancel it; a send that the permit log knew: ask the bank first",
        ),
    )

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Hold for all reasons that were not cleared, at once."""
        left = [one for one in facts.row.holds if one not in _OF_OTHER_RULES and facts.waits_for(one)]
        return Hold(left[0], also=tuple(left[1:])) if left else PASS
