"""The ERP's commands as values: a command after its JSON or XML has been read.

All values here have passed the contract's own limits. The gateway decides whether the account exists, whether the
sender may use it, and whether the bank can carry the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from protocols.canon.order import AnyOrder, Kind, Order, PaymentDetail, TransferDetail
from protocols.canon.party import AccountNumber
from protocols.erp.treasury_words import TreasuryCommand, TreasuryQuestion

MAX_BODY_BYTES = 1_048_576
"""The largest body of a command, in bytes; a larger one is refused as `too_large` before it is read."""
MAX_ID_CHARS = 64
"""The longest id of an order, in characters; it also fits every AMQP property of this contract."""
MAX_PROPERTY_CHARS = 128
"""The longest message-id and correlation-id: longer ones change their place on the way through AMQP 1.0."""


class CommandType(StrEnum):
    """The commands this version understands; the name is also routing key and XML element."""

    PAYMENT_SUBMIT = "payment.submit"
    PAYMENT_CANCEL = "payment.cancel"
    PAYMENT_APPROVE = "payment.approve"
    PAYMENT_REJECT = "payment.reject"
    TRANSFER_SUBMIT = "transfer.submit"
    BATCH_SUBMIT = "batch.submit"
    PAYROLL_SUBMIT = "payroll.submit"
    COLLECTION_SUBMIT = "collection.submit"
    STATUS_QUERY = "status.query"
    BALANCE_QUERY = "balance.query"
    TRANSACTIONS_QUERY = "transactions.query"
    STATEMENT_REQUEST = "statement.request"
    RECEIPT_REQUEST = "receipt.request"
    PAYMENT_VALIDATE = "payment.validate"
    LEDGER_SUBMIT = "ledger.submit"
    LEDGER_WITHDRAW = "ledger.withdraw"
    CREDIT_CLAIM = "credit.claim"
    RECONCILIATION_QUERY = "reconciliation.query"
    REPORT_REQUEST = "report.request"


SINGLE_ORDERS = frozenset({CommandType.PAYMENT_SUBMIT, CommandType.TRANSFER_SUBMIT})
"""The commands that hold one order."""
BATCHES = frozenset({CommandType.BATCH_SUBMIT, CommandType.PAYROLL_SUBMIT, CommandType.COLLECTION_SUBMIT})
"""The commands that hold many orders."""
DECISIONS = frozenset({CommandType.PAYMENT_APPROVE, CommandType.PAYMENT_REJECT})
"""The commands that bring a person's signed word about an order or a batch."""
MONEY_COMMANDS = SINGLE_ORDERS | BATCHES | DECISIONS | {CommandType.PAYMENT_CANCEL}
"""The commands that need a broker-checked `user-id` and travel through the money queue."""
TREASURY_COMMANDS = frozenset({CommandType.LEDGER_SUBMIT, CommandType.LEDGER_WITHDRAW, CommandType.CREDIT_CLAIM})
"""The commands that change the treasury's tables; they need a broker-checked `user-id` too."""

MAX_ITEMS = 1_000
"""The most items of one batch."""


@dataclass(frozen=True, slots=True)
class SubmitOrder:
    """`payment.submit` or `transfer.submit`: carry out this order, exactly once."""

    order: Order[PaymentDetail] | Order[TransferDetail]


class OnItemError(StrEnum):
    """The treatment of a batch if one of its items cannot be sent."""

    REFUSE_BATCH = "refuse_batch"
    REFUSE_ITEM = "refuse_item"


@dataclass(frozen=True, slots=True)
class SubmitBatch:
    """`batch.submit`, `payroll.submit` or `collection.submit`: carry out each of these orders, exactly once.

    Never empty. All orders have the same kind, own account and currency; their count and sum were those of the head.
    """

    id: str
    orders: tuple[AnyOrder, ...]
    on_item_error: OnItemError = OnItemError.REFUSE_BATCH
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """The kind that all orders have."""
        return self.orders[0].kind

    @property
    def sum_minor(self) -> int:
        """The sum of the orders' amounts, in minor units of their one currency."""
        return sum(order.amount.minor for order in self.orders)


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """`payment.cancel`: withdraw the order or batch `id`, as far as no byte has been sent yet."""

    id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DecideOrder:
    """`payment.approve` or `payment.reject`: an enrolled person's signature over the digest of an order or batch.

    `id` names the order or batch. The ERP itself cannot approve.
    """

    id: str
    approves: bool
    person: str
    digest: str
    signature: bytes
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """`status.query`: the state of an order or batch, named by the ERP's `id` or by our `payment` key, exactly one."""

    id: str | None = None
    payment: str | None = None


@dataclass(frozen=True, slots=True)
class BalanceQuery:
    """`balance.query`: the balances of these own accounts, now or at the end of the bank day `on`.

    An answer up to `max_age_s` seconds old is sufficient (0: ask the bank). After `max_wait_s` seconds the question is
    answered with `expired`.
    """

    accounts: tuple[AccountNumber, ...]
    max_age_s: int
    max_wait_s: int
    on: date | None = None


@dataclass(frozen=True, slots=True)
class TransactionsQuery:
    """`transactions.query`: one page of an own account's entries, bank dates `first` to `last` inclusive.

    `after` is the `next` of the page before, still sealed; None asks for the first page. `limit` is the
    most lines wanted in one page.
    """

    account: AccountNumber
    first: date
    last: date
    after: str | None
    limit: int
    max_wait_s: int


@dataclass(frozen=True, slots=True)
class StatementRequest:
    """`statement.request`: all entries of an own account on one bank day, proven complete.

    Paged as TransactionsQuery.
    """

    account: AccountNumber
    day: date
    after: str | None
    limit: int
    max_wait_s: int


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """`receipt.request`: the electronic receipt of one entry, page `page` of it (from 1).

    Named by a payment's `id` or `payment` key, or by an entry's `account`, `bank_date` and `bank_line_id`.
    """

    page: int
    max_wait_s: int
    id: str | None = None
    payment: str | None = None
    account: AccountNumber | None = None
    bank_date: date | None = None
    bank_line_id: str | None = None


@dataclass(frozen=True, slots=True)
class SubmitFile:
    """A pain.001 or pain.008: several orders or batches in one message, each with its own state.

    `message_id` and `name` (as in `pain.001.001.09`) are the file's. Never empty.
    """

    message_id: str
    name: str
    parts: tuple[SubmitOrder | SubmitBatch, ...]


BankQuestion = BalanceQuery | TransactionsQuery | StatementRequest | ReceiptRequest
"""The questions that only a bank can answer."""
StoredQuestion = BankQuestion | TreasuryQuestion
"""The questions that are answered after the unit that recorded them; they wait in the journal until then."""
QuestionCommand = StatusQuery | StoredQuestion
Command = SubmitOrder | SubmitBatch | SubmitFile | CancelOrder | DecideOrder | QuestionCommand | TreasuryCommand
