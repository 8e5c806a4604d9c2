"""The outbox table: messages to publish until the broker confirms them, written in the unit that causes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, bindparam, func, insert, literal, select, union_all, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import DeliveryTries, OutboxRow, OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting
from gateway.kernel.sql.driver import rows, write_many
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of
from protocols.kit.json_writer import json_writer

_MARKED_AT_ONCE = 500
# Up to this many messages are marked one by one with a prepared statement; any number where a statement costs no round
# trip.
_MARKED_ONE_BY_ONE = 8
_C = schema.outbox.c
_object = json_writer()
_INSERT = insert(schema.outbox)
_TRIED: dict[str, Any] = {
    "tries": func.coalesce(_C.tries, 0) + bindparam("b_tries", type_=BigInteger),
    "last_tried_ms": bindparam("b_tried_ms", type_=BigInteger),
    "last_result": bindparam("b_result"),
    "last_text": bindparam("b_text"),
}
"""The tries are written together with the mark, so that a message confirmed at once costs no further statement."""
_MARK = (
    update(schema.outbox)
    .where(_C.message_id.in_(bindparam("b_ids", expanding=True)), _C.state != bindparam("b_state"))
    .values(state=bindparam("b_state"), **_TRIED)
)

_UNSENT = (
    select(schema.outbox)
    .where(_C.node == bindparam("b_node"), _C.state == OutboxState.WAITING.value, _C.message_id > bindparam("b_after"))
    .order_by(_C.message_id)
    .limit(bindparam("b_limit", type_=Integer))
)
_SIZES = (
    select(_C.message_id, func.length(_C.body).label("size"))
    .where(_C.node == bindparam("b_node"), _C.state == OutboxState.WAITING.value, _C.message_id > bindparam("b_after"))
    .order_by(_C.message_id)
    .limit(bindparam("b_limit", type_=Integer))
)
_MARK_ONE = (
    update(schema.outbox)
    .where(_C.message_id == bindparam("b_id"), _C.state != bindparam("b_state"))
    .values(state=bindparam("b_state"), **_TRIED)
)
_NOTE_TRIES = (
    update(schema.outbox)
    .where(_C.message_id == bindparam("b_id"), _C.state == OutboxState.WAITING.value)
    .values(**_TRIED)
)
_USUAL_RESULT = {OutboxState.SENT: "confirmed", OutboxState.PARKED: "returned"}


@dataclass(frozen=True, slots=True)
class OutboxDepth:
    """The length of the outbox: the number of waiting messages, the time of the oldest one (None if there is none), and
    the number of parked messages.
    """

    waiting: int
    oldest_ms: int | None
    parked: int


def flush(tx: Tx) -> None:
    """Write the group's messages to the outbox."""
    if tx.messages:
        write_many(tx.raw, _INSERT, [_columns(row, tx.vault) for row in tx.messages])


def unsent(conn: Connection, node: str, after: str = "", limit: int = 500) -> list[OutboxRow]:
    """This node's waiting messages after message id `after`, in the order in which they were written."""
    vault = vault_of(conn)
    asked = {"b_node": node, "b_after": after, "b_limit": limit}
    return [decode_row(row, vault) for row in rows(conn, _UNSENT, asked)]


def page(conn: Connection, node: str, after: str, limit: int, most_bytes: int) -> tuple[list[OutboxRow], bool]:
    """As `unsent`, limited also to about `most_bytes` of bodies in all. The second value tells whether there may be
    more messages.
    """
    sizes = rows(conn, _SIZES, {"b_node": node, "b_after": after, "b_limit": limit})
    count = total = 0
    for row in sizes:
        count, total = count + 1, total + row.size
        if total >= most_bytes:
            break
    found = unsent(conn, node, after, count) if count else []
    return found, len(sizes) == limit or count < len(sizes)


def mark(
    tx: Tx, message_ids: Sequence[str], state: OutboxState, tries: Mapping[str, DeliveryTries] | None = None
) -> int:
    """Set the state of these messages; returns how many rows changed. Marking twice is harmless.

    `tries` adds the tries of messages that were not published exactly once since their tries were last written.
    """
    changed, usual = 0, _tried(DeliveryTries(1, tx.now_ms, _USUAL_RESULT[state]))
    if tries:
        apart = [{"b_id": one, "b_state": state.value, **_tried(how)} for one, how in tries.items()]
        changed += write_many(tx.raw, _MARK_ONE, apart)
    # These messages are marked already and do not change again.
    for start in range(0, len(message_ids), _MARKED_AT_ONCE):
        some = list(message_ids[start : start + _MARKED_AT_ONCE])
        if len(some) <= _MARKED_ONE_BY_ONE or tx.raw.dialect.name == "sqlite":
            changed += write_many(tx.raw, _MARK_ONE, [{"b_id": one, "b_state": state.value, **usual} for one in some])
        else:
            changed += tx.raw.execute(_MARK, {"b_ids": some, "b_state": state.value, **usual}).rowcount
    if changed:
        detail = {"count": changed, "last": message_ids[-1]}
        audit.append(tx, f"node:{tx.node}", f"outbox.{state.value}", message_ids[0], detail)
    return changed


