"""The bodies of replies and events about accounts: balances, entries, statements, receipts.

Each function returns the fields in the contract's order; `replies.reply_body` turns them into JSON or XML.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from protocols.canon.errors import Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Direction, Line, Page, Receipt
from protocols.erp.news import error_fields, instant
from protocols.erp.replies import (
    BALANCE_RESULT,
    RECEIPT_READY,
    STATEMENT_CLOSED,
    STATEMENT_READY,
    TRANSACTION_BOOKED,
    TRANSACTIONS_PAGE,
)
from protocols.erp.words import TransactionsQuery

RECEIPT_PAGE_BYTES = 1_048_576
_LINE_ID_CHARS = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class BalanceAnswer:
    """One account's balance and how fresh it is: `as_of_ms` in milliseconds of UTC."""

    balance: Balance
    currency: str
    as_of_ms: int
    source: Literal["bank", "cache"]
    on: date | None = None


def balance_result(
    answers: Sequence[BalanceAnswer], errors: Sequence[tuple[AccountNumber, Refusal]] = ()
) -> dict[str, Any]:
    """The reply with the balances that were read, and the reason for each account without one."""
    return {
        "event": BALANCE_RESULT,
        "balances": [_balance(answer) for answer in answers],
        "errors": [{"account": account.clear, **error_fields(refusal)} for account, refusal in errors],
    }


def _balance(answer: BalanceAnswer) -> dict[str, Any]:
    balance = answer.balance
    said: dict[str, Any] = {"account": balance.account.clear, "currency": answer.currency}
    for name, money in (
        ("book", balance.book),
        ("available", balance.available),
        ("frozen", balance.frozen),
        ("previous_day", balance.previous_day),
    ):
        _put_money(said, name, money)
    if answer.on is not None:
        said["on"] = answer.on.isoformat()
    said["as_of"] = instant(answer.as_of_ms)
    said["source"] = answer.source
    return said


def transactions_page(
    query: TransactionsQuery, page: Page, next_: str | None, payments: Mapping[str, str]
) -> dict[str, Any]:
    """One page of entries. `next_` is the sealed continuation, None on the last page.

    `payments` gives our key of each payment whose reference occurs in the page.
    """
    said: dict[str, Any] = {
        "event": TRANSACTIONS_PAGE,
        "account": query.account.clear,
        "lines": [_line(line, payments) for line in page.lines],
    }
    if next_ is not None:
        said["next"] = next_
    said["complete"] = next_ is None
    _put_money(said, "opening", page.opening)
    _put_money(said, "closing", page.closing)
    return said


@dataclass(frozen=True, slots=True)
class Totals:
    """The number of entries of a list, and their sums in minor units."""

    credit_count: int = 0
    credit_minor: int = 0
    debit_count: int = 0
    debit_minor: int = 0

    @staticmethod
    def of(lines: Iterable[Line]) -> Totals:
        """The totals of these entries."""
        count, minor = Counter[Direction](), Counter[Direction]()
        for line in lines:
            count[line.direction] += 1
            minor[line.direction] += line.amount.minor
        credit, debit = Direction.CREDIT, Direction.DEBIT
        return Totals(count[credit], minor[credit], count[debit], minor[debit])

    def __add__(self, other: Totals) -> Totals:
        return Totals(
            self.credit_count + other.credit_count,
            self.credit_minor + other.credit_minor,
            self.debit_count + other.debit_count,
            self.debit_minor + other.debit_minor,
        )

    @property
    def count(self) -> int:
        """The number of entries."""
        return self.credit_count + self.debit_count


@dataclass(frozen=True, slots=True)
class Statement:
    """All entries of one account on one bank day by their totals, with the balances that the bank stated around them.

    `closed` is whether that day was over.
    """

    account: AccountNumber
    currency: str
    day: date
    totals: Totals
    opening: Money | None = None
    closing: Money | None = None
    closed: bool = True

    @property
    def credit(self) -> Money:
        """The sum of money in."""
        return Money(self.totals.credit_minor, self.currency)

    @property
    def debit(self) -> Money:
        """The sum of money out."""
        return Money(self.totals.debit_minor, self.currency)

    @property
    def stated(self) -> bool:
        """True if the bank stated both balances."""
        return self.opening is not None and self.closing is not None

    @property
    def fits(self) -> bool:
        """True if opening balance plus entries equals the closing balance; False only if the bank's own figures
        contradict each other."""
        if self.opening is None or self.closing is None:
            return True
        return self.opening + self.credit - self.debit == self.closing


def statement_ready(
    statement: Statement, lines: Sequence[Line], next_: str | None, payments: Mapping[str, str]
) -> dict[str, Any]:
    """One page of a statement: `lines` are its entries on this page; the other arguments as in `transactions_page`."""
    said: dict[str, Any] = {
        "event": STATEMENT_READY,
        "account": statement.account.clear,
        "currency": statement.currency,
        "date": statement.day.isoformat(),
    }
    _put_money(said, "opening", statement.opening)
    _put_money(said, "closing", statement.closing)
    said["checked"] = statement.stated and statement.fits
    said["closed"] = statement.closed
    said.update(_totals(statement))
    said["lines"] = [_line(line, payments) for line in lines]
    if next_ is not None:
        said["next"] = next_
    said["complete"] = next_ is None
    return said


