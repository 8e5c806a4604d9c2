"""Reads an account, days, amounts and a portion of rows from a request, for acts about the rows of own accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, TypeVar

from gateway.act_ports import Accounts
from gateway.call import Call, Denied
from gateway.kernel.core.policy import Route
from gateway.people.refusals import refused
from gateway.people.rows.persons import No
from protocols.canon.money import BadMoney, Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line

T = TypeVar("T")
ROWS_AT_ONCE = 500
"""The most rows of one portion."""


def own_account(accounts: Accounts, call: Call) -> Route:
    """The own account of the path, if it is in the caller's scope. Raises Denied."""
    route = accounts().route_of(call.parts[0])
    if route is None or not call.scope.covers(route.company, route.account):
        raise Denied(404, "no_such_account", "no own account of yours has this number")
    return route


def or_refused(call: Call, said: T | No) -> T:
    """The journal's result. Raises Denied if the result is a refusal."""
    if isinstance(said, No):
        raise refused(said, actor=call.peer.actor)
    return said


def day(given: object, name: str) -> date:
    """A day from the request. Raises Denied."""
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
    if not isinstance(given, list) or len(given) > ROWS_AT_ONCE:
        raise Denied(400, "bad_rows", f"`rows` is a list of at most {ROWS_AT_ONCE}")
    wrong = next((place for place, one in enumerate(given, 1) if not isinstance(one, dict)), None)
    if wrong is not None:
        raise Denied(400, "bad_rows", f"row {wrong} is no object")
    return [read(one, place) for place, one in enumerate(given, 1)]


def count(given: object) -> int:
    """A number of rows. Raises Denied."""
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise Denied(400, "bad_number", "`count` is the number of rows")
    return given


def statement_line(given: Mapping[str, Any], place: int, route: Route) -> Line:
    """An entry of a statement. Raises Denied."""
    id, party, name = (
        row_id(given, place),
        *(str(given.get(key) or "") for key in ("counterparty_account", "counterparty_name")),
    )
    amount = minor(given.get("amount"), f"amount of row {id}", route.currency)
    if amount < 0:
        raise Denied(400, "bad_amount", f"row {id}: an entry's amount has no sign; say its direction")
    occurrence = given.get("occurrence", 0)
    return Line(
        AccountNumber(route.account),
        id,
        direction_of(given, id),
        Money(amount, route.currency),
        day(given.get("date"), f"date of row {id}"),
        text=str(given.get("text") or "")[:500],
        counterparty_account=AccountNumber(party) if party else None,
        counterparty_name=Name(name) if name else None,
        reference=str(given["reference"])[:128] if given.get("reference") else None,
        occurrence=occurrence if isinstance(occurrence, int) else 0,
        fee=given.get("fee") is True,
    )


def row_id(given: Mapping[str, Any], place: int) -> str:
    """The key of a row. Raises Denied."""
    id = given.get("id")
    if not isinstance(id, str) or not 0 < len(id) <= 128:
        raise Denied(400, "bad_rows", f"row {place} needs an `id` of at most 128 characters")
    return id


def direction_of(given: Mapping[str, Any], id: str) -> Direction:
    """The direction of a row by its id: money in or money out."""
    try:
        return Direction(str(given.get("direction")))
    except ValueError:
        raise Denied(400, "bad_rows", f"row {id}: `direction` is credit (money in) or debit (money out)") from None
