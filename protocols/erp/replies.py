"""The bodies of replies to questions and of refusals. Payments speak through `news`.

Each function returns the fields in the contract's order; `write` turns them into JSON or XML, as the command
was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel

from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Balance, Line, Page
from protocols.erp import xml_form
from protocols.erp.news import News, error_fields, fields, instant, write_json
from protocols.erp.reply_forms import BalanceResult, PaymentNews, Rejected, TransactionsPage
from protocols.erp.words import CommandType, TransactionsQuery

PAYMENT_ACCEPTED, PAYMENT_REJECTED = "payment.accepted", "payment.rejected"
COMMAND_REJECTED = "command.rejected"
STATUS_RESULT, BALANCE_RESULT, TRANSACTIONS_PAGE = "status.result", "balance.result", "transactions.page"

_FORMS: Mapping[str, type[BaseModel]] = {
    COMMAND_REJECTED: Rejected,
    BALANCE_RESULT: BalanceResult,
    TRANSACTIONS_PAGE: TransactionsPage,
}
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


def write(name: str, said: Mapping[str, Any], content_type: str = "application/json") -> bytes:
    """The body of reply `name` (its AMQP type) in the form the command was in."""
    if content_type == "application/xml":
        return xml_form.write(name, said, _FORMS.get(name, PaymentNews))
    return write_json(said)


def rejection_name(command: CommandType | None) -> str:
    """What a refusal of this command is called: only a refused order is a rejected payment."""
    return PAYMENT_REJECTED if command is CommandType.PAYMENT_SUBMIT else COMMAND_REJECTED


def rejection(command: CommandType | None, id_: str | None, refusal: Refusal) -> dict[str, Any]:
    """The refusal of a command. `id_` is what `claimed_id` could read.

    After `id_conflict` there is no `state`: the id belongs to an earlier payment, of which nothing is said. A
    reader that took it for that payment's state would pay again.
    """
    said: dict[str, Any] = {"event": rejection_name(command)}
    if command is not None:
        said["command"] = command.value
    if id_ is not None:
        said["id"] = id_
    if command is CommandType.PAYMENT_SUBMIT and refusal.code is not Code.ID_CONFLICT:
        said["state"] = "rejected"
    said["error"] = error_fields(refusal)
    return said


def status_result(news: News) -> dict[str, Any]:
    """Where a payment is now, with everything its last event said."""
    return fields(replace(news, event=STATUS_RESULT))


def balance_result(
    answers: Sequence[BalanceAnswer], errors: Sequence[tuple[AccountNumber, Refusal]] = ()
) -> dict[str, Any]:
    """The balances that could be had, and why the others could not."""
    return {
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
        "account": query.account.clear,
        "lines": [_line(line, payments) for line in page.lines],
    }
    if next_ is not None:
        said["next"] = next_
    said["complete"] = next_ is None
    _put_money(said, "opening", page.opening)
    _put_money(said, "closing", page.closing)
    return said


def line_id(line: Line) -> str:
    """The entry's own id: 32 hex digits, the same in every answer for ever.

    Made of the account, the bank date, the bank's key and the count among entries that share it; never of
    anything a bank may correct or enrich later, such as the counterparty or the text.
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
