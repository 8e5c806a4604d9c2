"""Rule `overtaken`: nothing was learnt about the payment between its commit and the write."""

from __future__ import annotations

from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class OvertakenRule:
    """Rule `overtaken`: keeps bytes back if something was learnt about the payment since the commit. The commit issued
    a SendLeave, which later news about the payment revokes."""

    name = "overtaken"
    asks = "Is the payment still as the commit left it?"
    answers = (
        RuleAnswer(
            "overtaken",
            "a statement entry, an answer or the deadline came between the commit and the write",
            "does not send; the payment keeps the state that this gave it",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Keep back the whole message if one of its SendLeaves was revoked."""
        return Refuse("overtaken") if any(leave.revoked for leave in facts.leaves) else PASS
