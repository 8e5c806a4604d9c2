"""Rule `pause`: while the lane is paused for any reason, nothing leaves."""

from __future__ import annotations

from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict

PAUSED = "paused"


class PauseRule:
    """Rule `pause`: sends nothing while the lane is paused. It comes after the rules for single reasons, and also stops
    for reasons that they do not know."""

    name = "pause"
    asks = "Is the lane not paused: by an operator, by a blocked broker, or for a reason that no other rule names?"
    answers = (
        RuleAnswer(
            PAUSED,
            "an operator paused the lane, or the broker takes no messages",
            "does not send; the payment is ready again; enquiries go on",
            "–",
            "`bankgw lanes resume`; free the broker's disk or memory",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Keep bytes back also for a pause that began while they were prepared or committed."""
        return Refuse(PAUSED) if facts.paused else PASS
