"""Rule `rights`: a payment's sender still has the right to every account that pays.

At admission the right is checked before the unit, together with the order's form (`payments/rows/order_checks.py`), so
that an order of a sender without rights to the account claims no id (ADR 0006).
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.kernel.core.gate import PASS, Hold, Refuse, RuleAnswer, RuleVerdict
from gateway.kernel.core.policy import HOLD_RIGHT
from gateway.payments.gates.release_facts import ReleaseFacts
from gateway.payments.gates.send_facts import SendFacts
from gateway.payments.rows import send_rights
from gateway.register.registry import Registry

_WHEN = "the sender lost an account that pays, or the account goes by another lane or is closed"
_ANSWERS = (
    RuleAnswer(
        HOLD_RIGHT,
        f"between admission and send {_WHEN}",
        "holds it; nothing was sent, the lane goes on",
        "`payment.held`, `not_entitled`",
        "put the settings right and release it, or cancel it",
    ),
)


class RightsAtRelease:
    """Rule `rights` at a release that clears `not_entitled`: the present settings must give the sender the right."""

    name = "rights"
    asks = "If the order was held for a lost right: does its sender have the right again?"
    answers = (
        RuleAnswer(
            HOLD_RIGHT,
            "the sender still has no account that pays, or the account still goes by another lane or is closed",
            "refuses the release; nothing is changed",
            "–",
            "put the settings right first, or cancel it",
        ),
    )

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Check the right only if the release clears this reason, because the rule is asked again at the send in any
        case."""
        if HOLD_RIGHT not in facts.cleared:
            return PASS
        why = send_rights.why_not_entitled(facts.tx, facts.row, facts.registry)
        said = f"{why}; put the settings right first, or cancel it; nothing was changed"
        return Refuse(HOLD_RIGHT, said) if why else PASS


class RightsAtResend:
    """Rule `rights` when two persons decide that a payment in doubt is sent once more."""

    name = "rights"
    asks = "Does the sender have the right to every account that pays, by the settings of this moment?"
    answers = (
        RuleAnswer(
            HOLD_RIGHT,
            _WHEN,
            "refuses the decision; nothing is changed",
            "–",
            "put the settings right first, or decide `failed` on the bank's written word",
        ),
    )

    def judge(self, facts: ReleaseFacts) -> RuleVerdict:
        """Check the sender's right now. It is checked again at the send."""
        why = send_rights.why_not_entitled(facts.tx, facts.row, facts.registry)
        said = f"{why}; put the settings right first, or decide `failed` on the bank's written word"
        return Refuse(HOLD_RIGHT, said) if why else PASS


class RightsAtSend:
    """Rule `rights` in the unit that records the send, whether or not an approval policy exists."""

    name = "rights"
    asks = "Does the sender have the right to every account that pays, by the settings of this moment?"
    answers = _ANSWERS

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Check the sender's right by the register in memory."""
        why = send_rights.why_not_entitled(facts.tx, facts.row, self._registry())
        return Hold(HOLD_RIGHT, why, "order.not_entitled") if why else PASS
