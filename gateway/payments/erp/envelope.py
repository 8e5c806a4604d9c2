"""The envelope of a command (its message properties), and the outbox rows of replies and parked copies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.kernel.clock import uuid7
from gateway.kernel.commit.rows import OutboxRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.deliveries import DEAD, DEAD_LETTERED, Delivery
from gateway.payments.rows import events
from gateway.payments.rows.redelivery import Redelivery
from gateway.register.registry import Sender
from protocols.canon.errors import Code, Refusal
from protocols.canon.fast_init import fast_init
from protocols.erp import commands, replies, routing, signature
from protocols.erp.news import routing_key
from protocols.erp.routing import EVENTS

NO_BANK = "none"
MAX_CONTENT_TYPE = 64
ACCEPT = "accept"
"""The header in which a sender may name the ISO 20022 message for the reply."""
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]{1,100})?")
PARKED_CODES = frozenset(
    {
        Code.INTERNAL,
        Code.MALFORMED,
        Code.TOO_LARGE,
        Code.UNKNOWN_TYPE,
        Code.TYPE_CONFLICT,
        Code.NO_SENDER,
        Code.UNKNOWN_SENDER,
        Code.BAD_SIGNATURE,
        Code.REPLY_TO_REFUSED,
    }
)
"""Refusals that suggest a broken or hostile client: the message is parked for a person."""


@fast_init
@dataclass(frozen=True, slots=True)
class Envelope:
    """The envelope of a command. `signature` and `header_type` come from its headers.

    `problem` says why its reply-to cannot be used; then `reply` names no queue.
    """

    user: str
    reply: Reply
    problem: Refusal | None
    header_type: str | None
    signature: str | None
    coming: Redelivery


def envelope_of(delivery: Delivery, arrived_ms: int) -> Envelope:
    """The envelope of a delivered command. The correlation id defaults to the message id; both forms of reply-to are
    accepted."""
    said = delivery.properties
    queue = None if not said.reply_to else routing.reply_queue(said.reply_to)
    problem = queue if isinstance(queue, Refusal) else None
    medium = commands.media(said.content_type, delivery.body)
    if isinstance(medium, Refusal):
        medium = commands.Media.JSON
    reply = Reply(
        reply_to=None if isinstance(queue, Refusal) else queue,
        correlation_id=said.correlation_id or said.message_id,
        traceparent=_traceparent(said.headers),
        content_type=commands.answer_form(medium, delivery.body, _text(said.headers, ACCEPT)),
    )
    return Envelope(
        said.user_id or "anonymous",
        reply,
        problem,
        _text(said.headers, "type"),
        _text(said.headers, signature.HEADER),
        Redelivery(delivery.redelivered, arrived_ms),
    )


def _text(headers: Mapping[str, object], name: str) -> str | None:
    value = headers.get(name)
    return value if isinstance(value, str) else None


def _traceparent(headers: Mapping[str, object]) -> str | None:
    """The command's traceparent if it is well formed, because it is stored and repeated in every reply."""
    found = _text(headers, "traceparent")
    return found if found is not None and _TRACEPARENT.fullmatch(found) else None


def is_dead_lettered(delivery: Delivery) -> bool:
    """True if the message is rejected as a whole and the broker itself parks it, because it is too large for the
    journal."""
    return delivery.cut is not None and delivery.queue in DEAD_LETTERED


def may_reply(said: Envelope, sender: Sender, *, money: bool) -> bool:
    """True if this sender may use the reply queue that it names. Direct reply-to does not last long enough for money
    commands."""
    queue = said.reply.reply_to
    if queue is None:
        return True
    if routing.is_direct(queue):
        return not money
    return sender.reply_to.fullmatch(queue) is not None


def answer_row(tx: Tx, reply: Reply, event: str, fields: Mapping[str, Any], sender: str, bank: str | None) -> OutboxRow:
    """The outbox row of a reply in the command's form: to the requested queue, or without a queue as an event for the
    sender."""
    bank = bank or NO_BANK
    key = reply.reply_to
    exchange = "" if key is not None else EVENTS
    form = reply.content_type if key is not None else commands.Media.JSON.value
    body = replies.reply_body(event, fields, form, tx.now_ms)
    to = (exchange, key or routing_key(event, bank, sender))
    return events.message(tx, event, body, to, (bank, sender), reply, tx.now_ms, replies.media_of(body))


def refusal_rows(
    tx: Tx,
    said: Envelope,
    delivery: Delivery,
    refused: Refusal,
    event: str,
    fields: Mapping[str, Any],
    sender: Sender | None,
    owner: str | None = None,
) -> tuple[OutboxRow | None, OutboxRow | None]:
    """The outbox rows of a refused command: the reply and the parked copy, each if required.

    `owner`: for a command of an unknown user, the sender that owns the reply-to queue. The queue gets a notice without
    any content of the command, so that a stranger cannot put a text about an order into another sender's queue.
    """
    reply: OutboxRow | None = None
    if sender is not None:
        allowed = may_reply(said, sender, money=False)
        told = said.reply if allowed else replace(said.reply, reply_to=None)
        reply = answer_row(tx, told, event, fields, sender.name, None)
    elif owner is not None:
        notice = {"event": replies.COMMAND_REJECTED, "error": fields["error"]}
        told = Reply(said.reply.reply_to, None, None, commands.Media.JSON.value)
        reply = answer_row(tx, told, replies.COMMAND_REJECTED, notice, owner, None)
    if is_dead_lettered(delivery) or (sender is not None and refused.code not in PARKED_CODES):
        return reply, None
    headers = {
        "refused": refused.code.value,
        "refused_title": refused.title[:500],
        "original_key": delivery.routing_key,
        "original_user": said.user,
        "original_queue": delivery.queue,
        "original_id": delivery.properties.message_id or "",
    }
    if delivery.cut is not None:
        # Only the first bytes are parked here: no dead-letter exchange takes this message.
        headers |= {"original_size": str(delivery.cut.size), "original_sha256": delivery.cut.sha256}
    parked = OutboxRow(
        message_id=uuid7(tx.entropy.ulid(tx.now_ms)),
        node=tx.node,
        exchange=DEAD,
        routing_key=delivery.routing_key,
        body=delivery.body,
        headers=headers,
        correlation_id=delivery.properties.correlation_id,
        content_type=_shown_type(delivery),
        created_ms=tx.now_ms,
    )
    return reply, parked


def _shown_type(delivery: Delivery) -> str:
    """The content type of the parked copy: that of the command, unless it is implausibly long."""
    said = delivery.properties.content_type
    return said if said and len(said) <= MAX_CONTENT_TYPE else "application/octet-stream"
