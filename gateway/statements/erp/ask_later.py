"""Intake of questions that only a bank can answer: refused at once if the bank cannot, otherwise stored to be asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

from gateway.kernel.commit.rows import PaymentRow, QuestionRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.rows import lookup, redelivery
from gateway.payments.rows.order_checks import validation
from gateway.statements.rows import questions
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.order import AnyOrder
from protocols.canon.party import AccountNumber
from protocols.erp.words import BalanceQuery, BankQuestion, ReceiptRequest, StatementRequest


def ask(received: ReceivedCommand, command: BankQuestion) -> CommandUnit:
    """The unit that stores the question."""
    refusal = _unanswerable(received, command)
    if refusal is not None:
        return received.refuse(refusal)

    def store_question(tx: Tx) -> CommandResult:
        if isinstance(command, ReceiptRequest) and command.account is None:
            refusal = _no_such_payment(received, tx, command)
            if refusal is not None:
                return received.refuse(refusal, command.id)(tx)
        return stored(received, tx, command.max_wait_s)

    return store_question


def stored(received: ReceivedCommand, tx: Tx, max_wait_s: int) -> CommandResult:
    """Store the command as a question, to be answered by the question service within that time."""
    key, coming = received.key, received.envelope.coming
    stamp = received.delivery.properties.timestamp
    asked_ms = received.now_ms if stamp is None else stamp * 1000
    row = QuestionRow(
        question=key,
        sender=received.sender.name,
        operation=received.type.value,
        body=received.delivery.body,
        reply=received.envelope.reply,
        received_ms=received.now_ms,
        expires_ms=min(asked_ms, received.now_ms) + max_wait_s * 1000,
    )
    if redelivery.noted(tx, coming, key, "question.answered"):
        return REPEATED
    if not questions.ask(tx, row):
        if redelivery.noted(tx, coming, key, "question.asked"):
            return REPEATED
        # The same question published twice while the first still waits gets two replies.
        row = replace(row, question=f"{key}.{received.entropy.ulid(tx.now_ms)}")
        questions.ask(tx, row)
    return CommandResult("asked", question=row)


def _unanswerable(received: ReceivedCommand, command: BankQuestion) -> Refusal | None:
    faults = tuple(_faults(received, command))
    if not faults:
        return None
    if all(fault.code is FieldCode.UNSUPPORTED for fault in faults):
        return Refusal(Code.UNSUPPORTED, "; ".join(dict.fromkeys(fault.detail for fault in faults)), faults)
    return validation(faults, None)


def _faults(received: ReceivedCommand, command: BankQuestion) -> Iterator[Fault]:
    for at, account in _accounts(command):
        route = received.registry.route_of(account.clear)
        if route is None:
            yield Fault(at, FieldCode.UNKNOWN_ACCOUNT, "is not in the gateway's account register")
        elif not received.sender.may_use(route.account):
            yield Fault(at, FieldCode.ACCOUNT_NOT_ALLOWED, f"sender {received.sender.name} may not use this account")
        else:
            yield from _unable(received, command, at, route)


def _accounts(command: BankQuestion) -> Iterator[tuple[str, AccountNumber]]:
    if isinstance(command, BalanceQuery):
        yield from ((f"/accounts/{n}", account) for n, account in enumerate(command.accounts))
    elif command.account is not None:
        yield "/account", command.account


def _unable(received: ReceivedCommand, command: BankQuestion, at: str, route: Route) -> Iterator[Fault]:
    """The reason why this account's bank cannot answer the question; None if it can. The days of a list of entries are
    checked later, when the bank is asked."""
    if isinstance(command, BalanceQuery):
        if command.on is not None:
            yield from _past_day(command.on, at, route, received.now_ms)
    elif isinstance(command, StatementRequest):
        if "lines" not in route.answers:
            yield Fault(at, FieldCode.UNSUPPORTED, f"{route.bank} does not list entries")
    elif isinstance(command, ReceiptRequest) and "receipt" not in route.answers:
        yield Fault(at, FieldCode.UNSUPPORTED, f"{route.bank} gives no electronic receipts")


def _past_day(on: date, at: str, route: Route, now_ms: int) -> Iterator[Fault]:
    # The calendar day: after the cut-off today's balance may still change.
    today = local(route.limits.hours, now_ms).date()
    oldest = today - timedelta(days=route.past_days)
    if not route.past_days:
        yield Fault(at, FieldCode.UNSUPPORTED, f"{route.bank} does not report the balances of past days")
    elif on >= today:
        yield Fault("/on", FieldCode.DATE_RANGE, f"is not past at {route.bank}, whose day is {today.isoformat()}")
    elif on < oldest:
        yield Fault(
            "/on",
            FieldCode.DATE_RANGE,
            f"{route.bank} answers about days from {oldest.isoformat()} on",
            route.past_days,
        )


def _no_such_payment(received: ReceivedCommand, tx: Tx, command: ReceiptRequest) -> Refusal | None:
    """The reason why a receipt for this payment cannot be requested: no such payment, never sent, or no receipts at its
    bank."""
    sender = received.sender.name
    row: PaymentRow | None
    if command.id is not None:
        row = lookup.find(tx.read, sender, command.id)
    else:
        assert command.payment is not None
        row = lookup.fetch(tx.read, command.payment)
    if row is None or row.sender != sender:
        return Refusal(Code.UNKNOWN_PAYMENT, f"sender {sender} has no such payment")
    if not row.life.attempt:
        return Refusal(Code.VALIDATION, f"the payment is {row.life.state.value}; it was never sent")
    return _no_receipts(received, row.order)


def _no_receipts(received: ReceivedCommand, order: AnyOrder) -> Refusal | None:
    route = received.registry.route_of(order.ours.account.clear)
    if route is None or not received.sender.may_use(route.account):
        return Refusal(Code.VALIDATION, "this sender may not, or may no longer, use the payment's account")
    if "receipt" not in route.answers:
        return Refusal(Code.UNSUPPORTED, f"{route.bank} gives no electronic receipts")
    return None
