"""Parked messages: outbox rows that the broker could not deliver; list, replay, discard.

Only messages to the ERP are replayed. Parked copies of an ERP's commands stay where they are, because the gateway never
publishes in an ERP's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from gateway.call import Call, Denied, answers
from gateway.control.acts.node import CountParked, DiscardMessage, ListParked, NamedMessage, ReplayParked, ShowParked
from gateway.control.ports import BrokerPort, LanePort
from gateway.kernel.commit import audit, outbox
from gateway.kernel.commit.rows import OutboxRow, OutboxState, PaymentRow
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.deliveries import DEAD
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.act_answers import order_view
from gateway.payments.act_answers.order_view import Masking
from gateway.payments.rows import lookup
from protocols.erp.news import instant

_C = schema.outbox.c


def listing(conn: Connection, limit: int, after: str | None) -> list[OutboxRow]:
    """Parked rows of all nodes, oldest first; `after` is the message id of the last one of the page before."""
    statement = select(schema.outbox).where(_C.node.in_(outbox.OWNERS), _C.state == OutboxState.PARKED.value)
    if after is not None:
        statement = statement.where(_C.message_id > after)
    return [
        outbox.decode_row(row, vault_of(conn)) for row in conn.execute(statement.order_by(_C.message_id).limit(limit))
    ]


def fetch(conn: Connection, message_id: str) -> OutboxRow | None:
    """The row of this message, whatever its state."""
    row = conn.execute(select(schema.outbox).where(_C.message_id == message_id)).first()
    return None if row is None else outbox.decode_row(row, vault_of(conn))


def replay(tx: Tx, message_id: str, actor: str) -> OutboxState | None:
    """Let this node publish the message again under the same message id, so that a receiver that had it already
    recognises it.

    Returns the message's state before (only a parked one is changed), None if there is no such message.
    """
    return _change(tx, message_id, OutboxState.WAITING, actor, "outbox.replayed", {})


def discard(tx: Tx, message_id: str, actor: str, reason: str) -> OutboxState | None:
    """Mark the row as dealt with, because nobody needs the message. Its copy stays in queue bankgw.unrouted.news."""
    return _change(tx, message_id, OutboxState.SENT, actor, "outbox.discarded", {"reason": reason})


def _of_the_erp(since_ms: int | None, word: str | None) -> tuple[ColumnElement[bool], ...]:
    """The conditions of parked messages to the ERP."""
    found: list[ColumnElement[bool]] = [
        _C.node.in_(outbox.OWNERS),
        _C.state == OutboxState.PARKED.value,
        _C.exchange != DEAD,
    ]
    if since_ms is not None:
        found.append(_C.created_ms >= since_ms)
    if word is not None:
        texts = _C.last_result, _C.last_text
        found.append(or_(*(func.lower(one).contains(word.lower(), autoescape=True) for one in texts)))
    return tuple(found)


def count(conn: Connection, since_ms: int | None, word: str | None) -> tuple[int, str | None]:
    """How many parked messages to the ERP there are, and the id of the last one."""
    counted = select(func.count(), func.max(_C.message_id)).where(*_of_the_erp(since_ms, word))
    number, last = conn.execute(counted).one()
    return int(number), last


def replay_some(tx: Tx, asked: ReplayParked, since_ms: int | None, actor: str) -> list[str]:
    """Let this node publish the next parked messages again, in their order; returns their ids."""
    these = _C.message_id > asked.after, _C.message_id <= asked.through, *_of_the_erp(since_ms, asked.word)
    ids = list(
        tx.fresh.execute(select(_C.message_id).where(*these).order_by(_C.message_id).limit(asked.limit)).scalars()
    )
    if ids:
        statement = schema.outbox.update().where(_C.message_id.in_(ids), _C.state == OutboxState.PARKED.value)
        tx.fresh.execute(statement.values(state=OutboxState.WAITING.value, node=tx.node))
        detail = {"count": len(ids), "last": ids[-1], "since_ms": since_ms, "word": asked.word}
        audit.append(tx, actor, "outbox.replayed_many", ids[0], detail)
    return ids


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


@dataclass(frozen=True, slots=True)
class ParkedAnswers:
    """Answers the acts about parked messages."""

    store: Store
    lanes: LanePort
    broker: BrokerPort

    @answers("parked.list")
    async def parked(self, _call: Call, params: ListParked) -> Any:
        """Parked rows of all nodes, the oldest first."""
        limit, after = params.limit, params.after
        rows = await self.store.read(lambda conn: listing(conn, limit, after))
        following = rows[-1].message_id if len(rows) == limit else None
        return {"parked": [shown(row) for row in rows], "next": following}

    @answers("parked.show")
    async def parked_one(self, call: Call, params: ShowParked) -> Any:
        """A parked message with its body."""
        clear, message_id = params.clear, params.message

        def message_and_payment(conn: Connection) -> tuple[OutboxRow, PaymentRow | None] | None:
            row = fetch(conn, message_id)
            if row is None:
                return None
            return row, None if row.payment is None else lookup.fetch(conn, row.payment)

        found = await self.store.read(message_and_payment)
        if found is None:
            raise _no_message(message_id)
        row, payment = found
        if clear:
            await self.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "outbox.shown_clear", message_id, {"payment": row.payment})
            )
        masking = Masking((), (), clear) if payment is None else _masking_of(payment, self.lanes, clear)
        return {**shown(row), "headers": dict(row.headers), "body": masking.octets(row.body)}

    @answers("parked.replay")
    async def replay(self, call: Call, params: NamedMessage) -> Any:
        """Publish a parked message again, when its receiver can be reached again."""
        message_id = params.message
        was = await self.store.write(lambda tx: replay(tx, message_id, call.peer.actor))
        self._was_parked(message_id, was)
        self.broker.republish()
        return {"message_id": message_id, "state": OutboxState.WAITING.value}

    @answers("parked.count")
    async def count(self, _call: Call, params: CountParked) -> Any:
        """Answer with the number of parked messages to the ERP that would be published again."""
        since_ms, word = _time_ms(params.since), params.word
        number, last = await self.store.read(lambda conn: count(conn, since_ms, word))
        return {"count": number, "last": last}

    @answers("parked.replay_all")
    async def replay_all(self, call: Call, params: ReplayParked) -> Any:
        """Publish the next parked messages again. The command repeats this request, so that they are published at a
        limited pace."""
        since_ms = _time_ms(params.since)
        ids = await self.store.write(lambda tx: replay_some(tx, params, since_ms, call.peer.actor))
        self.broker.republish()
        return {"replayed": len(ids), "next": ids[-1] if len(ids) == params.limit else None}

    @answers("parked.discard")
    async def discard(self, call: Call, params: DiscardMessage) -> Any:
        """Mark a parked message as dealt with."""
        message_id, reason = params.message, params.reason
        was = await self.store.write(lambda tx: discard(tx, message_id, call.peer.actor, reason))
        self._was_parked(message_id, was)
        return {"message_id": message_id, "state": "discarded"}

    def _was_parked(self, message_id: str, was: OutboxState | None) -> None:
        if was is None:
            raise _no_message(message_id)
        if was is not OutboxState.PARKED:
            raise Denied(409, "not_parked", f"message {message_id} is {was.value}, not parked; nothing was changed")


def _time_ms(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Denied(400, "bad_time", f"`since` is a time as 2026-11-30T09:00+08:00, not {text!r}") from None
    return int(at.astimezone().timestamp() * 1000)


def _no_message(message_id: str) -> Denied:
    return Denied(404, "no_such_message", f"there is no message {message_id} in the outbox")


def _masking_of(row: PaymentRow, lanes: LanePort, clear: bool) -> Masking:
    lane = lanes.lanes.get(row.lane)
    return order_view.masking_of((row,), {} if lane is None else lane.parts.credentials, clear=clear)
