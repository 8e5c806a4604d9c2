"""Rule `stop`: after an emergency stop nothing leaves, on any node."""

from __future__ import annotations

from gateway.bank.gates.pause import PAUSED
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.cluster.stops import STOPPED
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class StopRule:
    """Rule `stop`: sends nothing after an emergency stop. It also stops bytes that wait for their write, because the
    person who stopped was told that nothing is sent."""

    name = "stop"
    asks = "Is no emergency stop in force?"
    answers = (
        RuleAnswer(
            PAUSED,
            "a person said `bankgw stop-all`",
            "does not send; the payment is ready again; enquiries go on",
            "–",
            "two persons: `bankgw restart-all`, then `resolve --approve`",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge by the lane's reasons to pause, which are in memory."""
        return Refuse(PAUSED) if STOPPED in facts.paused else PASS