def _totals(statement: Statement) -> dict[str, Any]:
    totals = statement.totals
    return {
        "count": totals.count,
        "credit_count": totals.credit_count,
        "credit_sum": str(statement.credit),
        "debit_count": totals.debit_count,
        "debit_sum": str(statement.debit),
    }


@dataclass(frozen=True, slots=True)
class ReceiptSubject:
    """The entry that a receipt is about, as the question named it."""

    account: AccountNumber
    bank_date: date
    bank_line_id: str | None = None
    payment: str | None = None


def receipt_pages(receipt: Receipt) -> int:
    """The number of pages of this receipt; an empty file has one."""
    return max(1, -(-len(receipt.data) // RECEIPT_PAGE_BYTES))


def receipt_ready(subject: ReceiptSubject, receipt: Receipt, page: int) -> dict[str, Any]:
    """Page `page` (from 1, at most `receipt_pages`) of a receipt."""
    said: dict[str, Any] = {
        "event": RECEIPT_READY,
        "account": subject.account.clear,
        "bank_date": subject.bank_date.isoformat(),
    }
    if subject.bank_line_id is not None:
        said["bank_line_id"] = subject.bank_line_id
    if subject.payment is not None:
        said["payment"] = subject.payment
    if receipt.name:
        said["name"] = receipt.name
    start = (page - 1) * RECEIPT_PAGE_BYTES
    said.update(
        {
            "media_type": receipt.media_type,
            "size": len(receipt.data),
            "sha256": sha256(receipt.data).hexdigest(),
            "page": page,
            "pages": receipt_pages(receipt),
            "data": b64encode(receipt.data[start : start + RECEIPT_PAGE_BYTES]).decode("ascii"),
        }
    )
    return said


def transaction_booked(sender: str, bank: str, line: Line, at_ms: int, payments: Mapping[str, str]) -> dict[str, Any]:
    """Event: an entry was seen for the first time. `payments` as in `transactions_page`."""
    return {
        "event": TRANSACTION_BOOKED,
        "sender": sender,
        "bank": bank,
        "account": line.account.clear,
        "at": instant(at_ms),
        "line": _line(line, payments),
    }


def statement_closed(sender: str, bank: str, statement: Statement, at_ms: int) -> dict[str, Any]:
    """Event: a bank day is complete. The statement must state both balances, and they must fit."""
    assert statement.stated and statement.fits and statement.closed, "such a day is not closed"
    return {
        "event": STATEMENT_CLOSED,
        "sender": sender,
        "bank": bank,
        "account": statement.account.clear,
        "currency": statement.currency,
        "date": statement.day.isoformat(),
        "at": instant(at_ms),
        "opening": str(statement.opening),
        "closing": str(statement.closing),
        **_totals(statement),
    }


def line_id(line: Line) -> str:
    """The entry's own id: 32 hex digits, the same in every answer for ever.

    It is made of the account, the bank date, the bank's key and the count among entries with that key. It does not
    depend on values that a bank may correct or add later, such as the counterparty or the text.
    """
    parts = (line.account.clear, line.bank_date.isoformat(), line.bank_line_id, str(line.occurrence))
    return sha256("\x1f".join(parts).encode()).hexdigest()[:_LINE_ID_CHARS]


def _line(line: Line, payments: Mapping[str, str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "line": line_id(line),
        "bank_line_id": line.bank_line_id,
        "direction": line.direction.value,
        "amount": str(line.amount),
        "currency": line.amount.currency,
        "bank_date": line.bank_date.isoformat(),
    }
    if line.booked_at is not None:
        said["booked_at"] = _instant_of(line.booked_at)
    if line.value_date is not None:
        said["value_date"] = line.value_date.isoformat()
    other = _counterparty(line)
    if other:
        said["counterparty"] = other
    said["text"] = line.text
    _put_money(said, "balance", line.balance)
    said["fee"] = line.fee
    if line.reference is not None:
        said["reference"] = line.reference
        matched = payments.get(line.reference)
        if matched is not None:
            said["matched_payment"] = matched
    return said


def _counterparty(line: Line) -> dict[str, str]:
    account, name, bank = line.counterparty_account, line.counterparty_name, line.counterparty_bank
    said = {
        "account": None if account is None else account.clear,
        "name": None if name is None else name.clear,
        "bank": bank,
    }
    return {key: value for key, value in said.items() if value is not None}


def _put_money(said: dict[str, Any], name: str, money: Money | None) -> None:
    if money is not None:
        said[name] = str(money)


def _instant_of(at: datetime) -> str:
    assert at.tzinfo is not None, "a bank's times carry a zone"
    return instant(int((at.astimezone(UTC) - _EPOCH) // _MILLISECOND))
