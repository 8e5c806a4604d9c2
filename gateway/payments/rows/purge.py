"""Deletes payments whose retention is over. Each leaves an audit entry with its identity.

A payment is deleted with everything about it: attempts, evidence, messages, approvals, its place in a batch. It must be
final, with no work and no message left. Its order id is forgotten with it, so the settings keep payments for at least
400 days. Keys begin with the time, so that old payments are found without reading newer ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, select

from gateway.kernel.clock import ulid_from
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.retention_clock import BELIEVED_FROM_MS
from gateway.kernel.sql import schema
from protocols.canon.outcome import STATE_TABLE

ENTRY = "payment.purged"
_FINAL = tuple(state.value for state, facts in STATE_TABLE.items() if facts.final)
_P, _R, _B = schema.payments.c, schema.approval_requests.c, schema.batches.c
_OF_PAYMENT = (schema.attempts, schema.evidence, schema.work, schema.bundle_items, schema.outbox)


def due(conn: Connection, before_ms: int, most: int) -> int:
    """How many payments are past their retention, counted up to `most`."""
    return len(list(conn.execute(_old(before_ms).limit(most))))


def forget_payments(tx: Tx, before_ms: int, most: int) -> int:
    """Delete up to `most` payments whose retention ended before that time. Returns how many."""
    rows = list(tx.fresh.execute(_old(before_ms).limit(most)))
    keys = [row.payment for row in rows]
    if not keys:
        return 0
    for table in _OF_PAYMENT:
        tx.fresh.execute(delete(table).where(table.c.payment.in_(keys)))
    tx.fresh.execute(delete(schema.payments).where(_P.payment.in_(keys)))
    for row in rows:
        audit.append(
            tx,
            f"node:{tx.node}",
            ENTRY,
            row.payment,
            {"sender": row.sender, "order_id": row.order_id, "state": row.state},
        )
    for sender, batch in {(row.sender, row.batch) for row in rows if row.batch is not None}:
        left = exists().where(_P.sender == sender, _P.batch == batch)
        tx.fresh.execute(delete(schema.batches).where(_B.sender == sender, _B.batch == batch, ~left))
    in_it = exists().where(schema.bundle_items.c.bundle == schema.bundles.c.bundle)
    tx.fresh.execute(delete(schema.bundles).where(schema.bundles.c.bundle < ulid_from(before_ms), ~in_it))
    _forget_approvals(tx, rows)
    return len(keys)


def _forget_approvals(tx: Tx, rows: Sequence[Any]) -> None:
    """Delete the approval requests and decisions about these orders and their batches, if no payment is left."""
    order = exists().where(_P.sender == _R.sender, _P.order_id == _R.subject)
    batch = exists().where(_B.sender == _R.sender, _B.batch == _R.subject)
    for sender in {row.sender for row in rows}:
        subjects = {name for row in rows if row.sender == sender for name in (row.order_id, row.batch) if name}
        asked = select(_R.request).where(_R.sender == sender, _R.subject.in_(subjects), ~order, ~batch)
        gone = list(tx.fresh.execute(asked).scalars())
        for table in (schema.approvals, schema.approval_requests):
            tx.fresh.execute(delete(table).where(table.c.request.in_(gone)))


def _old(before_ms: int) -> Select[Any]:
    o, w = schema.outbox.c, schema.work.c
    untold = exists().where(o.payment == _P.payment, o.state != OutboxState.SENT.value)
    undone = exists().where(w.payment == _P.payment)
    unfinished = exists().where(_B.sender == _P.sender, _B.batch == _P.batch, _B.open_items > 0)
    return (
        select(_P.payment, _P.sender, _P.order_id, _P.batch, _P.state)
        .where(_P.payment < ulid_from(before_ms), _P.state.in_(_FINAL))
        # A payment dated before the gateway existed was dated by a wrong clock: its age is unknown.
        .where(_P.changed_ms.between(BELIEVED_FROM_MS, before_ms - 1))
        .where(~untold, ~undone, ~unfinished)
        .order_by(_P.payment)
    )
