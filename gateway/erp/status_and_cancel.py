"""How an order or a batch stands, and withdrawing it while no byte has left: answered from the journal."""

from __future__ import annotations

from gateway.core.states import Cancel as CancelEvent
from gateway.core.states import Deny
from gateway.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import batch_rows, events, lookup
from gateway.journal.payments import transition as applying
from gateway.journal.payments.batch_rows import BatchRow
from protocols.canon.errors import Code, Refusal
from protocols.canon.outcome import State
from protocols.erp import replies
from protocols.erp.batch_news import BATCH_STATUS, batch_fields
from protocols.erp.words import CancelOrder, StatusQuery


def cancel(arrival: ReceivedCommand, command: CancelOrder) -> CommandUnit:
    """The unit that withdraws an order, or what is left of a batch."""

    def unit(tx: Tx) -> CommandResult:
        if arrival.answered(tx):
            return REPEATED
        row = lookup.find(tx.read, arrival.sender.name, command.id)
        if row is not None:
            return _cancel_order(arrival, tx, row)
        batch = batch_rows.find(tx.read, arrival.sender.name, command.id)
        if batch is not None:
            return _cancel_batch(arrival, tx, batch)
        no = Refusal(Code.UNKNOWN_PAYMENT, f"sender {arrival.sender.name} has no payment or batch {command.id!r}")
        return arrival.refuse(no, command.id)(tx)

    return unit


def _cancel_order(arrival: ReceivedCommand, tx: Tx, row: PaymentRow) -> CommandResult:
    if row.life.state is State.CANCELLED:
        _tell_order(arrival, tx, row)
        return CommandResult("replayed")
    after = _withdrawn(arrival, tx, row)
    if after is None:
        no = Refusal(Code.TOO_LATE, f"the payment is {row.life.state.value}; it can no longer be withdrawn")
        return arrival.refuse(no, row.order.id)(tx)
    _tell_order(arrival, tx, after)
    return CommandResult("cancelled")


def _cancel_batch(arrival: ReceivedCommand, tx: Tx, batch: BatchRow) -> CommandResult:
    rows = batch_rows.items(tx.read, batch.sender, batch.batch)
    withdrawn = sum(_withdrawn(arrival, tx, row) is not None for row in rows if row.life.state is not State.CANCELLED)
    already = sum(row.life.state is State.CANCELLED for row in rows)
    if not withdrawn and not already:
        no = Refusal(Code.TOO_LATE, "no item of the batch can be withdrawn any more")
        return arrival.refuse(no, batch.batch)(tx)
    _tell_batch(arrival, tx, batch)
    return CommandResult("cancelled" if withdrawn else "replayed")


def _withdrawn(arrival: ReceivedCommand, tx: Tx, row: PaymentRow) -> PaymentRow | None:
    """The payment as cancelled; None if it is too late for that."""
    applied = applying.apply(tx, row.payment, CancelEvent(tx.now_ms), epoch=None, actor=arrival.actor)
    assert applied.step is not None and applied.row_after is not None
    denied = any(isinstance(effect, Deny) for effect in applied.step.effects)
    return None if denied else applied.row_after


def status(arrival: ReceivedCommand, command: StatusQuery) -> CommandUnit:
    """The unit that answers how an order or batch stands."""

    def unit(tx: Tx) -> CommandResult:
        if arrival.answered(tx):
            return REPEATED
        sender = arrival.sender.name
        if command.id is not None:
            row = lookup.find(tx.read, sender, command.id)
            batch = None if row is not None else batch_rows.find(tx.read, sender, command.id)
            if batch is not None:
                _tell_batch(arrival, tx, batch)
                return CommandResult("answered")
        else:
            assert command.payment is not None
            row = lookup.fetch(tx.read, command.payment)
        if row is None or row.sender != sender:
            no = Refusal(Code.UNKNOWN_PAYMENT, f"sender {sender} has no such payment or batch")
            return arrival.refuse(no, command.id)(tx)
        _tell_order(arrival, tx, row)
        return CommandResult("answered")

    return unit


def _tell_order(arrival: ReceivedCommand, tx: Tx, row: PaymentRow) -> None:
    said = replies.status_result(events.news_of(row, replies.STATUS_RESULT, row.life.seq, row.changed_ms))
    about = {"payment": row.payment, "state": row.life.state.value}
    arrival.answer(tx, replies.STATUS_RESULT, said, row.bank, about)


def _tell_batch(arrival: ReceivedCommand, tx: Tx, batch: BatchRow) -> None:
    # Read again: the withdrawals of this very unit may have completed it.
    now = batch_rows.find(tx.read, batch.sender, batch.batch)
    assert now is not None
    rows = batch_rows.items(tx.read, batch.sender, batch.batch)
    news = batch_rows.news_of(now, BATCH_STATUS, rows, tx.now_ms)
    arrival.answer(tx, BATCH_STATUS, batch_fields(news), batch.bank, {"batch": batch.batch, "open": now.open_items})