def note_tries(tx: Tx, tries: Mapping[str, DeliveryTries]) -> None:
    """Add these tries to messages that still wait."""
    write_many(tx.raw, _NOTE_TRIES, [{"b_id": one, **_tried(how)} for one, how in tries.items()])


def _tried(how: DeliveryTries) -> dict[str, Any]:
    text = None if how.text is None else fitting(how.text, _C.last_text)
    return {"b_tries": how.count, "b_tried_ms": how.last_ms, "b_result": how.result, "b_text": text}


NOBODY = ""
"""The owner of messages that their node could not publish and left to any other node."""
OWNERS = union_all(select(schema.units.c.node), select(literal(NOBODY)))
"""All possible owners, so that queries use the index over node and state."""


def disown(tx: Tx) -> int:
    """Release this node's waiting messages, so that any node may publish them; returns their number."""
    waiting = (_C.node == tx.node, _C.state == OutboxState.WAITING.value)
    statement = update(schema.outbox).where(*waiting).values(node=NOBODY)
    left = tx.fresh.execute(statement).rowcount
    if left:
        audit.append(tx, f"node:{tx.node}", "outbox.left", tx.node, {"count": left})
    return left


def has_orphans(conn: Connection) -> bool:
    """True if there are messages that their node released to the other nodes."""
    found = select(_C.message_id).where(_C.node == NOBODY, _C.state == OutboxState.WAITING.value).limit(1)
    return conn.execute(found).first() is not None


def claim_orphans(tx: Tx, dead_node: str, by: str) -> int:
    """Take over the waiting messages of a dead node. If several nodes claim, each row goes to exactly one."""
    statement = update(schema.outbox).where(_C.node == dead_node, _C.state == OutboxState.WAITING.value).values(node=by)
    claimed = tx.fresh.execute(statement).rowcount
    if claimed:
        audit.append(tx, f"node:{by}", "outbox.claimed", dead_node, {"count": claimed})
    return claimed


def depth(conn: Connection) -> OutboxDepth:
    """The length of the outbox over all nodes."""
    counted = conn.execute(
        select(_C.state, func.count(), func.min(_C.created_ms))
        .where(_C.state != OutboxState.SENT.value)
        .group_by(_C.state)
    )
    by_state = {state: (number, oldest_ms) for state, number, oldest_ms in counted}
    waiting, oldest_ms = by_state.get(OutboxState.WAITING.value, (0, None))
    return OutboxDepth(waiting, oldest_ms, by_state.get(OutboxState.PARKED.value, (0, None))[0])


def of_payment(conn: Connection, payment: str) -> list[OutboxRow]:
    """All messages about one payment, oldest first."""
    vault = vault_of(conn)
    statement = select(schema.outbox).where(_C.payment == payment).order_by(_C.message_id)
    return [decode_row(row, vault) for row in conn.execute(statement)]


def _aad(message_id: str) -> bytes:
    return b"outbox/body/" + message_id.encode()


def _columns(row: OutboxRow, vault: Vault) -> dict[str, Any]:
    return {
        "message_id": row.message_id,
        "node": row.node,
        "state": row.state.value,
        "exchange": row.exchange,
        "routing_key": row.routing_key,
        "headers": _object(dict(row.headers)),
        "correlation_id": row.correlation_id,
        "content_type": row.content_type,
        "payment": row.payment,
        "created_ms": row.created_ms,
        "body": vault.seal(row.body, _aad(row.message_id)),
    }


def decode_row(row: Any, vault: Vault) -> OutboxRow:
    """A row of the outbox table as a value."""
    return OutboxRow(
        message_id=row.message_id,
        node=row.node,
        exchange=row.exchange,
        routing_key=row.routing_key,
        body=vault.open(row.body, _aad(row.message_id)),
        headers=json.loads(row.headers),
        correlation_id=row.correlation_id,
        content_type=row.content_type,
        payment=row.payment,
        created_ms=row.created_ms,
        state=OutboxState(row.state),
        tries=row.tries and DeliveryTries(row.tries, row.last_tried_ms, row.last_result, row.last_text),
    )
