"""The only timers of record: one row per payment and kind of work, read by the lane that owns the payment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, or_, select

from gateway.core.states import Work
from gateway.journal import schema
from gateway.journal.bulk import write_many
from gateway.journal.databases import upsert
from gateway.journal.rows import WorkRow
from gateway.journal.store import Tx

_C = schema.work.c
_DELETE = delete(schema.work).where(_C.payment == bindparam("b_payment"), _C.kind == bindparam("b_kind"))


def flush(tx: Tx) -> None:
    """Write what the group left due and delete what it finished."""
    if not tx.works:
        return
    gone = [{"b_payment": payment, "b_kind": kind.value} for (payment, kind), row in tx.works.items() if row is None]
    write_many(tx.bare, _DELETE, gone)
    upsert(tx.bare, schema.work, [_columns(row) for row in tx.works.values() if row is not None])


def due(conn: Connection, lane: str, until_ms: int, limit: int = 500) -> list[WorkRow]:
    """The lane's work due at or before `until_ms`, the longest due first."""
    statement = select(schema.work).where(_C.lane == lane, _C.due_ms <= until_ms)
    return [_read(row) for row in conn.execute(statement.order_by(_C.due_ms, _C.payment, _C.kind).limit(limit))]


def fresh(conn: Connection, lane: str, since_ms: int, until_ms: int, limit: int = 5_000) -> list[WorkRow]:
    """The lane's work that fell due after `since_ms` and up to `until_ms`: what another node may have just written."""
    statement = select(schema.work).where(_C.lane == lane, _C.due_ms > since_ms, _C.due_ms <= until_ms)
    return [_read(row) for row in conn.execute(statement.order_by(_C.due_ms, _C.payment, _C.kind).limit(limit))]


def all_open(conn: Connection, lane: str, after: WorkRow | None = None, limit: int = 1000) -> list[WorkRow]:
    """All the lane's work in the order it falls due, a page at a time: `after` is the last row of the page before."""
    statement = select(schema.work).where(_C.lane == lane)
    if after is not None:
        statement = statement.where(
            or_(
                _C.due_ms > after.due_ms,
                and_(_C.due_ms == after.due_ms, _C.payment > after.payment),
                and_(_C.due_ms == after.due_ms, _C.payment == after.payment, _C.kind > after.work.value),
            )
        )
    return [_read(row) for row in conn.execute(statement.order_by(_C.due_ms, _C.payment, _C.kind).limit(limit))]


def of_payment(conn: Connection, payment: str) -> list[WorkRow]:
    """What is still to be done for one payment, the next first."""
    statement = select(schema.work).where(_C.payment == payment).order_by(_C.due_ms, _C.kind)
    return [_read(row) for row in conn.execute(statement)]


def _columns(row: WorkRow) -> dict[str, Any]:
    return {"payment": row.payment, "kind": row.work.value, "lane": row.lane, "due_ms": row.due_ms, "epoch": row.epoch}


def _read(row: Any) -> WorkRow:
    return WorkRow(row.payment, Work(row.kind), row.lane, row.due_ms, row.epoch)
