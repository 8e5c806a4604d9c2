"""The counts on the console's first page: payments by state with their amounts, within the caller's scope."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.people.rules.scopes import Scope
from protocols.canon.money import Money
from protocols.canon.outcome import STATE_TABLE, State

AT_RISK = (State.IN_DOUBT, State.ESCALATED)
"""States in which it is unknown where the money is."""
_P = schema.payments.c
_OPEN = tuple(state for state, facts in STATE_TABLE.items() if not facts.final)
_LISTED = 20


def overview(conn: Connection, scope: Scope) -> dict[str, Any]:
    """Open payments by state and currency, and the newest of those whose money is at risk or held."""
    counted = select(_P.state, _P.currency, func.count(), func.sum(_P.amount_minor)).where(
        _P.lane.in_(lookup.lanes(conn)), _P.state.in_([state.value for state in _OPEN])
    )
    if not scope.whole:
        counted = counted.where(lookup.inside(scope, vault_of(conn)))
    rows = [
        {"state": state, "currency": currency, "count": count, "sum": str(Money(int(minor), currency))}
        for state, currency, count, minor in conn.execute(counted.group_by(_P.state, _P.currency)).all()
    ]
    order = [state.value for state in _OPEN]
    rows.sort(key=lambda row: (order.index(row["state"]), row["currency"]))
    return {"open": rows, "at_risk": [row for row in rows if row["state"] in AT_RISK]}


def newest(conn: Connection, scope: Scope, states: tuple[State, ...]) -> list[Any]:
    """The newest payments in these states."""
    return lookup.listing(conn, lookup.Filters(states=states, inside=scope), _LISTED)
