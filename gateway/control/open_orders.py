"""Counts open orders by company, bank and state, for the answers about the node and about companies."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from gateway.kernel.sql import schema
from protocols.canon.outcome import STATE_TABLE

LIVE = tuple(state.value for state, facts in STATE_TABLE.items() if not facts.final)
"""The states of open orders, in their order."""


def by_company(conn: Connection) -> dict[tuple[str, str], dict[str, int]]:
    """The number of open orders in each state, by company and bank."""
    p = schema.payments.c
    counted = (
        select(p.company, p.bank, p.state, func.count())
        # The lanes are named so that the index over lane and state is used.
        .where(p.lane.in_(select(schema.lanes.c.lane)), p.state.in_(LIVE))
        .group_by(p.company, p.bank, p.state)
        .order_by(p.company, p.bank)
    )
    found: dict[tuple[str, str], dict[str, int]] = {}
    for company, bank, state, number in conn.execute(counted):
        found.setdefault((company, bank), {})[state] = number
    return found
