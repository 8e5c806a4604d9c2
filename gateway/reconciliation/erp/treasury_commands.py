"""Intake of an ERP's treasury commands: parts of books, claims of money received, questions.

A book's last part is stored as a question, because adding up 100,000 rows takes seconds, and no unit may delay a
payment for so long. It is answered when the book is in force, or dropped.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.kernel.commit.store import Tx
from gateway.kernel.core.hours import local
from gateway.payments.erp.command import REPEATED, CommandResult, CommandUnit, ReceivedCommand
from gateway.payments.rows import events, redelivery
from gateway.payments.rows.order_checks import validation
from gateway.reconciliation.erp.treasury_port import TreasuryPort
from gateway.statements.erp.ask_later import stored
from gateway.statements.rows import credit_claims
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.party import AccountNumber
from protocols.erp import replies
from protocols.erp.treasury_replies import ClaimState, LedgerState, credit_news, credit_result, ledger_result
from protocols.erp.treasury_words import (
    ClaimCredit,
    ReconciliationQuery,
    SubmitLedger,
    TreasuryCommand,
    TreasuryQuestion,
    WithdrawLedger,
)

ARRIVING = "arriving"
CLOSING_S = 86_400
"""How long a whole book may wait to be added up."""


def change(received: ReceivedCommand, command: TreasuryCommand, treasury: TreasuryPort) -> CommandUnit:
    """The unit for a command that changes the treasury's tables."""
    if isinstance(command, SubmitLedger):
        return _submit(received, command, treasury)
    if isinstance(command, WithdrawLedger):
        return _withdraw(received, command, treasury)
    return _claim(received, command)


def ask(received: ReceivedCommand, question: TreasuryQuestion) -> CommandUnit:
    """The unit that stores a question."""
    account = question.account
    if account is not None or isinstance(question, ReconciliationQuery):
        assert account is not None
        faults = tuple(_account_faults(received, account))
        if faults:
            return received.refuse(validation(faults, None))
    return lambda tx: stored(received, tx, question.max_wait_s)


def _submit(received: ReceivedCommand, part: SubmitLedger, treasury: TreasuryPort) -> CommandUnit:
    faults = tuple(_account_faults(received, part.head.account))
    route = received.registry.route_of(part.head.account.clear)
    if route is not None and not faults and route.currency != part.head.currency:
        faults = (Fault("/currency", FieldCode.CURRENCY, f"the account keeps {route.currency}"),)
    if not faults and route is not None and part.head.last > local(route.limits.hours, received.now_ms).date():
        faults = (Fault("/to", FieldCode.DATE_RANGE, "is in the future"),)
    if faults:
        return received.refuse(_refused(faults), part.id)
    assert route is not None

    def take_part(tx: Tx) -> CommandResult:
        if received.answered(tx) or redelivery.noted(tx, received.envelope.coming, received.key, "question.asked"):
            return REPEATED
        said = treasury.take_part(tx, received.sender.name, part, received.actor)
        if isinstance(said, Refusal):
            return received.refuse(said, part.id)(tx)
        if said.state == ARRIVING and said.received == part.head.parts:
            return stored(received, tx, CLOSING_S)
        _tell(received, tx, said, route.bank)
        return CommandResult("replayed" if said.replayed else said.state)

    return take_part


def _withdraw(received: ReceivedCommand, command: WithdrawLedger, treasury: TreasuryPort) -> CommandUnit:
    def withdraw_book(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        said = treasury.withdraw(tx, received.sender.name, command, received.actor)
        if isinstance(said, Refusal):
            return received.refuse(said, command.id)(tx)
        route = received.registry.route_of(said.head.account.clear)
        _tell(received, tx, said, None if route is None else route.bank)
        return CommandResult("replayed" if said.replayed else said.state)

    return withdraw_book


def _tell(received: ReceivedCommand, tx: Tx, said: LedgerState, bank: str | None) -> None:
    about = {"book": said.book, "state": said.state, "received": said.received}
    received.answer(tx, replies.LEDGER_RESULT, ledger_result(said), bank or "", about)


def _claim(received: ReceivedCommand, command: ClaimCredit) -> CommandUnit:
    faults = tuple(_account_faults(received, command.account))
    route = received.registry.route_of(command.account.clear)
    if faults or route is None:
        return received.refuse(_refused(faults), command.id)
    hearers = received.registry.hearers(route.account)

    def claim_credit(tx: Tx) -> CommandResult:
        if received.answered(tx):
            return REPEATED
        said = credit_claims.claim(tx, received.sender.name, command, received.actor)
        if isinstance(said, Refusal):
            return received.refuse(said, command.id)(tx)
        received.answer(tx, replies.CREDIT_RESULT, credit_result(said), route.bank, {"line": said.line})
        if said.new:
            _news(tx, said, route.bank, hearers)
        return CommandResult("claimed" if said.claimed else "released")

    return claim_credit


def _news(tx: Tx, said: ClaimState, bank: str, hearers: Iterable[str]) -> None:
    for sender in hearers:
        events.tell(tx, credit_news(said, sender, bank, tx.now_ms), bank, sender)


def _account_faults(received: ReceivedCommand, account: AccountNumber) -> Iterable[Fault]:
    route = received.registry.route_of(account.clear)
    if route is None:
        yield Fault("/account", FieldCode.UNKNOWN_ACCOUNT, "is not in the gateway's account register")
    elif not received.sender.may_use(route.account):
        yield Fault(
            "/account", FieldCode.ACCOUNT_NOT_ALLOWED, f"sender {received.sender.name} may not use this account"
        )


def _refused(faults: tuple[Fault, ...]) -> Refusal:
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be taken", faults)
