"""Intake of batches: the unit that makes all items payments, exactly once and together, or refuses the batch."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core import policy
from gateway.kernel.core.policy import Route
from gateway.payments.erp import every_fault
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.erp.dry_build import DryBuild
from gateway.payments.rows import batch_rows, batches, order_checks
from gateway.payments.rows.admission import Admittance
from gateway.payments.rows.batch_rows import BatchRow
from gateway.payments.rows.batches import BatchAdmission
from protocols.canon.errors import Code, Fault, Refusal
from protocols.canon.money import Money
from protocols.erp import fingerprint
from protocols.erp.batch_news import BATCH_ACCEPTED, batch_fields
from protocols.erp.words import OnItemError, SubmitBatch


def submit(received: ReceivedCommand, command: SubmitBatch) -> CommandUnit:
    """The unit that admits or refuses one batch."""
    found = _fit(received, command)
    if isinstance(found, Refusal):
        return _refused(received, command, found)
    # Checking a thousand items takes tens of milliseconds: the writer's thread does it, not the reactor's, and once.
    asked = cache(partial(_admission, received, command, found))

    def admit_batch(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        admitted = batches.admit(tx, asked(), received.entropy, barred=received.was_refused(tx))
        if admitted is None:
            return received.refuse_again(tx, command.id)
        if isinstance(admitted, Refusal):
            return received.refuse(admitted, command.id)(tx)
        if isinstance(admitted, BatchRow):
            return _again(received, tx, admitted)
        _answer(received, tx, admitted.row, admitted.items)
        return CommandResult(Admittance.NEW.value, admitted.items)

    return admit_batch


def _fit(received: ReceivedCommand, command: SubmitBatch) -> Route | Refusal:
    """The route of the batch, or why it cannot be sent. These checks need no journal and concern no single item."""
    first = command.orders[0]
    route = order_checks.route_of(received.source, first)
    if isinstance(route, Refusal):
        return route
    if command.kind not in route.kinds:
        return Refusal(Code.UNSUPPORTED, f"{route.bank} carries no {command.kind.value} orders here")
    faults = policy.batch_faults(Money(command.sum_minor, first.amount.currency), received.sender.allowance)
    return order_checks.validation(faults, route) if faults else route


def _admission(received: ReceivedCommand, command: SubmitBatch, route: Route) -> BatchAdmission:
    total = Money(command.sum_minor, command.orders[0].amount.currency)
    # The sum decides the approval band, so that many small payments do not avoid it.
    held = policy.held_by_band(total.minor, received.sender.allowance)
    source = received.source
    items = tuple(
        order_checks.item_admission(source, order, route, (command.id, number), faults, band_of_whole=held)
        for number, (order, faults) in enumerate(zip(command.orders, _faults(received, command, route), strict=True), 1)
    )
    return BatchAdmission(
        sender=received.sender.name,
        bank=route.bank,
        lane=route.lane,
        batch=command.id,
        kind=command.kind,
        fingerprint=fingerprint.batch_fingerprint(command),
        total=total,
        items=items,
        whole=command.on_item_error is OnItemError.REFUSE_BATCH,
        reply=received.envelope.reply,
        actor=received.actor,
        tags=command.tags,
    )


def _faults(received: ReceivedCommand, command: SubmitBatch, route: Route) -> list[tuple[Fault, ...]]:
    """The faults of each item. An item whose message cannot be built has a fault, because it would hold up the other
    items later."""
    found = [policy.check(order, route, received.day) for order in command.orders]
    sound = [n for n, faults in enumerate(found) if not faults]
    dry = DryBuild(received.registry.banks[route.bank], route, command.kind, received.day, received.now)
    for n, faults in zip(sound, dry.of_all([command.orders[n] for n in sound]), strict=True):
        found[n] = faults
    return found


def _refused(received: ReceivedCommand, command: SubmitBatch, refusal: Refusal) -> CommandUnit:
    """The unit that refuses a batch. If the batch was accepted before, it answers with the present state instead."""

    def refuse_batch(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        row = batch_rows.find(tx.fresh, received.sender.name, command.id)
        if row is None:
            return received.refuse(_with_items(received, tx, command, refusal), command.id)(tx)
        if row.fingerprint != fingerprint.batch_fingerprint(command):
            title = f"batch {command.id!r} was used before with other content; nothing happened"
            return received.refuse(Refusal(Code.ID_CONFLICT, title), command.id)(tx)
        return _again(received, tx, row)

    return refuse_batch


def _with_items(received: ReceivedCommand, tx: Tx, command: SubmitBatch, refusal: Refusal) -> Refusal:
    """The refusal of the whole batch, with the faults of every item."""
    if refusal.code not in (Code.VALIDATION, Code.EXPIRED):
        return refusal
    found = every_fault.batch_faults(received, tx, command)
    return replace(refusal, faults=found) if len(found) > len(refusal.faults) else refusal


def _again(received: ReceivedCommand, tx: Tx, row: BatchRow) -> CommandResult:
    _answer(received, tx, row, batch_rows.items(tx.fresh, row.sender, row.batch), replayed=True)
    return CommandResult(Admittance.REPLAYED.value)


def _answer(
    received: ReceivedCommand, tx: Tx, row: BatchRow, items: tuple[PaymentRow, ...], *, replayed: bool = False
) -> None:
    news = batch_rows.news_of(row, BATCH_ACCEPTED, items, tx.now_ms, replayed=replayed)
    received.answer(tx, BATCH_ACCEPTED, batch_fields(news), row.bank, {"batch": row.batch, "replayed": replayed})
