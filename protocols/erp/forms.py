"""The form of each command.

JSON Schema, XSD, AsyncAPI and the reference page are generated from these classes, so the text beside a field is the
documentation of that field.
"""

from __future__ import annotations

from collections.abc import Mapping

from protocols.erp.batch_forms import BatchSubmit, CollectionSubmit, PayrollSubmit
from protocols.erp.form import Form
from protocols.erp.order_forms import PaymentApprove, PaymentCancel, PaymentReject, PaymentSubmit, TransferSubmit
from protocols.erp.question_forms import (
    BalanceQueryForm,
    ReceiptRequestForm,
    StatementRequestForm,
    StatusQueryForm,
    TransactionsQueryForm,
)
from protocols.erp.treasury_forms import (
    CreditClaim,
    LedgerSubmit,
    LedgerWithdraw,
    ReconciliationQueryForm,
    ReportRequestForm,
)
from protocols.erp.words import CommandType

FORMS: Mapping[CommandType, type[Form]] = {
    CommandType.PAYMENT_SUBMIT: PaymentSubmit,
    CommandType.PAYMENT_CANCEL: PaymentCancel,
    CommandType.PAYMENT_APPROVE: PaymentApprove,
    CommandType.PAYMENT_REJECT: PaymentReject,
    CommandType.TRANSFER_SUBMIT: TransferSubmit,
    CommandType.BATCH_SUBMIT: BatchSubmit,
    CommandType.PAYROLL_SUBMIT: PayrollSubmit,
    CommandType.COLLECTION_SUBMIT: CollectionSubmit,
    CommandType.STATUS_QUERY: StatusQueryForm,
    CommandType.BALANCE_QUERY: BalanceQueryForm,
    CommandType.TRANSACTIONS_QUERY: TransactionsQueryForm,
    CommandType.STATEMENT_REQUEST: StatementRequestForm,
    CommandType.RECEIPT_REQUEST: ReceiptRequestForm,
    CommandType.PAYMENT_VALIDATE: PaymentSubmit,
    CommandType.LEDGER_SUBMIT: LedgerSubmit,
    CommandType.LEDGER_WITHDRAW: LedgerWithdraw,
    CommandType.CREDIT_CLAIM: CreditClaim,
    CommandType.RECONCILIATION_QUERY: ReconciliationQueryForm,
    CommandType.REPORT_REQUEST: ReportRequestForm,
}
