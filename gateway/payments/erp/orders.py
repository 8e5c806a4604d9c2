"""Intake of single orders: the unit that makes an order a payment, exactly once, or refuses it with all its faults."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.payments.erp import every_fault
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.rows import admission as payments_admission
from gateway.payments.rows import events, lookup, order_checks
from gateway.payments.rows.admission import Admittance
from protocols.canon.errors import Code, Refusal
from protocols.canon.order import AnyOrder
from protocols.erp import fingerprint
from protocols.erp.news import instant


def submit(received: ReceivedCommand, order: AnyOrder) -> CommandUnit:
    """The unit that admits or refuses one order."""
    asked = order_checks.checked(received.source, order)
    if isinstance(asked, Refusal):
        return _refused(received, order, asked)

    def admit_order(tx: Tx) -> CommandResult:
        if received.was_refused(tx) and lookup.find(tx.read, received.sender.name, order.id) is None:
            return received.refuse_again(tx, order.id)
        admitted = payments_admission.admit(tx, asked, received.entropy)
        if admitted.kind is Admittance.CONFLICT:
            return _conflict(received, order, admitted.row)(tx)
        new = admitted.kind is Admittance.NEW
        return CommandResult(admitted.kind.value, (admitted.row,) if new else ())

    return admit_order


def _refused(received: ReceivedCommand, order: AnyOrder, refusal: Refusal) -> CommandUnit:
    """The unit that refuses an order, unless its id belongs to a payment: an accepted order is never reported as
    rejected later."""

    def refuse_order(tx: Tx) -> CommandResult:
        row = lookup.find(tx.fresh, received.sender.name, order.id)
        if row is None:
            return received.refuse(_with_rules(received, tx, order, refusal), order.id)(tx)
        if row.fingerprint != fingerprint.fingerprint(order):
            return _conflict(received, order, row)(tx)
        if events.answered(tx, row, received.envelope.coming, received.envelope.reply):
            return REPEATED
        events.replay(tx, row, received.envelope.reply)
        audit.append(tx, received.actor, "order.repeated", row.payment, {"state": row.life.state.value})
        return CommandResult(Admittance.REPLAYED.value)

    return refuse_order


def _with_rules(received: ReceivedCommand, tx: Tx, order: AnyOrder, refusal: Refusal) -> Refusal:
    """The refusal with every fault of the order, also those that only the journal's sums show."""
    found = every_fault.order_faults(received, tx, order)
    if len(found) <= len(refusal.faults):
        return refusal
    route = received.registry.route_of(order.ours.account.clear)
    title = refusal.title if refusal.code is Code.EXPIRED else order_checks.validation(found, route).title
    return replace(refusal, title=title, faults=found)


def refuse_form(received: ReceivedCommand, refusal: Refusal, claimed_id: str | None, zone: tzinfo) -> CommandUnit:
    """The unit that refuses an order or a batch whose fields are missing or of the wrong form, with the faults that its
    other fields have."""

    def refuse(tx: Tx) -> CommandResult:
        return received.refuse(every_fault.with_register_faults(received, tx, refusal, zone), claimed_id)(tx)

    return refuse


def _conflict(received: ReceivedCommand, order: AnyOrder, row: PaymentRow) -> CommandUnit:
    title = (
        f"id {order.id!r} was used on {instant(row.accepted_ms)} with other content "
        f"(fingerprint {row.fingerprint[:15]}…, now {fingerprint.fingerprint(order)[:15]}…); nothing happened"
    )
    return received.refuse(Refusal(Code.ID_CONFLICT, title), order.id)
