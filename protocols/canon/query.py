"""Questions to a bank: they move no money and may be asked again at any time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name


@dataclass(frozen=True, slots=True)
class BalanceQuestion:
    """Asks for the balance of an own account: now, or at the end of `on` (a past bank day)."""

    account: AccountNumber
    currency: str = "CNY"
    on: date | None = None


@dataclass(frozen=True, slots=True)
class LinesQuestion:
    """One page of an account's entries, bank dates `first` to `last` inclusive.

    `cursor` is the bank's own continuation as a former page returned it; None asks for the first page.
    """

    account: AccountNumber
    first: date
    last: date
    currency: str = "CNY"
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The values of a payment that were journalled before its first byte left: the keys of every later enquiry about
    it.
    """

    reference: str
    bank_date: date
    attempt: int
    serials: tuple[str, ...]
    amount: Money
    debtor: AccountNumber
    creditor: AccountNumber
    bank_serial: str | None = None


@dataclass(frozen=True, slots=True)
class FateQuestion:
    """Asks for the outcome of a payment, by our reference over bank dates [bank_date-1, bank_date+1]."""

    sent: Sent


@dataclass(frozen=True, slots=True)
class ReturnsQuestion:
    """Asks which payments of this account came back (退汇) between two bank dates. One page, as in LinesQuestion."""

    account: AccountNumber
    first: date
    last: date
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SentBundle:
    """The values of a bundle that were journalled before its first byte left. `reference` is the message's key at the
    bank.
    """

    reference: str
    bank_date: date
    attempt: int
    serials: tuple[str, ...]
    items: tuple[Sent, ...]
    bank_serial: str | None = None


@dataclass(frozen=True, slots=True)
class BundleFateQuestion:
    """Asks for the outcome of each item of a bundle."""

    sent: SentBundle


@dataclass(frozen=True, slots=True)
class ReceiptQuestion:
    """Asks for the electronic receipt (电子回单) of one entry.

    The entry is named by `bank_line_id` (see Line) and `bank_date`, and, if known, by our payment's `reference` and the
    bank's own `bank_serial`. `bundle` is the reference of the message in which the payment was sent with others;
    `creditor` and `creditor_name` are the payee of our payment. `ticket` is the value that the bank gave with the
    answer "later".
    """

    account: AccountNumber
    bank_date: date
    bank_line_id: str = ""
    reference: str | None = None
    bank_serial: str | None = None
    amount: Money | None = None
    ticket: str | None = None
    bundle: str | None = None
    creditor: AccountNumber | None = None
    creditor_name: Name | None = None


@dataclass(frozen=True, slots=True)
class DirectoryQuestion:
    """Asks which branches (联行号) the bank knows by this name, or under this 12-digit number. One page."""

    name: str = ""
    cnaps: str | None = None
    cursor: str | None = None


Question = (
    BalanceQuestion
    | LinesQuestion
    | FateQuestion
    | ReturnsQuestion
    | BundleFateQuestion
    | ReceiptQuestion
    | DirectoryQuestion
)
