"""The only timers of record: one row per payment and kind of work, read by the lane that owns the payment."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, delete, or_, select

from gateway.core.states import Work
from gateway.journal import schema
from gateway.journal.bulk import rows, write_many
from gateway.journal.databases import upsert
from gateway.journal.rows import WorkRow
from gateway.journal.store import Tx

_C = schema.work.c
_ORDER = (_C.due_ms, _C.payment, _C.kind)
_LIMIT: Any = bindparam("b_limit", type_=Integer)
_DUE = (
    select(schema.work).where(_C.lane == bindparam("b_lane"), _C.due_ms <= bindparam("b_until"))
    .order_by(*_ORDER).limit(_LIMIT)
)  # fmt: skip
_FRESH = _DUE.where(_C.due_ms > bindparam("b_since"))
_ALL = select(schema.work).where(_C.lane == bindparam("b_lane")).order_by(*_ORDER).limit(_LIMIT)
_REST = _ALL.where(
    or_(
        _C.due_ms > bindparam("b_due"),
        and_(_C.due_ms == bindparam("b_due"), _C.payment > bindparam("b_payment")),
        and_(_C.due_ms == bindparam("b_due"), _C.payment == bindparam("b_payment"), _C.kind > bindparam("b_kind")),
    )
)
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
    return [_read(row) for row in rows(conn, _DUE, {"b_lane": lane, "b_until": until_ms, "b_limit": limit})]


def fresh(conn: Connection, lane: str, since_ms: int, until_ms: int, limit: int = 5_000) -> list[WorkRow]:
    """The lane's work that fell due after `since_ms` and up to `until_ms`: what another node may have just written."""
    asked = {"b_lane": lane, "b_since": since_ms, "b_until": until_ms, "b_limit": limit}
    return [_read(row) for row in rows(conn, _FRESH, asked)]


def all_open(conn: Connection, lane: str, after: WorkRow | None = None, limit: int = 1000) -> list[WorkRow]:
    """All the lane's work in the order it falls due, a page at a time: `after` is the last row of the page before."""
    asked: dict[str, Any] = {"b_lane": lane, "b_limit": limit}
    if after is not None:
        asked.update(b_due=after.due_ms, b_payment=after.payment, b_kind=after.work.value)
    return [_read(row) for row in rows(conn, _ALL if after is None else _REST, asked)]


def of_payment(conn: Connection, payment: str) -> list[WorkRow]:
    """What is still to be done for one payment, the next first."""
    statement = select(schema.work).where(_C.payment == payment).order_by(_C.due_ms, _C.kind)
    return [_read(row) for row in conn.execute(statement)]


def _columns(row: WorkRow) -> dict[str, Any]:
    return {"payment": row.payment, "kind": row.work.value, "lane": row.lane, "due_ms": row.due_ms, "epoch": row.epoch}


def _read(row: Any) -> WorkRow:
    return WorkRow(row.payment, Work(row.kind), row.lane, row.due_ms, row.epoch)
