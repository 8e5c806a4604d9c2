"""What an ERP can say, as values: what is left of a command once its JSON or XML has been read.

Everything here has passed the contract's own limits. Whether the account exists, the sender may use it and
the bank can carry it is for the gateway to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from protocols.canon.order import Payment
from protocols.canon.party import AccountNumber

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
    STATUS_QUERY = "status.query"
    BALANCE_QUERY = "balance.query"
    TRANSACTIONS_QUERY = "transactions.query"


MONEY_COMMANDS = frozenset({CommandType.PAYMENT_SUBMIT, CommandType.PAYMENT_CANCEL})
"""The commands that need a broker-checked `user-id` and travel through the money queue."""


@dataclass(frozen=True, slots=True)
class Submit:
    """`payment.submit`: carry out this order, exactly once."""

    order: Payment


@dataclass(frozen=True, slots=True)
class Cancel:
    """`payment.cancel`: withdraw the order `id` if no byte of it has left yet."""

    id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """`status.query`: what became of the order? Named by the ERP's `id` or by our `payment` key, exactly
    one.
    """

    id: str | None = None
    payment: str | None = None


@dataclass(frozen=True, slots=True)
class BalanceQuery:
    """`balance.query`: what do these own accounts hold?

    An answer up to `max_age_s` seconds old will do (0: ask the bank). After `max_wait_s` seconds the
    question is answered `expired`.
    """

    accounts: tuple[AccountNumber, ...]
    max_age_s: int
    max_wait_s: int


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


Command = Submit | Cancel | StatusQuery | BalanceQuery | TransactionsQuery
Question = StatusQuery | BalanceQuery | TransactionsQuery
