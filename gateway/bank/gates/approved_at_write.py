"""Rule `approved_bytes`, asked in the reactor turn that writes: the bytes are still those that the unit compared."""

from __future__ import annotations

from gateway.bank.gates.approved_bytes import NOT_AS_APPROVED, log_not_as_approved, not_as_approved
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import PASS, Refuse, RuleAnswer, RuleVerdict


class ApprovedBytesAtWrite:
    """Rule `approved_bytes` at the write: keeps back bytes that are not those that the unit compared. The bytes of a
    repeat are compared only by this rule, because they were recorded at the first send."""

    name = "approved_bytes"
    asks = "Do the bytes that leave say what approvers signed?"
    answers = (
        RuleAnswer(
            NOT_AS_APPROVED,
            "the bytes in memory differ from those that the unit compared",
            "does not send; the payment is ready again and held when it is tried again; log `bytes.not_as_approved`",
            "–",
            "report it; nothing was sent",
        ),
    )

    def judge(self, facts: WriteFacts) -> RuleVerdict:
        """Compare the bytes with what approvers signed. Bytes without an approval are not compared."""
        if not facts.approved.lines:
            return PASS
        why = not_as_approved(facts.parts.bank.profile.name, facts.rows, facts.approved)
        if not why:
            return PASS
        log_not_as_approved(
            facts.parts.name, facts.rows, why, "nothing was sent; the payment is held when it is tried again; report it"
        )
        return Refuse(NOT_AS_APPROVED, why)
