"""The bodies of refusals and of `status.result`, and the writing of every body: in JSON or XML, like its command.

`news` has the content for payments, `batch_news` for batches, `account_replies` for accounts, `treasury_replies` for
the treasury.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from protocols.canon.errors import Code, Refusal
from protocols.erp import xml_form
from protocols.erp.account_forms import (
    BalanceResult,
    ReceiptReady,
    StatementClosed,
    StatementReady,
    TransactionBooked,
    TransactionsPage,
)
from protocols.erp.batch_news import BATCH_ACCEPTED, BATCH_COMPLETED, BATCH_REJECTED, BATCH_STATUS
from protocols.erp.iso import writing
from protocols.erp.news import News, error_fields, fields, instant, put_holds, write_json
from protocols.erp.reply_forms import BatchNewsForm, PaymentNews, PaymentValidated, Rejected
from protocols.erp.treasury_reply_forms import (
    CreditNews,
    CreditResult,
    ExceptionNews,
    LedgerClosed,
    LedgerResult,
    ReconciliationCompleted,
    ReconciliationMatched,
    ReconciliationResult,
    ReportReady,
)
from protocols.erp.words import BATCHES, SINGLE_ORDERS, CommandType

PAYMENT_ACCEPTED, PAYMENT_REJECTED = "payment.accepted", "payment.rejected"
PAYMENT_VALIDATED, COMMAND_REJECTED = "payment.validated", "command.rejected"
STATUS_RESULT, BALANCE_RESULT, TRANSACTIONS_PAGE = "status.result", "balance.result", "transactions.page"
STATEMENT_READY, RECEIPT_READY = "statement.ready", "receipt.ready"
TRANSACTION_BOOKED, STATEMENT_CLOSED = "transaction.booked", "statement.closed"
LEDGER_RESULT, LEDGER_CLOSED = "ledger.result", "ledger.closed"
CREDIT_RESULT, CREDIT_CLAIMED, CREDIT_RELEASED = "credit.result", "credit.claimed", "credit.released"
RECONCILIATION_RESULT, REPORT_READY = "reconciliation.result", "report.ready"
RECONCILIATION_MATCHED, RECONCILIATION_EXCEPTION = "reconciliation.matched", "reconciliation.exception"
RECONCILIATION_COMPLETED = "reconciliation.completed"

_FORMS: Mapping[str, type[BaseModel]] = {
    PAYMENT_VALIDATED: PaymentValidated,
    COMMAND_REJECTED: Rejected,
    BATCH_REJECTED: Rejected,
    BATCH_ACCEPTED: BatchNewsForm,
    BATCH_STATUS: BatchNewsForm,
    BATCH_COMPLETED: BatchNewsForm,
    BALANCE_RESULT: BalanceResult,
    TRANSACTIONS_PAGE: TransactionsPage,
    STATEMENT_READY: StatementReady,
    RECEIPT_READY: ReceiptReady,
    TRANSACTION_BOOKED: TransactionBooked,
    STATEMENT_CLOSED: StatementClosed,
    LEDGER_RESULT: LedgerResult,
    LEDGER_CLOSED: LedgerClosed,
    CREDIT_RESULT: CreditResult,
    CREDIT_CLAIMED: CreditNews,
    CREDIT_RELEASED: CreditNews,
    RECONCILIATION_RESULT: ReconciliationResult,
    REPORT_READY: ReportReady,
    RECONCILIATION_MATCHED: ReconciliationMatched,
    RECONCILIATION_EXCEPTION: ExceptionNews,
    RECONCILIATION_COMPLETED: ReconciliationCompleted,
}


def reply_body(name: str, said: Mapping[str, Any], content_type: str = "application/json", at_ms: int = 0) -> bytes:
    """The body of reply or event `name` (its AMQP type) in either form, written at `at_ms`.

    `content_type` as `commands.answer_form` makes it. If it names a message of ISO 20022 that can express this body,
    that message is written, else the plain form.
    """
    content_type, _, message = content_type.partition(";message=")
    if message:
        found = writing.iso_message(name, said, message, writing.now(at_ms))
        if found is not None:
            return found
    if content_type == "application/xml":
        return xml_form.xml_document(name, said, _FORMS.get(name, PaymentNews))
    return write_json(said)


def media_of(body: bytes) -> str:
    """The content type of a body that `write` made."""
    return "application/xml" if body.startswith(b"<") else "application/json"


def rejection_name(command: CommandType | None) -> str:
    """The name of this command's refusal: only a refused order is a rejected payment."""
    if command in SINGLE_ORDERS:
        return PAYMENT_REJECTED
    return BATCH_REJECTED if command in BATCHES else COMMAND_REJECTED


def rejection(command: CommandType | None, id_: str | None, refusal: Refusal, *, taken: bool = False) -> dict[str, Any]:
    """The refusal of a command. `id_` is what `claimed_id` could read.

    After `id_conflict`, and if the id is `taken`, there is no `state`, because the id belongs to an earlier order or
    batch, about which nothing is stated. A reader that took the state for the earlier one's would pay again.
    """
    said: dict[str, Any] = {"event": rejection_name(command)}
    if command is not None:
        said["command"] = command.value
    if id_ is not None:
        said["id"] = id_
    if command in SINGLE_ORDERS | BATCHES and refusal.code is not Code.ID_CONFLICT and not taken:
        said["state"] = "rejected"
    said["error"] = error_fields(refusal)
    return said


def status_result(news: News) -> dict[str, Any]:
    """The reply about a payment: its current state, with all fields of its last event."""
    return fields(replace(news, event=STATUS_RESULT))


@dataclass(frozen=True, slots=True)
class Validation:
    """The result that `payment.submit` would have for an order. `would` is ready, held, rejected, or replayed (it is
    known).

    `refusal` has every error at once; `hold_reasons` are listed beside errors, too. `payment` is the known one.
    """

    id: str | None
    sender: str
    would: str
    at_ms: int
    bank: str | None = None
    lane: str | None = None
    hold_reasons: tuple[str, ...] = ()
    send_after_ms: int | None = None
    payment: str | None = None
    refusal: Refusal | None = None


def payment_validated(found: Validation) -> dict[str, Any]:
    """The body of `payment.validated`."""
    said: dict[str, Any] = {"event": PAYMENT_VALIDATED}
    if found.id is not None:
        said["id"] = found.id
    said.update(sender=found.sender, would=found.would, at=instant(found.at_ms))
    for name, value in (("bank", found.bank), ("lane", found.lane), ("payment", found.payment)):
        if value is not None:
            said[name] = value
    put_holds(said, found.hold_reasons)
    if found.send_after_ms is not None:
        said["send_after"] = instant(found.send_after_ms)
    if found.refusal is not None:
        said["error"] = error_fields(found.refusal)
    return said
