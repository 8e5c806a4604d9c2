"""A received command with its context, the result of its unit, and the units that refuse it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial

from gateway.kernel.clock import Entropy
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow, QuestionRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.deliveries import Delivery
from gateway.payments.erp.envelope import Envelope, answer_row, refusal_rows
from gateway.payments.rows import lookup, redelivery, refusals
from gateway.payments.rows.order_checks import OrderSource
from gateway.register.registry import Registry, Sender
from protocols.canon.errors import Code, Refusal
from protocols.canon.fast_init import fast_init
from protocols.erp import replies
from protocols.erp.iso import reading
from protocols.erp.news import instant
from protocols.erp.words import BATCHES, SINGLE_ORDERS, CommandType

_ANSWERED, _REFUSED = "command.answered", "command.refused"


@fast_init
@dataclass(frozen=True, slots=True)
class CommandResult:
    """The result of a command's unit, for the metrics and the commit listeners."""

    result: str
    admitted: tuple[PaymentRow, ...] = ()
    question: QuestionRow | None = None


REPEATED = CommandResult("repeated")
CommandUnit = Callable[[Tx], CommandResult]


@fast_init
@dataclass(frozen=True, slots=True)
class ReceivedCommand:
    """One command from a known sender. `day` is the calendar day for the sender's limits."""

    delivery: Delivery
    envelope: Envelope
    sender: Sender
    type: CommandType
    registry: Registry
    entropy: Entropy
    now_ms: int
    now: datetime
    day: date

    @property
    def key(self) -> str:
        """The command's delivery key: see `delivery_key`."""
        return delivery_key(self.delivery)

    @property
    def actor(self) -> str:
        """The command's sender as the actor of audit entries."""
        return f"user:{self.envelope.user}"

    @property
    def source(self) -> OrderSource:
        """The command's sender, time and reply address, for checking its orders."""
        return OrderSource(
            self.sender,
            self.registry,
            self.envelope.reply,
            self.envelope.coming,
            self.actor,
            self.now_ms,
            self.now,
            self.day,
        )

    def refuse(self, refusal: Refusal, id_: str | None = None) -> CommandUnit:
        """The unit that refuses the command, at most once."""
        return refusing(self.delivery, self.envelope, self.type, self.sender, refusal, id_)

    def answered(self, tx: Tx) -> bool:
        """True if this delivery was answered before, so that only its acknowledgement was lost."""
        return redelivery.noted(tx, self.envelope.coming, self.key, _ANSWERED) or self._surely_refused(tx)

    def _surely_refused(self, tx: Tx) -> bool:
        coming = self.envelope.coming
        return any(coming.surely_answered_by(tx, *note) for note in redelivery.notes(tx, coming, self.key, _REFUSED))

    def was_refused(self, tx: Tx) -> bool:
        """True if this message was refused before and is delivered again, or was refused while it waited in this
        process.

        An order refused in this message must not become a payment, even if it would be accepted now: its sender was
        told that nothing will happen, and may have sent it under another id since.
        """
        return redelivery.noted(tx, self.envelope.coming, self.key, _REFUSED)

    def refuse_again(self, tx: Tx, id_: str) -> CommandResult:
        """The result for a message that `was_refused` before.

        If another node refused it while it waited here, it has its answer. Otherwise it may be a second publish of the
        same command, which needs an answer. Then it is refused too, and the next publish is examined again.
        """
        if self._surely_refused(tx):
            return REPEATED
        before = refusals.fetch(tx.raw, self.key)
        # After its retention the refusal is known from the audit trail alone.
        when = "before" if before is None else f"on {instant(before.at_ms)}"
        title = f"this command was refused {when} and came again; to have it judged anew, publish it once more"
        no = Refusal(Code.EXPIRED if before is None else before.code, title)
        return refusing(self.delivery, self.envelope, self.type, self.sender, no, id_, insist=True)(tx)

    def answer(self, tx: Tx, name: str, said: Mapping[str, object], bank: str, about: Mapping[str, object]) -> None:
        """Enqueue the reply to the command, and record that this delivery was answered."""
        tx.enqueue(answer_row(tx, self.envelope.reply, name, said, self.sender.name, bank))
        audit.append(tx, self.actor, _ANSWERED, self.key, about)


def refusing(
    delivery: Delivery,
    envelope: Envelope,
    command: CommandType | None,
    sender: Sender | None,
    no: Refusal,
    id_: str | None,
    *,
    insist: bool = False,
    owner: str | None = None,
) -> CommandUnit:
    """The unit that refuses a delivery: it stores the refusal, its reply and the parked copy; only once, unless
    `insist`.

    `owner` as in `envelope.refusal_rows`.
    """
    key = delivery_key(delivery)
    name = sender.name if sender else None
    size, digest = (None, None) if delivery.cut is None else (delivery.cut.size, delivery.cut.sha256)

    def refuse_delivery(tx: Tx) -> CommandResult:
        said = replies.rejection(command, id_, no, taken=_taken(tx, delivery, command, sender, id_, no))
        event = replies.rejection_name(command)
        reply, parked = refusal_rows(tx, envelope, delivery, no, event, said, sender, owner)
        write = partial(
            refusals.refuse,
            tx,
            sender=name,
            code=no.code,
            body=delivery.body,
            reply=reply,
            parked=parked,
            size=size,
            sha256=digest,
        )
        fresh = write(key=key)
        if not fresh and (insist or not redelivery.noted(tx, envelope.coming, key, _REFUSED)):
            write(key=f"{key}.{tx.entropy.ulid(tx.now_ms)}")
        return CommandResult(no.code.value)

    return refuse_delivery


def _taken(
    tx: Tx, delivery: Delivery, command: CommandType | None, sender: Sender | None, id_: str | None, no: Refusal
) -> bool:
    """True if the refused order, batch or file has the id of one that the gateway accepted before. The sender may know
    that one as settled, and must not read that it was rejected."""
    if sender is None or id_ is None or command not in SINGLE_ORDERS | BATCHES or no.code is Code.ID_CONFLICT:
        return False
    if lookup.is_taken(tx.read, sender.name, id_) or tx.payment_cache.was_admitted(sender.name, id_):
        return True
    return reading.is_file(delivery.body) and lookup.has_orders_of(tx.raw, sender.name, id_)


def delivery_key(delivery: Delivery) -> str:
    """A key that is equal for all deliveries of one message, as far as the message's properties identify it."""
    said = delivery.properties
    parts = (said.user_id, said.message_id, said.correlation_id, said.reply_to, delivery.routing_key)
    whole = delivery.body if delivery.cut is None else f"{delivery.cut.size} {delivery.cut.sha256}".encode()
    digest = hashlib.sha256("\x1f".join(part or "" for part in parts).encode() + b"\x1f" + whole)
    return digest.hexdigest()
