"""Status of orders and batches, and cancellation before the first byte is sent. Answered from the journal."""

from __future__ import annotations

from gateway.kernel.commit.lane_releases import IN_SAFE_MODE, MAY_LACK_SENDS
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import UNSENT, Deny
from gateway.kernel.core.states import Cancel as CancelEvent
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.rows import batch_rows, events, lookup
from gateway.payments.rows import transition as applying
from gateway.payments.rows.batch_rows import BatchRow
from protocols.canon.errors import Code, Refusal
from protocols.canon.outcome import State
from protocols.erp import replies
from protocols.erp.batch_news import BATCH_STATUS, batch_fields
from protocols.erp.words import CancelOrder, StatusQuery

_SAFE_MODE = f"{IN_SAFE_MODE}cancel it again, in a new message, once SAFE MODE has ended"


def cancel(received: ReceivedCommand, command: CancelOrder) -> CommandUnit:
    """The unit that cancels an order, or the open items of a batch.

    If the journal may lack sends of a lane, an unsent order of the lane may be at the bank: it is not cancelled.
    """

    def cancel_order_or_batch(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        row = lookup.find(tx.read, received.sender.name, command.id)
        if row is not None:
            return _cancel_order(received, tx, row)
        batch = batch_rows.find(tx.read, received.sender.name, command.id)
        if batch is not None:
            return _cancel_batch(received, tx, batch)
        no = Refusal(Code.UNKNOWN_PAYMENT, f"sender {received.sender.name} has no payment or batch {command.id!r}")
        return received.refuse(no, command.id)(tx)

    return cancel_order_or_batch


def _cancel_order(received: ReceivedCommand, tx: Tx, row: PaymentRow) -> CommandResult:
    if row.life.state is State.CANCELLED:
        _tell_order(received, tx, row)
        return CommandResult("replayed")
    if row.life.state in UNSENT and tx.ports.of(MAY_LACK_SENDS)(row.lane):
        return received.refuse(Refusal(Code.TOO_LATE, _SAFE_MODE), row.order.id)(tx)
    after = _withdrawn(received, tx, row)
    if after is None:
        no = Refusal(Code.TOO_LATE, f"the payment is {row.life.state.value}; it can no longer be withdrawn")
        return received.refuse(no, row.order.id)(tx)
    _tell_order(received, tx, after)
    return CommandResult("cancelled")


def _cancel_batch(received: ReceivedCommand, tx: Tx, batch: BatchRow) -> CommandResult:
    rows = batch_rows.items(tx.read, batch.sender, batch.batch)
    if any(row.life.state in UNSENT for row in rows) and tx.ports.of(MAY_LACK_SENDS)(batch.lane):
        return received.refuse(Refusal(Code.TOO_LATE, _SAFE_MODE), batch.batch)(tx)
    withdrawn = sum(_withdrawn(received, tx, row) is not None for row in rows if row.life.state is not State.CANCELLED)
    already = sum(row.life.state is State.CANCELLED for row in rows)
    if not withdrawn and not already:
        no = Refusal(Code.TOO_LATE, "no item of the batch can be withdrawn any more")
        return received.refuse(no, batch.batch)(tx)
    _tell_batch(received, tx, batch)
    return CommandResult("cancelled" if withdrawn else "replayed")


def _withdrawn(received: ReceivedCommand, tx: Tx, row: PaymentRow) -> PaymentRow | None:
    """The payment after its cancellation; None if it is too late to cancel it."""
    applied = applying.apply(tx, row.payment, CancelEvent(tx.now_ms), epoch=None, actor=received.actor)
    assert applied.step is not None and applied.row_after is not None
    denied = any(isinstance(effect, Deny) for effect in applied.step.effects)
    return None if denied else applied.row_after


def status(received: ReceivedCommand, command: StatusQuery) -> CommandUnit:
    """The unit that answers a status query for an order or a batch."""

    def answer_status(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        sender = received.sender.name
        if command.id is not None:
            row = lookup.find(tx.read, sender, command.id)
            batch = None if row is not None else batch_rows.find(tx.read, sender, command.id)
            if batch is not None:
                _tell_batch(received, tx, batch)
                return CommandResult("answered")
        else:
            assert command.payment is not None
            row = lookup.fetch(tx.read, command.payment)
        if row is None or row.sender != sender:
            no = Refusal(Code.UNKNOWN_PAYMENT, f"sender {sender} has no such payment or batch")
            return received.refuse(no, command.id)(tx)
        _tell_order(received, tx, row)
        return CommandResult("answered")

    return answer_status


def tell(received: ReceivedCommand, tx: Tx, id_: str) -> None:
    """Reply with the present state of an existing order or batch."""
    row = lookup.find(tx.read, received.sender.name, id_)
    batch = None if row is not None else batch_rows.find(tx.read, received.sender.name, id_)
    if row is not None:
        _tell_order(received, tx, row)
    elif batch is not None:
        _tell_batch(received, tx, batch)


def _tell_order(received: ReceivedCommand, tx: Tx, row: PaymentRow) -> None:
    said = replies.status_result(events.news_of(row, replies.STATUS_RESULT, row.life.seq, row.changed_ms))
    about = {"payment": row.payment, "state": row.life.state.value}
    received.answer(tx, replies.STATUS_RESULT, said, row.bank, about)


def _tell_batch(received: ReceivedCommand, tx: Tx, batch: BatchRow) -> None:
    # Read again: the cancellations in this unit may have completed it.
    now = batch_rows.find(tx.read, batch.sender, batch.batch)
    assert now is not None
    rows = batch_rows.items(tx.read, batch.sender, batch.batch)
    news = batch_rows.news_of(now, BATCH_STATUS, rows, tx.now_ms)
    received.answer(tx, BATCH_STATUS, batch_fields(news), batch.bank, {"batch": batch.batch, "open": now.open_items})
