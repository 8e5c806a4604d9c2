"""`payment.validate`: reports what `payment.submit` would do with an order, by the same checks, and stores nothing.

The journal is only read: no id is taken, no sum is counted, and an unreadable body is not parked. Only the reply is
written.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from gateway.kernel.commit.store import Tx
from gateway.kernel.core import policy
from gateway.kernel.core.policy import HOLD_FUNDING, Route
from gateway.payments.erp.command import CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.erp.envelope import answer_row
from gateway.payments.erp.every_fault import judged as judged_by_rules
from gateway.payments.erp.every_fault import with_register_faults
from gateway.payments.gates.order_facts import CommandFacts, OrderFacts
from gateway.payments.rows import lookup, order_checks
from gateway.payments.rows.admission import Admission
from gateway.payments.rows.limits import OrderClaim
from gateway.register.registry import Sender
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.order import AnyOrder
from protocols.erp import replies
from protocols.erp.faults import MAX_FAULTS
from protocols.erp.replies import Validation
from protocols.erp.words import CommandType, SubmitOrder

READY, HELD, REJECTED, REPLAYED = "ready", "held", "rejected", "replayed"


def may_validate(sender: Sender) -> bool:
    """True if the sender may submit payments, or may only have them validated."""
    return bool({CommandType.PAYMENT_VALIDATE.value, CommandType.PAYMENT_SUBMIT.value} & sender.operations)


def validate(
    received: ReceivedCommand, command: SubmitOrder | Refusal, claimed_id: str | None, zone: tzinfo
) -> CommandUnit:
    """The unit that replies to a validation. `command` is the order, or the refusal of an unreadable body;
    `zone` is where a day without a time begins."""

    def answer_validation(tx: Tx) -> CommandResult:
        if isinstance(command, Refusal):
            no = _without_rights(received, with_register_faults(received, tx, command, zone))
            found = Validation(claimed_id, received.sender.name, REJECTED, tx.now_ms, refusal=no)
        else:
            found = judged(received, tx, command.order)
        said, reply = replies.payment_validated(found), received.envelope.reply
        bank = found.bank or "none"
        tx.enqueue(answer_row(tx, reply, replies.PAYMENT_VALIDATED, said, found.sender, bank))
        return CommandResult("answered")

    return answer_validation


def _without_rights(received: ReceivedCommand, refusal: Refusal) -> Refusal:
    """The refusal of a body, with the fault that its sender may not submit payments at all."""
    if refusal.code is not Code.SCHEMA or CommandType.PAYMENT_SUBMIT.value in received.sender.operations:
        return refusal
    no = f"sender {received.sender.name} may not use {CommandType.PAYMENT_SUBMIT.value}"
    return replace(refusal, faults=(Fault("", FieldCode.UNSUPPORTED, no), *refusal.faults)[:MAX_FAULTS])


def judged(received: ReceivedCommand, tx: Tx, order: AnyOrder) -> Validation:
    """The outcome that the order would have if it were submitted now."""
    sender = received.sender
    blank = Validation(order.id, sender.name, REJECTED, tx.now_ms)
    if CommandType.PAYMENT_SUBMIT.value not in sender.operations:
        no = Refusal(Code.NOT_ALLOWED, f"sender {sender.name} may not use {CommandType.PAYMENT_SUBMIT.value}")
        return replace(blank, refusal=no)
    route = order_checks.route_of(received.source, order)
    if isinstance(route, Refusal):
        return replace(blank, refusal=route)
    routed = replace(blank, bank=route.bank, lane=route.lane)
    asked = order_checks.admission(received.source, order, route)
    claim = OrderClaim(tx, asked.sender, order, asked.day, asked.dup_key, asked.alike_since_ms)
    facts = claim.usage_facts()
    if isinstance(facts, str):
        return _known(tx, routed, asked, facts)
    command = CommandFacts(tx, asked.sender, asked.approval, counts=False)
    return _told(received, routed, route, OrderFacts(command, asked.made, asked.day, asked.terms, facts))


def _known(tx: Tx, routed: Validation, asked: Admission, payment: str) -> Validation:
    row = lookup.fetch(tx.fresh, payment)
    if row is not None and row.order.id == asked.order.id and row.fingerprint == asked.fingerprint:
        return replace(routed, would=REPLAYED, payment=row.payment)
    no = Refusal(Code.ID_CONFLICT, f"id {asked.order.id!r} was used before with other content")
    return replace(routed, refusal=no)


def _told(received: ReceivedCommand, routed: Validation, route: Route, order: OrderFacts) -> Validation:
    """All faults of the order at once (fields, limits of the sender, pool), and the reasons to hold it."""
    faults = policy.check(order.order, route, received.day)
    of_rules, holds = judged_by_rules(order)
    faults += of_rules
    if order.order.funded_by is not None:
        holds.add(HOLD_FUNDING)
    found = replace(routed, hold_reasons=policy.in_order(holds))
    if faults:
        return replace(found, refusal=order_checks.validation(faults, route))
    if holds:
        return replace(found, would=HELD)
    return replace(found, would=READY, send_after_ms=order.terms.send_after_ms)
