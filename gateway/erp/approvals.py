"""`payment.approve` and `payment.reject`: an ERP brings an enrolled person's signature. Its own word is none."""

from __future__ import annotations

from gateway.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.erp.status_and_cancel import tell
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_decisions
from gateway.journal.payments.approval_decisions import GivenDecision
from gateway.journal.people import approval_requests, entitlements
from gateway.journal.people.approvals import ApprovalDecision
from gateway.journal.people.persons import No
from protocols.canon.errors import Code, Refusal
from protocols.erp.words import DecideOrder


def decide(received: ReceivedCommand, command: DecideOrder) -> CommandUnit:
    """The unit that records a person's decision about an order or batch of this sender, or refuses it."""
    sender = received.sender.name
    decision = ApprovalDecision.APPROVE if command.approves else ApprovalDecision.REJECT

    def unit(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        # Of a batch there may be several that wait, each about other lines: what was signed says which is meant.
        asked = approval_requests.about(tx.read, sender, command.id)
        request = next((one for one in asked if one.digest == command.digest), asked[0] if asked else None)
        if request is None:
            no = Refusal(Code.UNKNOWN_PAYMENT, f"nothing of sender {sender} waits for approval as {command.id!r}")
            return received.refuse(no, command.id)(tx)
        given = GivenDecision(request.request, decision, command.digest, command.signature, command.reason,
                              f"sender:{sender}", received.actor)  # fmt: skip
        person = entitlements.of_name(tx.fresh, command.person, tx.now_ms)
        said = approval_decisions.decide(tx, given, person, received.registry)
        if isinstance(said, No):
            return received.refuse(Refusal(Code.NOT_APPROVED, f"{said.code}: {said.why}"), command.id)(tx)
        tell(received, tx, command.id)
        return CommandResult(decision.value)

    return unit
