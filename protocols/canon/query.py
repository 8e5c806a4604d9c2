"""Questions: they move nothing and may be asked again at will."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name


@dataclass(frozen=True, slots=True)
class BalanceQuestion:
    """What an own account holds: now, or at the end of `on` (a past bank day)."""

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
    """What was journalled before a payment's first byte left: the keys of every later enquiry about it."""

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
    """What became of a payment? Asked by our reference over bank dates [bank_date-1, bank_date+1]."""

    sent: Sent


@dataclass(frozen=True, slots=True)
class ReturnsQuestion:
    """Which payments of this account came back (退票) between two bank dates? One page, as LinesQuestion."""

    account: AccountNumber
    first: date
    last: date
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class SentBundle:
    """What was journalled before a bundle's first byte left. `reference` is the whole message's key at the bank."""

    reference: str
    bank_date: date
    attempt: int
    serials: tuple[str, ...]
    items: tuple[Sent, ...]
    bank_serial: str | None = None


@dataclass(frozen=True, slots=True)
class BundleFateQuestion:
    """What became of each item of a bundle?"""

    sent: SentBundle


@dataclass(frozen=True, slots=True)
class ReceiptQuestion:
    """The electronic receipt (电子回单) of one entry.

    The entry is named by `bank_line_id` (see Line) and `bank_date`, and by our payment's `reference` and the bank's
    own `bank_serial` where known. `bundle` is the reference of the message that the payment went in with others;
    `creditor` and `creditor_name` are the payee of our payment. `ticket` is what the bank gave when it said "not yet".
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
    """Which branches (联行号) does the bank know by this name, or under this 12-digit number? One page."""

    name: str = ""
    cnaps: str | None = None
    cursor: str | None = None


Question = (
    BalanceQuestion | LinesQuestion | FateQuestion | ReturnsQuestion | BundleFateQuestion | ReceiptQuestion
    | DirectoryQuestion
)  # fmt: skip
