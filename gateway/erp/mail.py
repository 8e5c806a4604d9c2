"""Who to answer, and what the answer looks like as a message: properties in, outbox rows out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.clock import Entropy, uuid7
from gateway.erp.wire import Delivery
from gateway.journal.rows import OutboxRow, Reply
from gateway.journal.store import Tx
from gateway.registry import Sender
from protocols.canon.errors import Code, Refusal
from protocols.erp.news import instant, routing_key

EVENTS = "bankgw.events"
DEAD = "bankgw.dead"
DIRECT_REPLY = "amq.rabbitmq.reply-to"
NO_BANK = "none"
PARKED_CODES = frozenset({
    Code.INTERNAL, Code.MALFORMED, Code.TOO_LARGE, Code.UNKNOWN_TYPE, Code.TYPE_CONFLICT, Code.NO_SENDER,
    Code.UNKNOWN_SENDER, Code.BAD_SIGNATURE, Code.REPLY_TO_REFUSED,
})  # fmt: skip
"""Refusals that point to a broken or hostile client: a person should see the message itself."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What the envelope of a command says. `signature` and `header_type` come from its headers."""

    user: str
    reply: Reply
    header_type: str | None
    signature: str | None


def letter(delivery: Delivery) -> Letter:
    """Read the envelope. The correlation id defaults to the message id; both spellings of reply-to are understood."""
    said = delivery.properties
    reply = Reply(
        reply_to=_queue(said.reply_to),
        correlation_id=said.correlation_id or said.message_id,
        traceparent=_text(said.headers, "traceparent"),
    )
    return Letter(said.user_id or "anonymous", reply, _text(said.headers, "type"), _text(said.headers, "signature"))


def _text(headers: Mapping[str, object], name: str) -> str | None:
    value = headers.get(name)
    return value if isinstance(value, str) else None


def _queue(reply_to: str | None) -> str | None:
    """A queue's name; AMQP 1.0 clients write `/queues/NAME`, percent-encoded."""
    if reply_to is None:
        return None
    return unquote(reply_to.removeprefix("/queues/")) if reply_to.startswith("/queues/") else reply_to


def may_reply(said: Letter, sender: Sender, *, money: bool) -> bool:
    """Whether this sender may have replies sent there; direct reply-to lives too short for money."""
    queue = said.reply.reply_to
    if queue is None:
        return True
    if queue.startswith(DIRECT_REPLY):
        return not money
    return sender.reply_to.fullmatch(queue) is not None


def answer(
    tx: Tx, said: Letter, event: str, body: bytes, sender: str, bank: str | None, entropy: Entropy
) -> None:
    """Mail an answer to the command's queue, or as an event if it named none."""
    tx.mail(answer_row(tx, said.reply, event, body, sender, bank, entropy))


def answer_row(
    tx: Tx, reply: Reply, event: str, body: bytes, sender: str, bank: str | None, entropy: Entropy
) -> OutboxRow:
    """The outbox row of an answer: to the queue it asked for, else an event for the sender."""
    bank = bank or NO_BANK
    key = reply.reply_to
    exchange = "" if key is not None else EVENTS
    return _row(tx, exchange, key or routing_key(event, bank, sender), body, event, bank, sender, reply, entropy)


def refusal(
    tx: Tx, said: Letter, delivery: Delivery, refused: Refusal, body: bytes, sender: Sender | None, entropy: Entropy
) -> tuple[OutboxRow | None, OutboxRow | None]:
    """The reply of a refusal and the parked copy of the command, each if it is called for."""
    reply: OutboxRow | None = None
    if sender is not None:
        allowed = may_reply(said, sender, money=False)
        told = said.reply if allowed else Reply(None, said.reply.correlation_id, said.reply.traceparent)
        reply = answer_row(tx, told, "payment.rejected", body, sender.name, None, entropy)
    if reply is not None and refused.code not in PARKED_CODES:
        return reply, None
    headers = {
        "refused": refused.code.value, "refused_title": refused.title[:500], "original_key": delivery.routing_key,
        "original_user": said.user, "original_queue": delivery.queue, "original_id": delivery.properties.message_id or "",
    }  # fmt: skip
    parked = OutboxRow(
        message_id=uuid7(entropy.ulid(tx.now_ms)), node=tx.node, exchange=DEAD, routing_key=delivery.routing_key,
        body=delivery.body, headers=headers, correlation_id=delivery.properties.correlation_id,
        content_type=delivery.properties.content_type or "application/octet-stream", created_ms=tx.now_ms,
    )  # fmt: skip
    return reply, parked


def _row(
    tx: Tx, exchange: str, key: str, body: bytes, event: str, bank: str, sender: str, reply: Reply, entropy: Entropy
) -> OutboxRow:
    message_id = uuid7(entropy.ulid(tx.now_ms))
    headers = {
        "type": event, "bank": bank, "sender": sender, "cloudEvents_specversion": "1.0", "cloudEvents_type": event,
        "cloudEvents_source": "/bankgw", "cloudEvents_id": message_id, "cloudEvents_time": instant(tx.now_ms),
    }  # fmt: skip
    if reply.traceparent:
        headers["traceparent"] = reply.traceparent
    return OutboxRow(
        message_id=message_id, node=tx.node, exchange=exchange, routing_key=key, body=body, headers=headers,
        correlation_id=reply.correlation_id, created_ms=tx.now_ms,
    )  # fmt: skip
