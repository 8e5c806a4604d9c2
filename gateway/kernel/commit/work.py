"""The work table, the only timers of record: one row per payment and kind, read by the lane that owns the payment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Integer, and_, bindparam, delete, or_, select, update

from gateway.kernel.commit.rows import PaymentRow, WorkRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import Work
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import upsert
from gateway.kernel.sql.driver import rows, run_write, write_many

CLOCK_SET_MS = 60_000
"""A row whose writer's clock is further ahead of ours than this was written by a wrong clock."""
_C = schema.work.c
_ORDER = (_C.due_ms, _C.payment, _C.kind)
_LIMIT: Any = bindparam("b_limit", type_=Integer)
_DUE = (
    select(schema.work)
    .where(_C.lane == bindparam("b_lane"), _C.due_ms <= bindparam("b_until"))
    .order_by(*_ORDER)
    .limit(_LIMIT)
)
_FRESH = _DUE.where(_C.due_ms > bindparam("b_since"))
_ALL = select(schema.work).where(_C.lane == bindparam("b_lane")).order_by(*_ORDER).limit(_LIMIT)
_REST = _ALL.where(
    or_(
        _C.due_ms > bindparam("b_due"),
        and_(_C.due_ms == bindparam("b_due"), _C.payment > bindparam("b_payment")),
        and_(_C.due_ms == bindparam("b_due"), _C.payment == bindparam("b_payment"), _C.kind > bindparam("b_kind")),
    )
)
# EXPIRE comes from the order itself, not from a clock.
_WRITTEN_AHEAD = (_C.due_ms > bindparam("b_since"), _C.set_ms > bindparam("b_set"), _C.kind != Work.EXPIRE.value)
_FROM_AHEAD, _REST_FROM_AHEAD = _ALL.where(*_WRITTEN_AHEAD), _REST.where(*_WRITTEN_AHEAD)
_SET_RIGHT = (
    update(schema.work)
    .where(
        _C.payment == bindparam("b_payment"),
        _C.kind == bindparam("b_kind"),
        _C.due_ms == bindparam("b_was_due"),
        _C.set_ms == bindparam("b_was_set"),
    )
    .values(due_ms=bindparam("b_now_due"), set_ms=bindparam("b_now_set"))
)
_DELETE = delete(schema.work).where(_C.payment == bindparam("b_payment"), _C.kind == bindparam("b_kind"))


def flush(tx: Tx) -> None:
    """Write the work rows that the group set, and delete those that it finished."""
    if not tx.works:
        return
    gone = [{"b_payment": payment, "b_kind": kind.value} for (payment, kind), row in tx.works.items() if row is None]
    write_many(tx.raw, _DELETE, gone)
    upsert(tx.raw, schema.work, [_columns(row, tx.now_ms) for row in tx.works.values() if row is not None])


def due(conn: Connection, lane: str, until_ms: int, limit: int = 500) -> list[WorkRow]:
    """The lane's work due at or before `until_ms`, earliest first."""
    return [_read(row) for row in rows(conn, _DUE, {"b_lane": lane, "b_until": until_ms, "b_limit": limit})]


def fresh(conn: Connection, lane: str, since_ms: int, until_ms: int, limit: int = 5_000) -> list[WorkRow]:
    """The lane's work due after `since_ms` and up to `until_ms`, which another node may just have written."""
    asked = {"b_lane": lane, "b_since": since_ms, "b_until": until_ms, "b_limit": limit}
    return [_read(row) for row in rows(conn, _FRESH, asked)]


def all_open(conn: Connection, lane: str, after: WorkRow | None = None, limit: int = 1000) -> list[WorkRow]:
    """All the lane's work by due time, one page at a time; `after` is the last row of the previous page."""
    asked: dict[str, Any] = {"b_lane": lane, "b_limit": limit}
    if after is not None:
        asked.update(b_due=after.due_ms, b_payment=after.payment, b_kind=after.work.value)
    return [_read(row) for row in rows(conn, _ALL if after is None else _REST, asked)]


def from_ahead(
    conn: Connection, lane: str, now_ms: int, after: WorkRow | None = None, limit: int = 1000
) -> list[WorkRow]:
    """The lane's work that was written by a clock more than CLOCK_SET_MS ahead of `now_ms`, one page at a time as in
    `all_open`. Reads every row that is not due yet.
    """
    at_ms = now_ms + CLOCK_SET_MS
    asked: dict[str, Any] = {"b_lane": lane, "b_limit": limit, "b_set": at_ms, "b_since": now_ms}
    if after is not None:
        asked.update(b_due=after.due_ms, b_payment=after.payment, b_kind=after.work.value)
    return [_read(row) for row in rows(conn, _FROM_AHEAD if after is None else _REST_FROM_AHEAD, asked)]


def set_right(tx: Tx, lane: str, epoch: int, found: Sequence[WorkRow]) -> list[WorkRow]:
    """Correct the due times that a clock ahead of ours wrote (see `from_ahead`): a send becomes due as soon as it is
    permitted, all other work after its intended interval. Returns the changed rows; none if the lane has a later epoch.
    A row that has changed since is skipped.
    """
    if tx.epoch_of(lane) > epoch:
        return []
    changed: list[WorkRow] = []
    for row in found:
        if row.set_ms is None or (row.payment, row.work) in tx.works:
            continue
        right = replace(row, due_ms=tx.now_ms + max(row.due_ms - row.set_ms, 0), set_ms=tx.now_ms)
        if row.work is Work.SEND:
            payment = tx.payment_cache.row(tx.raw, tx.vault, row.payment)
            if payment is None:
                continue
            right = replace(right, due_ms=max(tx.now_ms, may_leave_ms(payment, tx.now_ms)))
        wanted = {
            "b_payment": row.payment,
            "b_kind": row.work.value,
            "b_was_due": row.due_ms,
            "b_was_set": row.set_ms,
            "b_now_due": right.due_ms,
            "b_now_set": right.set_ms,
        }
        if run_write(tx.raw, _SET_RIGHT, wanted) == 1:
            changed.append(right)
    return changed


def may_leave_ms(row: PaymentRow, now_ms: int) -> int:
    """The time from which a ready payment may be sent.

    A time set by a clock ahead of `now_ms` is ignored; then only the order's own `not_before` counts.
    """
    if row.changed_ms <= now_ms + CLOCK_SET_MS:
        return row.life.send_after_ms or 0
    return 0 if row.order.not_before is None else int(row.order.not_before.timestamp() * 1000)


def of_payment(conn: Connection, payment: str) -> list[WorkRow]:
    """The open work of one payment, earliest first."""
    statement = select(schema.work).where(_C.payment == payment).order_by(_C.due_ms, _C.kind)
    return [_read(row) for row in conn.execute(statement)]


def _columns(row: WorkRow, now_ms: int) -> dict[str, Any]:
    return {
        "payment": row.payment,
        "kind": row.work.value,
        "lane": row.lane,
        "due_ms": row.due_ms,
        "epoch": row.epoch,
        "set_ms": now_ms,
    }


def _read(row: Any) -> WorkRow:
    return WorkRow(row.payment, Work(row.kind), row.lane, row.due_ms, row.epoch, row.set_ms)
