"""Events and replies to the ERP: a state change becomes an event and, if it answers a command, also a reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from gateway.kernel.clock import uuid7
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxRow, PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import UNSENT
from gateway.payments.rows.redelivery import Redelivery
from protocols.canon.money import Money
from protocols.canon.outcome import Fate, State
from protocols.erp import replies
from protocols.erp.news import News, body, fields, instant, routing_key, write_json
from protocols.erp.routing import EVENTS

ACCEPTED, REJECTED = "payment.accepted", "payment.rejected"
REPLIES = frozenset({ACCEPTED, REJECTED})
_NOBODY = Reply(None, None, None, "application/json")


class EventExtras(TypedDict, total=False):
    """The fields of an event that are not in the payment's row. See News."""

    was: State | None
    evidence: str | None
    fee: Money | None
    reported: Fate | None
    next_enquiry_ms: int | None
    replayed: bool


def news_of(
    row: PaymentRow, event: str, seq: int, at_ms: int, *, state: State | None = None, **also: Unpack[EventExtras]
) -> News:
    """The content of an event: the fields of the payment's row, and the fields that are not in it. `state` replaces the
    row's state."""
    state = row.life.state if state is None else state
    rejected = state is State.REJECTED
    return News(
        event=event,
        id=row.order.id,
        payment=row.payment,
        sender=row.sender,
        bank=row.bank,
        state=state,
        seq=seq,
        at_ms=at_ms,
        kind=row.order.kind,
        amount=row.order.amount,
        bank_reference=None if rejected else row.bank_ref,
        bank_serial=row.bank_serial,
        bank_code=row.bank_code,
        bank_text=row.bank_text,
        booked_ms=row.booked_ms,
        hold_reasons=row.holds,
        send_after_ms=row.life.send_after_ms if state in UNSENT else None,
        refusal=row.refusal if rejected else None,
        batch=row.batch,
        item_no=row.item_no,
        tags=row.order.tags,
        **also,
    )


def publish(tx: Tx, row: PaymentRow, news: News) -> None:
    """Enqueue the event. Enqueue the reply too, if the event answers the command and the command named a queue."""
    said = body(news)
    assert news.bank is not None
    _enqueue(tx, row, news, said, EVENTS, routing_key(news.event, news.bank, news.sender), row.reply)
    if news.event in REPLIES and row.reply.reply_to:
        _reply(tx, row, news, row.reply)


def replay(tx: Tx, row: PaymentRow, reply: Reply) -> None:
    """Answer a repeated command with the payment's present state, in its reply queue or else as an event."""
    event = REJECTED if row.life.state is State.REJECTED else ACCEPTED
    news = news_of(row, event, row.life.seq, tx.now_ms, replayed=True)
    if reply.reply_to:
        _reply(tx, row, news, reply)
    else:
        _enqueue(tx, row, news, body(news), EVENTS, routing_key(event, row.bank, row.sender), reply)


def answered(tx: Tx, row: PaymentRow, coming: Redelivery, reply: Reply) -> bool:
    """True if this command was answered before: it was delivered again because its acknowledgement was lost."""
    if not coming.doubtful(tx):
        return False
    sent = [one for one in tx.messages if one.payment == row.payment] + outbox.of_payment(tx.read, row.payment)
    return any(_answers(one, reply) and coming.answered_by(tx, one.node, one.created_ms) for one in sent)


def _answers(sent: OutboxRow, reply: Reply) -> bool:
    asked = reply.reply_to or None
    there = sent.routing_key if sent.exchange == "" else None
    return sent.headers.get("type") in REPLIES and sent.correlation_id == reply.correlation_id and there == asked


def _reply(tx: Tx, row: PaymentRow, news: News, reply: Reply) -> None:
    """Enqueue a reply in the format of its command (events are always JSON)."""
    assert reply.reply_to is not None
    said = replies.reply_body(news.event, fields(news), reply.content_type, tx.now_ms)
    _enqueue(tx, row, news, said, "", reply.reply_to, reply, replies.media_of(said))


def _enqueue(
    tx: Tx,
    row: PaymentRow,
    news: News,
    said: bytes,
    exchange: str,
    key: str,
    reply: Reply,
    content_type: str = "application/json",
) -> None:
    tx.enqueue(
        message(
            tx, news.event, said, (exchange, key), (row.bank, row.sender), reply, news.at_ms, content_type, row.payment
        )
    )


def tell(tx: Tx, said: Mapping[str, Any], bank: str, sender: str, reply: Reply = _NOBODY) -> None:
    """Enqueue an event for one sender that is about no payment's state. `reply` gives the event its correlation."""
    event = str(said["event"])
    to = EVENTS, routing_key(event, bank, sender)
    tx.enqueue(message(tx, event, write_json(said), to, (bank, sender), reply, tx.now_ms))


def message(
    tx: Tx,
    event: str,
    said: bytes,
    to: tuple[str, str],
    about: tuple[str, str],
    reply: Reply,
    at_ms: int,
    content_type: str = "application/json",
    payment: str | None = None,
) -> OutboxRow:
    """One message as an outbox row, with CloudEvents headers. `to`: exchange and routing key; `about`: bank and
    sender."""
    message_id = uuid7(tx.entropy.ulid(tx.now_ms))
    bank, sender = about
    headers = {
        "type": event,
        "bank": bank,
        "sender": sender,
        "cloudEvents_specversion": "1.0",
        "cloudEvents_type": event,
        "cloudEvents_source": "/bankgw",
        "cloudEvents_id": message_id,
        "cloudEvents_time": instant(at_ms),
    }
    if reply.traceparent:
        headers["traceparent"] = reply.traceparent
    return OutboxRow(
        message_id=message_id,
        node=tx.node,
        exchange=to[0],
        routing_key=to[1],
        body=said,
        headers=headers,
        correlation_id=reply.correlation_id,
        content_type=content_type,
        payment=payment,
        created_ms=tx.now_ms,
    )
