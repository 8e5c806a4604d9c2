"""Balances, entries, returns and receipts of an account, as a bank reports them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name


class Direction(StrEnum):
    """The direction of an entry for the account's holder: money in is credit, money out is debit."""

    CREDIT = "credit"
    DEBIT = "debit"


@dataclass(frozen=True, slots=True)
class Balance:
    """Amounts the bank stated. A bank that does not state one leaves it None; nothing is computed.

    `host_date` is the date of the bank's host, if the answer states it.
    """

    account: AccountNumber
    book: Money | None
    available: Money | None
    frozen: Money | None = None
    previous_day: Money | None = None
    as_of: datetime | None = None
    host_date: date | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of an account. `bank_line_id` is the bank's own key; two real entries may be equal in everything else.

    `occurrence` counts entries to which the bank gives the same key (a fee row has its payment's): 0, 1, 2 …
    `reference` is our payment reference, if the bank returns it. `reversal`: the bank marks the entry as one that
    reverses another (冲正); such an entry is never the booking of a payment.
    """

    account: AccountNumber
    bank_line_id: str
    direction: Direction
    amount: Money
    bank_date: date
    booked_at: datetime | None = None
    value_date: date | None = None
    counterparty_account: AccountNumber | None = None
    counterparty_name: Name | None = None
    counterparty_bank: str | None = None
    text: str = ""
    balance: Money | None = None
    reference: str | None = None
    occurrence: int = 0
    fee: bool = False
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of entries. `cursor` asks for the next one; None means that the bank marked the page as the last one.

    `total_lines` is the bank's own count over the whole walk, if it states one. `findings` are sentences for persons
    about oddities of a page that was read all the same (a sum that does not fit, a missing statement before it).
    `unread` is the number of its rows that could not be read and are left out; its day is not closed. `host_date`: as
    in Balance; a list of today states it by its entries.
    """

    lines: tuple[Line, ...]
    cursor: str | None = None
    total_lines: int | None = None
    opening: Money | None = None
    closing: Money | None = None
    findings: tuple[str, ...] = ()
    unread: int = 0
    host_date: date | None = None


@dataclass(frozen=True, slots=True)
class Return:
    """A payment that came back after it was settled (退汇), as the bank reports it.

    `reference` may be that of a message of many orders, where the bank does not say which of them came back.
    """

    reference: str
    amount: Money | None
    returned_on: date | None
    text: str = ""
    reversed: bool = False


@dataclass(frozen=True, slots=True)
class ReturnsPage:
    """One page of returns; `cursor` and `findings` as in Page: a row that cannot be read is a finding."""

    returns: tuple[Return, ...]
    cursor: str | None = None
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receipt:
    """An electronic receipt as the bank made it; `name` is the bank's file name."""

    data: bytes
    media_type: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptLater:
    """The bank is still making the receipt: ask again with `ticket`, in `after_s` seconds at the earliest."""

    ticket: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch in the bank directory: its 12-digit payment-system number (联行号) and its name."""

    cnaps: str
    name: str
    bank_name: str = ""
    city: str = ""


@dataclass(frozen=True, slots=True)
class DirectoryPage:
    """One page of branches; `cursor` has the meaning that it has in Page."""

    branches: tuple[Branch, ...]
    cursor: str | None = None
