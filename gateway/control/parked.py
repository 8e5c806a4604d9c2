"""Parked messages: outbox rows that the broker could not deliver; list, replay, discard."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from gateway.control import order_view
from gateway.journal.commit import audit, outbox
from gateway.journal.commit.rows import OutboxRow, OutboxState
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.vaults import vault_of
from protocols.erp.news import instant

_C = schema.outbox.c


def listing(conn: Connection, limit: int, after: str | None) -> list[OutboxRow]:
    """Parked rows of all nodes, oldest first; `after` is the message id of the last one of the page before."""
    statement = select(schema.outbox).where(_C.node.in_(outbox.OWNERS), _C.state == OutboxState.PARKED.value)
    if after is not None:
        statement = statement.where(_C.message_id > after)
    return [outbox.read(row, vault_of(conn)) for row in conn.execute(statement.order_by(_C.message_id).limit(limit))]


def fetch(conn: Connection, message_id: str) -> OutboxRow | None:
    """The row of this message, whatever its state."""
    row = conn.execute(select(schema.outbox).where(_C.message_id == message_id)).first()
    return None if row is None else outbox.read(row, vault_of(conn))


def replay(tx: Tx, message_id: str, actor: str) -> OutboxState | None:
    """Let it be published again, by this node, under the same message id: whoever had it already knows it.

    Returns the state it was in (only a parked one is changed), None if there is no such message.
    """
    return _change(tx, message_id, OutboxState.WAITING, actor, "outbox.replayed", {})


def discard(tx: Tx, message_id: str, actor: str, reason: str) -> OutboxState | None:
    """Nobody needs it any more: its copy stays in queue bankgw.unrouted.news, the row counts as dealt with."""
    return _change(tx, message_id, OutboxState.SENT, actor, "outbox.discarded", {"reason": reason})


def _change(
    tx: Tx, message_id: str, state: OutboxState, actor: str, entry: str, detail: dict[str, Any]
) -> OutboxState | None:
    row = fetch(tx.fresh, message_id)
    if row is None:
        return None
    if row.state is OutboxState.PARKED:
        statement = schema.outbox.update().where(_C.message_id == message_id, _C.state == OutboxState.PARKED.value)
        tx.fresh.execute(statement.values(state=state.value, node=tx.node))
        audit.append(tx, actor, entry, message_id, {"payment": row.payment, "key": row.routing_key, **detail})
    return row.state


def shown(row: OutboxRow) -> dict[str, Any]:
    """One line of the list."""
    return {"from": "outbox", **order_view.mail(row), "payment": row.payment, "written_at": instant(row.created_ms)}
