"""Rule `permitted_before`: a send that the permit log knows already is not made again.

The log is kept beside the database (ADR 0020). It still has sends that an older or altered database lacks.
"""

from __future__ import annotations

from gateway.kernel import log
from gateway.kernel.cluster import restored_database
from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.payments.gates.send_facts import SendFacts

PERMITTED_BEFORE = "permitted_before"
_log = log.get("bank.dispatch")


class PermittedBeforeRule:
    """Rule `permitted_before`: stops a send that the permit log already has. After two persons released a lane in spite
    of a restored database, such a payment is held and the lane goes on."""

    name = PERMITTED_BEFORE
    asks = "Does the permit log lack this attempt of the reference?"
    answers = (
        RuleAnswer(
            "cannot_be_prepared",
            "the permit log has this attempt, or a later one: the database is older, or was altered",
            "holds it, or escalates it if it was in doubt; alarm `permitted_before`; the lane halts unless two persons "
            "have released the lanes of a restored database",
            "`payment.held`; `payment.escalated`",
            "`bankgw audit verify`, and ask the bank about the reference",
        ),
    )

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Look the send up in memory; older sends are found by their index."""
        row, attempt = facts.row, facts.row.life.attempt + 1
        if not facts.tx.permitted(f"{row.lane}/{row.bank_ref}", attempt):
            return PASS
        action = (
            ("escalated and not sent again; ask the bank about its reference, and run `bankgw audit verify`")
            if facts.message.repeats
            else ("held; nothing was sent; ask the bank about its reference, and run `bankgw audit verify`")
        )
        _log.error("payment.permitted_before", bank=row.bank, payment=row.payment, attempt=attempt, action=action)
        return Hold(
            "cannot_be_prepared",
            f"the permit log has attempt {attempt} or a later one",
            "order.permitted_before",
            alarm=PERMITTED_BEFORE,
            halts=not restored_database.let_go_ms(facts.tx.raw),
        )
