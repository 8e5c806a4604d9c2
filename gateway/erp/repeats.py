"""Commands that come again: was this very delivery answered before, and only its acknowledgement lost?

Read in the unit that would answer it, and only for what the broker marks as redelivered.
"""

from __future__ import annotations

from sqlalchemy import select

from gateway.journal import schema
from gateway.journal.rows import OutboxRow, PaymentRow, Reply
from gateway.journal.store import Tx
from gateway.journal.telling import EVENTS, REPLIES

_A, _O = schema.audit.c, schema.outbox.c
_REPLY_KEYS = tuple(f"{name}." for name in sorted(REPLIES))


def noted(tx: Tx, key: str, entry: str) -> bool:
    """Whether the audit trail says this of the delivery `key`, the group under way included."""
    if any(note.object_id == key and note.entry == entry for note in tx.notes):
        return True
    found = select(_A.seq).where(_A.object_id == key, _A.entry == entry).limit(1)
    return tx.conn.execute(found).first() is not None


def replied(tx: Tx, row: PaymentRow, reply: Reply) -> bool:
    """Whether the command with this way to answer was told about its payment, the group under way included."""
    if any(_answers(mail.exchange, mail.routing_key, mail.correlation_id, reply) for mail in _mails(tx, row)):
        return True
    sent = select(_O.exchange, _O.routing_key, _O.correlation_id).where(_O.payment == row.payment)
    return any(_answers(*one, reply) for one in tx.conn.execute(sent))


def _mails(tx: Tx, row: PaymentRow) -> list[OutboxRow]:
    return [mail for mail in tx.mails if mail.payment == row.payment]


def _answers(exchange: str, key: str, correlation_id: str | None, reply: Reply) -> bool:
    if correlation_id != reply.correlation_id:
        return False
    if reply.reply_to is not None:
        return exchange == "" and key == reply.reply_to
    return exchange == EVENTS and key.startswith(_REPLY_KEYS)
