"""Rule `permit`: the lane's lease and its epoch hold at this very moment, and the lane is not halted (ADR 0004).

It is the last rule before the write, because the others take time and the lease may end meanwhile.
"""

from __future__ import annotations

from gateway.bank.connection import NO_PERMIT
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class PermitRule:
    """Rule `permit`: sends only while the lane's lease and epoch hold. Nothing else in the product tests the permit
    before a write; tests/house_gate.py checks that.
    """

    name = "permit"
    asks = "May this node write under the epoch of the commit: does its lease hold, and is the lane not halted?"
    answers = (
        RuleAnswer(
            NO_PERMIT,
            "the lease ran out, another node has the lane, or the lane halted",
            "does not send; the payment is ready again for whoever has the lane; `bankgw_permits_refused_total`",
            "–",
            "only where it happens often: look at the database and at the machine's load",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Judge by the present lease. A lease that was renewed since the commit is not enough: see Lease.permits."""
        return PASS if facts.permits(facts.rows[0].epoch, facts.committed_s) else Refuse(NO_PERMIT)
