"""Intake of single orders: the unit that makes an order a payment, exactly once, or refuses it with all its faults."""

from __future__ import annotations

from gateway.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import admission as payments_admission
from gateway.journal.payments import events, lookup, order_checks
from gateway.journal.payments.admission import Admittance
from protocols.canon.errors import Code, Refusal
from protocols.canon.order import AnyOrder
from protocols.erp import fingerprint
from protocols.erp.news import instant


def submit(received: ReceivedCommand, order: AnyOrder) -> CommandUnit:
    """The unit of one order."""
    asked = order_checks.checked(received.source, order)
    if isinstance(asked, Refusal):
        return _refused(received, order, asked)

    def unit(tx: Tx) -> CommandResult:
        if received.was_refused(tx) and lookup.find(tx.read, received.sender.name, order.id) is None:
            return received.refuse_again(tx, order.id)
        admitted = payments_admission.admit(tx, asked, received.entropy)
        if admitted.kind is Admittance.CONFLICT:
            return _conflict(received, order, admitted.row)(tx)
        new = admitted.kind is Admittance.NEW
        return CommandResult(admitted.kind.value, (admitted.row,) if new else ())

    return unit


def _refused(received: ReceivedCommand, order: AnyOrder, refusal: Refusal) -> CommandUnit:
    """Refuse an order, unless its id belongs to a payment: an accepted order is never reported as rejected later."""

    def unit(tx: Tx) -> CommandResult:
        row = lookup.find(tx.fresh, received.sender.name, order.id)
        if row is None:
            return received.refuse(refusal, order.id)(tx)
        if row.fingerprint != fingerprint.fingerprint(order):
            return _conflict(received, order, row)(tx)
        if events.answered(tx, row, received.envelope.coming, received.envelope.reply):
            return REPEATED
        events.replay(tx, row, received.envelope.reply)
        audit.append(tx, received.actor, "order.repeated", row.payment, {"state": row.life.state.value})
        return CommandResult(Admittance.REPLAYED.value)

    return unit


def _conflict(received: ReceivedCommand, order: AnyOrder, row: PaymentRow) -> CommandUnit:
    title = (
        f"id {order.id!r} was used on {instant(row.accepted_ms)} with other content "
        f"(fingerprint {row.fingerprint[:15]}…, now {fingerprint.fingerprint(order)[:15]}…); nothing happened"
    )
    return received.refuse(Refusal(Code.ID_CONFLICT, title), order.id)
