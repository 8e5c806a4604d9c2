"""Seals the rows of pools, their runs, moves and links that were written before rows were sealed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Table, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import row_seal
from gateway.payments.rows.purge import ENTRY
from gateway.pools.rows import linked_orders, pool_moves, pools
from protocols.canon.outcome import STATE_TABLE, State

_READ: Mapping[Table, Callable[[Connection, Any], object]] = {
    schema.pools: pools.of_row,
    schema.pool_runs: pool_moves.run_of_row,
    schema.pool_moves: pool_moves.move_of_row,
    schema.linked_orders: linked_orders.of_row,
}
TABLES = tuple(_READ)
_P = schema.payments.c


def sealing_of(table: Table) -> Callable[[Tx, Any], Mapping[str, Any]]:
    """A function that checks a row of this table and seals it. See unsealed_rows."""
    return lambda tx, row: _sealed(tx, table, row)


def _sealed(tx: Tx, table: Table, row: Any) -> Mapping[str, Any]:
    _READ[table](tx.raw, row)
    values = {"outcome": _outcome(tx, row)} if table is schema.pool_moves else {}
    return row_seal(table).changed(tx.vault, row, values)


def _outcome(tx: Tx, row: Any) -> str | None:
    """How the payment of a move ended, from the payment itself or from the audit entry of its deletion."""
    if row.payment is None:
        return None
    state = tx.raw.execute(select(_P.state).where(_P.payment == row.payment)).scalar()
    if state is None:
        purged = [one for one in audit.entries_of(tx.raw, tx.vault, row.payment) if one.entry == ENTRY]
        state = str(purged[-1].detail["state"]) if purged else None
    return state if state is not None and STATE_TABLE[State(state)].final else None
