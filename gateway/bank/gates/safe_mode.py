"""Rule `safe_mode`: while the journal may lack sends, nothing leaves."""

from __future__ import annotations

from gateway.bank.gates.pause import PAUSED
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class SafeModeRule:
    """Rule `safe_mode`: sends nothing while the journal may have lost sends. It also stops bytes that wait for their
    write, because persons were told that nothing is sent."""

    name = "safe_mode"
    asks = "Is the lane out of SAFE MODE?"
    answers = (
        RuleAnswer(
            PAUSED,
            "the database and the permit logs disagree: it was restored, lags behind, or the log is gone",
            "does not send; the payment is ready again; enquiries go on",
            "–",
            "bring the right folder or database back, or have two persons [release the lane](../do/restore.md)",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge by the lane's reasons to pause, which are in memory."""
        return Refuse(PAUSED) if FROM_THE_PAST in facts.paused else PASS
