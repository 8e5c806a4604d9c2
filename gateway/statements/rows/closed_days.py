"""The closing balances of closed days, read for many accounts at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, and_, func, select

from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.statements.rows import accounts
from protocols.canon.money import Money

_S = schema.statement_days.c


def last_closings(conn: Connection, numbers: Sequence[str], last: date) -> dict[str, tuple[date, Money]]:
    """The last closed day up to `last` and its closing balance, by account; one without such a day is left out."""
    names, found = _names(conn, numbers), dict[str, tuple[date, Money]]()
    for some in accounts.pieces(list(names)):
        newest = (
            select(_S.account_idx, func.max(_S.day).label("day"))
            .where(_S.account_idx.in_(some), _S.day <= last.isoformat())
            .group_by(_S.account_idx)
            .subquery()
        )
        there = schema.statement_days.join(newest, and_(newest.c.account_idx == _S.account_idx, newest.c.day == _S.day))
        for row in conn.execute(select(schema.statement_days).select_from(there)):
            closing = _closing(conn, row)
            if closing is not None:
                found[names[row.account_idx]] = date.fromisoformat(row.day), closing
    return found


def closings_between(conn: Connection, numbers: Sequence[str], first: date, last: date) -> dict[str, dict[date, Money]]:
    """The closing balances of a period's closed days, by account."""
    names, found = _names(conn, numbers), dict[str, dict[date, Money]]()
    for some in accounts.pieces(list(names)):
        within = and_(_S.account_idx.in_(some), _S.day.between(first.isoformat(), last.isoformat()))
        for row in conn.execute(select(schema.statement_days).where(within)):
            closing = _closing(conn, row)
            if closing is not None:
                found.setdefault(names[row.account_idx], {})[date.fromisoformat(row.day)] = closing
    return found


def _names(conn: Connection, numbers: Sequence[str]) -> dict[str, str]:
    vault = vault_of(conn)
    return {vault.blind(number): number for number in numbers}


def _closing(conn: Connection, row: Any) -> Money | None:
    sealed = accounts.day_aad(row.account_idx, row.day)
    said = json.loads(vault_of(conn).open(row.body, sealed))
    return None if said["closing"] is None else Money(said["closing"], said["currency"])
