"""Deletes payments and statement entries whose retention is over. Each payment leaves an audit entry with its identity.

A payment goes with everything about it: attempts, evidence, messages, its place in a batch. It must be final, with
nothing to do or to tell. Its order id is forgotten with it, so the settings keep payments for at least 400 days. Keys
begin with the time, so that what is old is found without looking at what is not.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, delete, exists, select

from gateway.journal.commit import audit
from gateway.journal.commit.rows import OutboxState
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from protocols.canon.outcome import STATE_TABLE

ENTRY = "payment.purged"
_FINAL = tuple(state.value for state, facts in STATE_TABLE.items() if facts.final)
_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_P, _S = schema.payments.c, schema.statement_entries.c
_OF_PAYMENT = (schema.attempts, schema.evidence, schema.work, schema.bundle_items, schema.outbox)


def key_at(at_ms: int) -> str:
    """The smallest key of that moment: keys are ULIDs."""
    digits = []
    for _ in range(10):
        at_ms, digit = divmod(at_ms, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)) + "0" * 16


def due(conn: Connection, before_ms: int, most: int) -> int:
    """How many payments are past their retention, counted up to `most`."""
    return len(list(conn.execute(_old(before_ms).limit(most))))


def forget_payments(tx: Tx, before_ms: int, most: int) -> int:
    """Delete so many payments that were over before that time. Returns how many."""
    rows = list(tx.fresh.execute(_old(before_ms).limit(most)))
    keys = [row.payment for row in rows]
    if not keys:
        return 0
    for table in _OF_PAYMENT:
        tx.fresh.execute(delete(table).where(table.c.payment.in_(keys)))
    tx.fresh.execute(delete(schema.payments).where(_P.payment.in_(keys)))
    for row in rows:
        audit.append(tx, f"node:{tx.node}", ENTRY, row.payment, {
            "sender": row.sender, "order_id": row.order_id, "state": row.state,
        })  # fmt: skip
    for sender, batch in {(row.sender, row.batch) for row in rows if row.batch is not None}:
        left = exists().where(_P.sender == sender, _P.batch == batch)
        tx.fresh.execute(delete(schema.batches).where(
            schema.batches.c.sender == sender, schema.batches.c.batch == batch, ~left))  # fmt: skip
    in_it = exists().where(schema.bundle_items.c.bundle == schema.bundles.c.bundle)
    tx.fresh.execute(delete(schema.bundles).where(schema.bundles.c.bundle < key_at(before_ms), ~in_it))
    return len(keys)


def forget_entries(tx: Tx, before_ms: int, most: int) -> int:
    """Delete so many statement entries that were seen before that time. Returns how many."""
    old = select(_S.entry).where(_S.entry < key_at(before_ms)).order_by(_S.entry).limit(most)
    keys = list(tx.fresh.execute(old).scalars())
    if keys:
        tx.fresh.execute(delete(schema.statement_entries).where(_S.entry.in_(keys)))
        audit.append(tx, f"node:{tx.node}", "statement.purged", keys[-1], {"entries": len(keys)})
    return len(keys)


def entries_due(conn: Connection, before_ms: int, most: int) -> int:
    """How many statement entries are past their retention, counted up to `most`."""
    return len(list(conn.execute(select(_S.entry).where(_S.entry < key_at(before_ms)).limit(most))))


def _old(before_ms: int) -> Select[Any]:
    o, w, b = schema.outbox.c, schema.work.c, schema.batches.c
    untold = exists().where(o.payment == _P.payment, o.state != OutboxState.SENT.value)
    undone = exists().where(w.payment == _P.payment)
    unfinished = exists().where(b.sender == _P.sender, b.batch == _P.batch, b.open_items > 0)
    return (
        select(_P.payment, _P.sender, _P.order_id, _P.batch, _P.state)
        .where(_P.payment < key_at(before_ms), _P.state.in_(_FINAL), _P.changed_ms < before_ms)
        .where(~untold, ~undone, ~unfinished).order_by(_P.payment)
    )  # fmt: skip
