"""Searches by any id.

A payment's key, an order's or batch's id, a bank's reference, an account, a request for approval, a message to an ERP,
a receipt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection, select, union_all

from gateway.approvals.rows import approval_requests
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.sql import schema
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters
from gateway.people.rules.scopes import Scope

MOST_CHARACTERS = 128
_MOST_FOUND = 50
_NEWEST = 2_000
_M, _R = schema.outbox.c, schema.receipt_files.c


@dataclass(frozen=True, slots=True)
class TextSearchResult:
    """Payments in the asker's scope, and the key of a request for approval about one of them."""

    payments: tuple[PaymentRow, ...]
    request: str | None


def search(conn: Connection, text: str, scope: Scope) -> TextSearchResult:
    """Everything with this id. `SENDER:ID` names one sender's order or batch."""
    inside = Filters(inside=scope)
    sender, colon, rest = text.partition(":")
    wanted = [replace(inside, order_id=text), replace(inside, bank_ref=text), replace(inside, batch=text)]
    if colon:
        wanted += [replace(inside, sender=sender, order_id=rest), replace(inside, sender=sender, batch=rest)]
    request = approval_requests.fetch(conn, text)
    if request is not None:
        wanted += [
            replace(inside, sender=request.sender, order_id=request.subject),
            replace(inside, sender=request.sender, batch=request.subject),
        ]
    listed = [row for filters in wanted for row in lookup.listing(conn, filters, _MOST_FOUND)]
    if text.isascii() and text.isalnum():
        for of_account in (replace(inside, debtor_account=text), replace(inside, creditor_account=text)):
            listed += _newest(conn, of_account)
    found = {row.payment: row for row in listed}
    for key in (text, *_of_message_or_receipt(conn, text)):
        row = lookup.fetch(conn, key)
        if row is not None and scope.covers(row.company, row.order.ours.account.clear):
            found[row.payment] = row
    newest = sorted(found.values(), key=lambda row: row.payment, reverse=True)[:_MOST_FOUND]
    about = request is not None and any(
        row.sender == request.sender and request.subject in (row.order.id, row.batch) for row in newest
    )
    return TextSearchResult(tuple(newest), text if about else None)


def _of_message_or_receipt(conn: Connection, text: str) -> list[str]:
    """The payments of the message with this id, or of the receipt with this key."""
    asked = union_all(
        select(_M.payment).where(_M.message_id == text, _M.payment.is_not(None)),
        select(_R.payment).where(_R.receipt == text, _R.payment.is_not(None)),
    )
    return [str(payment) for (payment,) in conn.execute(asked)]


def _newest(conn: Connection, of_account: Filters) -> list[PaymentRow]:
    """The newest payments of an account.

    An own account has too many payments to sort by an index of accounts. So the newest payments of all are searched
    first; if they do not suffice, the index gives the rest.
    """
    if lookup.are_more_than(conn, of_account, _NEWEST):
        recent = lookup.listing(conn, replace(of_account, of_newest=_NEWEST), _MOST_FOUND)
        if len(recent) == _MOST_FOUND:
            return recent
    return lookup.listing(conn, of_account, _MOST_FOUND)
