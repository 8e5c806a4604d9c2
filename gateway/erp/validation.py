"""`payment.validate`: reports what `payment.submit` would do with an order, by the same checks, and stores nothing.

The journal is only read: no id is taken, no sum is counted, and an unreadable body is not parked. Only the reply is
written.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.core import policy
from gateway.core.hours import next_open_ms
from gateway.core.policy import HOLD_BAND, Route, UsageFacts
from gateway.core.states import Hold, Release
from gateway.erp.command import CommandResult, CommandUnit, ReceivedCommand
from gateway.erp.envelope import answer_row
from gateway.journal.commit.store import Tx
from gateway.journal.payments import approval_holds, lookup, order_checks, payees
from gateway.journal.payments.admission import Admission
from gateway.journal.payments.approval_holds import JudgedOrder
from gateway.journal.payments.limits import OrderClaim
from gateway.registry import Sender
from protocols.canon.errors import Code, Fault, Refusal
from protocols.canon.order import AnyOrder
from protocols.erp import replies
from protocols.erp.replies import Validation
from protocols.erp.words import CommandType, SubmitOrder

READY, HELD, REJECTED, REPLAYED = "ready", "held", "rejected", "replayed"


def may_validate(sender: Sender) -> bool:
    """True if the sender may submit payments, or may only validate them."""
    return bool({CommandType.PAYMENT_VALIDATE.value, CommandType.PAYMENT_SUBMIT.value} & sender.operations)


def validate(received: ReceivedCommand, command: SubmitOrder | Refusal, claimed_id: str | None) -> CommandUnit:
    """The unit that replies. `command` is the order, or the refusal of an unreadable body."""

    def unit(tx: Tx) -> CommandResult:
        if isinstance(command, Refusal):
            found = Validation(claimed_id, received.sender.name, REJECTED, tx.now_ms, refusal=command)
        else:
            found = judged(received, tx, command.order)
        said, reply = replies.payment_validated(found), received.envelope.reply
        bank = found.bank or "none"
        tx.enqueue(answer_row(tx, reply, replies.PAYMENT_VALIDATED, said, found.sender, bank))
        return CommandResult("answered")

    return unit


def judged(received: ReceivedCommand, tx: Tx, order: AnyOrder) -> Validation:
    """What would happen to the order now."""
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
    facts = claim.look()
    if isinstance(facts, str):
        return _known(tx, routed, asked, facts)
    facts = _facts(tx, asked, facts)
    judged_order = JudgedOrder(order, asked.day, asked.judge(facts))
    need = approval_holds.need_of(tx, asked.sender, (judged_order,), asked.approval, count=False)
    return _told(received, routed, route, order, facts, HOLD_BAND if need.approvers else None)


def _known(tx: Tx, routed: Validation, asked: Admission, payment: str) -> Validation:
    row = lookup.fetch(tx.fresh, payment)
    if row is not None and row.order.id == asked.order.id and row.fingerprint == asked.fingerprint:
        return replace(routed, would=REPLAYED, payment=row.payment)
    no = Refusal(Code.ID_CONFLICT, f"id {asked.order.id!r} was used before with other content")
    return replace(routed, refusal=no)


def _facts(tx: Tx, asked: Admission, facts: UsageFacts) -> UsageFacts:
    return payees.looked_at(tx, asked.sender, asked.order, asked.payee_before_ms, facts)


def _told(
    received: ReceivedCommand, routed: Validation, route: Route, order: AnyOrder, facts: UsageFacts, hold: str | None
) -> Validation:
    """All faults at once, of the fields and of the sender's limits, and the hold reasons."""
    allowance, now_ms = received.sender.allowance, received.now_ms
    limits = route.limits_of(order.kind)
    earliest_ms = now_ms if order.not_before is None else max(now_ms, int(order.not_before.timestamp() * 1000))
    send_after_ms = next_open_ms(limits.hours, earliest_ms)
    verdict = policy.judge(order, allowance, facts, at_ms=now_ms, send_after_ms=send_after_ms, hold=hold)
    faults: tuple[Fault, ...] = policy.check(order, route, received.day) + verdict.faults
    holds = policy.in_order({*policy.hold_reasons(order, allowance, facts), *(() if hold is None else (hold,))})
    found = replace(routed, hold_reasons=holds)
    if faults:
        return replace(found, refusal=order_checks.validation(faults, route))
    if isinstance(verdict.event, Hold):
        return replace(found, would=HELD)
    assert isinstance(verdict.event, Release), "a rejection has faults"
    return replace(found, would=READY, send_after_ms=send_after_ms)
