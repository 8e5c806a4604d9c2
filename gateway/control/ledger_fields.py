"""What the verbs about books, statements and reconciliation read from a request: the account, days, amounts, rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied
from gateway.core.policy import Route
from gateway.journal.people.persons import No
from gateway.treasury import books
from gateway.treasury.books import BookEntry, BookHead
from protocols.canon.money import BadMoney, Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line

T = TypeVar("T")
ROWS_BYTES = 1_048_576
LOOKS = 3
"""A change computed from a snapshot is tried so often, if what it rests on changes meanwhile."""
_TEXTS = {"counterparty_account": "party", "counterparty_name": "party_name", "reference": "reference",
          "voucher": "voucher", "settlement_no": "settlement", "text": "text"}  # fmt: skip


def own_account(daemon_handle: DaemonHandle, call: Call) -> Route:
    """The own account of the path, if it is in the caller's scope. Raises Denied."""
    route = daemon_handle.register().route_of(call.parts[0])
    if route is None or not call.scope.covers(route.company, route.account):
        raise Denied(404, "no_such_account", "no own account of yours has this number")
    return route


def or_refused(call: Call, said: T | No) -> T:
    """What the journal said, unless it is a no. Raises Denied."""
    if isinstance(said, No):
        raise refused(said, actor=call.peer.actor)
    return said


def changing() -> No:
    """What was computed was overtaken LOOKS times."""
    return No("busy", f"the account's rows changed {LOOKS} times meanwhile; nothing was changed: ask again")


def day(given: object, name: str) -> date:
    """A day. Raises Denied."""
    try:
        return date.fromisoformat(str(given))
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None


def minor(given: object, name: str, currency: str) -> int:
    """A signed amount written as text, with a point. Raises Denied."""
    text = str(given) if isinstance(given, str) else ""
    try:
        amount = Money.parse(text.removeprefix("-"), currency).minor
    except BadMoney as error:
        raise Denied(400, "bad_amount", f"`{name}`: {error}") from None
    return -amount if text.startswith("-") else amount


def rows(call: Call, read: Callable[[Mapping[str, Any], int], T]) -> list[T]:
    """The rows of a portion, each read from an object and its place. Raises Denied."""
    given = call.body.get("rows")
    if not isinstance(given, list) or len(given) > books.ROWS_AT_ONCE:
        raise Denied(400, "bad_rows", f"`rows` is a list of at most {books.ROWS_AT_ONCE}")
    wrong = next((place for place, one in enumerate(given, 1) if not isinstance(one, dict)), None)
    if wrong is not None:
        raise Denied(400, "bad_rows", f"row {wrong} is no object")
    return [read(one, place) for place, one in enumerate(given, 1)]


def book_head(call: Call, route: Route) -> BookHead:
    """The head of a book. Raises Denied."""
    said = call.body
    currency = said.get("currency", route.currency)
    if currency != route.currency:
        raise Denied(400, "bad_currency", f"the account is in {route.currency}, the book in {currency}")
    return BookHead(
        route.account, day(said.get("from"), "from"), day(said.get("to"), "to"), route.currency,
        minor(said.get("opening"), "opening", currency), minor(said.get("closing"), "closing", currency),
        None if said.get("count") is None else count(said["count"]),
        None if said.get("debit") is None else minor(said["debit"], "debit", currency),
        None if said.get("credit") is None else minor(said["credit"], "credit", currency),
    )  # fmt: skip


def count(given: object) -> int:
    """A number of rows. Raises Denied."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise Denied(400, "bad_number", "`count` is the number of rows")
    return given


def book_entry(given: Mapping[str, Any], place: int, currency: str) -> BookEntry:
    """A row of a book. Raises Denied."""
    unknown = sorted(given.keys() - {"id", "date", "direction", "amount", *_TEXTS})
    if unknown:
        raise Denied(400, "bad_rows", f"row {place} has {unknown[0]}, which is no field of a book")
    id = _id(given, place)
    amount = minor(given.get("amount"), f"amount of row {id}", currency)
    texts = {name: str(given[key])[:500] for key, name in _TEXTS.items() if given.get(key)}
    return BookEntry(id, day(given.get("date"), f"date of row {id}"), _direction(given, id), amount, **texts)


def statement_line(given: Mapping[str, Any], place: int, route: Route) -> Line:
    """An entry of a statement. Raises Denied."""
    id, party, name = _id(given, place), *(str(given.get(key) or "") for key in ("counterparty_account",
                                                                                 "counterparty_name"))  # fmt: skip
    amount = minor(given.get("amount"), f"amount of row {id}", route.currency)
    if amount < 0:
        raise Denied(400, "bad_amount", f"row {id}: an entry's amount has no sign; say its direction")
    occurrence = given.get("occurrence", 0)
    return Line(
        AccountNumber(route.account), id, _direction(given, id), Money(amount, route.currency),
        day(given.get("date"), f"date of row {id}"), text=str(given.get("text") or "")[:500],
        counterparty_account=AccountNumber(party) if party else None, counterparty_name=Name(name) if name else None,
        reference=str(given["reference"])[:128] if given.get("reference") else None,
        occurrence=occurrence if isinstance(occurrence, int) else 0, fee=given.get("fee") is True,
    )  # fmt: skip


def _id(given: Mapping[str, Any], place: int) -> str:
    id = given.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= 128:
        raise Denied(400, "bad_rows", f"row {place} needs an `id` of at most 128 characters")
    return id


def _direction(given: Mapping[str, Any], id: str) -> Direction:
    try:
        return Direction(str(given.get("direction")))
    except ValueError:
        raise Denied(400, "bad_rows", f"row {id}: `direction` is credit (money in) or debit (money out)") from None
