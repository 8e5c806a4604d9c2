"""Rule `approved_bytes`: the bytes that leave agree with what approvers signed.

The rule is asked in the unit that records the bytes, and once more in the reactor turn that writes. An independent
reader (`protocols/readback`) reads the bytes. Bytes of a bank that the reader does not know pass, and `bankgw banks`
names that bank.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.approvals.gates import signed_lines
from gateway.approvals.rules.approval_digest import ApprovalLine
from gateway.kernel import log
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.gate import PASS, Hold, RuleAnswer, RuleVerdict
from gateway.payments.gates.send_facts import SendFacts
from protocols import readback
from protocols.canon.money import Money

_log = log.get("bank.send_gate")
NOT_AS_APPROVED = "not_as_approved"


@dataclass(frozen=True, slots=True)
class ApprovedBytes:
    """Outgoing bytes, and the lines that approvers signed of each order in them. No lines: the orders needed no
    approval."""

    wire: bytes = b""
    lines: tuple[ApprovalLine, ...] = ()


NOT_APPROVED = ApprovedBytes()


def not_as_approved(protocol: str, rows: Sequence[PaymentRow], approved: ApprovedBytes) -> str:
    """How the bytes differ from what approvers signed, by a second, independent reader; "" if they agree.

    Bytes of a bank without such a reader pass; `bankgw banks` names the bank.
    """
    if not approved.lines or not readback.reads(protocol, rows[0].order.kind):
        return ""
    wanted = [
        readback.wanted(one.debtor_account, one.payee_account, str(Money(one.amount_minor, one.currency)))
        for one in approved.lines
    ]
    return readback.differs(protocol, approved.wire, wanted)


def log_not_as_approved(lane: str, rows: Sequence[PaymentRow], why: str, action: str) -> None:
    """Log that bytes differ from what approvers signed, because of a defect or an attack."""
    _log.error("bytes.not_as_approved", lane=lane, payment=rows[0].payment, error=why, action=action)


class ApprovedBytesAtSend:
    """Rule `approved_bytes` in the unit that records the send: holds orders whose bytes differ from what approvers
    signed."""

    name = "approved_bytes"
    asks = "Do the bytes that are written down say what approvers signed?"
    answers = (
        RuleAnswer(
            "cannot_be_prepared",
            "the bytes name another payee, account or amount than was approved: a defect of the adapter, or an attack",
            "holds every order of the message; log `bytes.not_as_approved`",
            "`payment.held`, `cannot_be_prepared`",
            "report it; nothing was sent",
        ),
    )

    def judge(self, facts: SendFacts) -> RuleVerdict:
        """Judge the message as a whole, so that each of its orders is held."""
        message = facts.message
        lines = signed_lines.lines_of(message)
        if not lines:
            return PASS
        why = not_as_approved(message.protocol, message.rows, ApprovedBytes(message.wire, lines))
        if why and facts.place == 0:
            log_not_as_approved(
                message.lane,
                message.rows,
                why,
                "held; nothing was sent; a defect of the adapter, or an attack: report it",
            )
        return Hold("cannot_be_prepared", why, "order.not_as_approved") if why else PASS
