"""Reads the head of a book and its rows from a request, for the acts about books and reconciliation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call, Denied
from gateway.kernel.core.policy import Route
from gateway.people.rows.persons import No
from gateway.reconciliation.rows.books import BookEntry, BookHead
from gateway.statements.act_answers.account_fields import count, day, direction_of, minor, row_id

LOOKS = 3
"""A change computed from a snapshot is tried so often, if what it rests on changes meanwhile."""
_TEXTS = {
    "counterparty_account": "party",
    "counterparty_name": "party_name",
    "reference": "reference",
    "voucher": "voucher",
    "settlement_no": "settlement",
    "text": "text",
}


def changing() -> No:
    """The refusal `busy`: the account's rows changed during each of LOOKS attempts to judge them."""
    return No("busy", f"the account's rows changed {LOOKS} times meanwhile; nothing was changed: ask again")


def book_head(call: Call, route: Route) -> BookHead:
    """The head of a book. Raises Denied."""
    said = call.body
    currency = said.get("currency", route.currency)
    if currency != route.currency:
        raise Denied(400, "bad_currency", f"the account is in {route.currency}, the book in {currency}")
    return BookHead(
        route.account,
        day(said.get("from"), "from"),
        day(said.get("to"), "to"),
        route.currency,
        minor(said.get("opening"), "opening", currency),
        minor(said.get("closing"), "closing", currency),
        None if said.get("count") is None else count(said["count"]),
        None if said.get("debit") is None else minor(said["debit"], "debit", currency),
        None if said.get("credit") is None else minor(said["credit"], "credit", currency),
    )


def book_entry(given: Mapping[str, Any], place: int, currency: str) -> BookEntry:
    """A row of a book. Raises Denied."""
    unknown = sorted(given.keys() - {"id", "date", "direction", "amount", *_TEXTS})
    if unknown:
        raise Denied(400, "bad_rows", f"row {place} has {unknown[0]}, which is not a field of a book")
    id = row_id(given, place)
    amount = minor(given.get("amount"), f"amount of row {id}", currency)
    texts = {name: str(given[key])[:500] for key, name in _TEXTS.items() if given.get(key)}
    return BookEntry(id, day(given.get("date"), f"date of row {id}"), direction_of(given, id), amount, **texts)
