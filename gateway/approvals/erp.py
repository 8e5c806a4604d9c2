"""`payment.approve` and `payment.reject`: an ERP brings an enrolled person's signature. A statement of the ERP alone
does not count.
"""

from __future__ import annotations

from gateway.approvals.rows import approval_decisions, approval_requests
from gateway.approvals.rows.approval_decisions import GivenDecision
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.kernel.commit.store import Tx
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.erp.status_and_cancel import tell
from gateway.people.rows import entitlements
from gateway.people.rows.persons import No
from protocols.canon.errors import Code, Refusal
from protocols.erp.words import DecideOrder


def decide(received: ReceivedCommand, command: DecideOrder) -> CommandUnit:
    """The unit that records a person's decision about an order or batch of this sender, or refuses it."""
    sender = received.sender.name
    decision = ApprovalDecision.APPROVE if command.approves else ApprovalDecision.REJECT

    def decide_request(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        # Several requests about one batch may wait, each about other lines: the signed digest identifies the right one.
        asked = approval_requests.about(tx.read, sender, command.id)
        request = next((one for one in asked if one.digest == command.digest), asked[0] if asked else None)
        if request is None:
            no = Refusal(
                Code.UNKNOWN_PAYMENT, f"sender {sender} has no order or batch {command.id!r} that waits for approval"
            )
            return received.refuse(no, command.id)(tx)
        given = GivenDecision(
            request.request,
            decision,
            command.digest,
            command.signature,
            command.reason,
            f"sender:{sender}",
            received.actor,
        )
        person = entitlements.of_name(tx.fresh, command.person, tx.now_ms)
        said = approval_decisions.decide(tx, given, person, received.registry)
        if isinstance(said, No):
            late = said.code == Code.TOO_LATE.value
            no = Refusal(Code.TOO_LATE, said.why) if late else Refusal(Code.NOT_APPROVED, f"{said.code}: {said.why}")
            return received.refuse(no, command.id)(tx)
        tell(received, tx, command.id)
        return CommandResult(decision.value)

    return decide_request
