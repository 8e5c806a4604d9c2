"""A command that came in and was read, with everything known about it; what it ended in; how it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from gateway.clock import Entropy
from gateway.core.policy import Route
from gateway.erp import mail
from gateway.erp.mail import Letter
from gateway.erp.wire import Delivery
from gateway.journal import audit, refusals, repeats
from gateway.journal.rows import PaymentRow, QuestionRow
from gateway.journal.store import Tx
from gateway.registry import Registry, Sender
from protocols.canon.errors import Code, Fault, Refusal
from protocols.erp import replies
from protocols.erp.words import CommandType

_ANSWERED = "command.answered"


@dataclass(frozen=True, slots=True)
class Done:
    """What a unit did, for the counters and for those who go on with it."""

    result: str
    admitted: tuple[PaymentRow, ...] = ()
    question: QuestionRow | None = None


REPEATED = Done("repeated")
Unit = Callable[[Tx], Done]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One command of a known sender. `day` is the calendar day in which limits count."""

    delivery: Delivery
    letter: Letter
    sender: Sender
    type: CommandType
    registry: Registry
    entropy: Entropy
    now_ms: int
    now: datetime
    day: date

    @property
    def key(self) -> str:
        """See `delivery_key`."""
        return delivery_key(self.delivery)

    @property
    def actor(self) -> str:
        """Who did it, for the audit trail."""
        return f"user:{self.letter.user}"

    def refuse(self, refusal: Refusal, id_: str | None = None) -> Unit:
        """The unit that refuses it, once."""
        return refusing(self.entropy, self.delivery, self.letter, self.type, self.sender, refusal, id_)

    def answered(self, tx: Tx) -> bool:
        """Whether this very delivery was answered before, and only its acknowledgement was lost."""
        return repeats.noted(tx, self.letter.coming, self.key, _ANSWERED)

    def answer(self, tx: Tx, name: str, said: Mapping[str, object], bank: str, about: Mapping[str, object]) -> None:
        """Mail the reply, and note that this delivery has it."""
        tx.mail(mail.answer_row(tx, self.letter.reply, name, said, self.sender.name, bank, self.entropy))
        audit.append(tx, self.actor, _ANSWERED, self.key, about)


def refusing(
    entropy: Entropy, delivery: Delivery, letter: Letter, command: CommandType | None, sender: Sender | None,
    no: Refusal, id_: str | None,
) -> Unit:  # fmt: skip
    """The unit that refuses a delivery, once: the refusal, its reply and the parked copy."""
    key = delivery_key(delivery)
    name = sender.name if sender else None

    def unit(tx: Tx) -> Done:
        said = replies.rejection(command, id_, no)
        event = replies.rejection_name(command)
        reply, parked = mail.refusal(tx, letter, delivery, no, event, said, sender, entropy)
        fresh = refusals.refuse(tx, key, name, no.code, delivery.body, reply, parked)
        if not fresh and not repeats.noted(tx, letter.coming, key, "command.refused"):
            again = f"{key}.{entropy.ulid(tx.now_ms)}"
            refusals.refuse(tx, again, name, no.code, delivery.body, reply, parked)
        return Done(no.code.value)

    return unit


def delivery_key(delivery: Delivery) -> str:
    """The same for every delivery of one message, as far as its properties can tell messages apart."""
    said = delivery.properties
    parts = (said.user_id, said.message_id, said.correlation_id, said.reply_to, delivery.routing_key)
    digest = hashlib.sha256("\x1f".join(part or "" for part in parts).encode() + b"\x1f" + delivery.body)
    return digest.hexdigest()


def validation(faults: tuple[Fault, ...], route: Route | None) -> Refusal:
    """The refusal of a command for what is wrong in its fields."""
    many = "1 field" if len(faults) == 1 else f"{len(faults)} fields"
    return Refusal(Code.VALIDATION, f"{many} cannot be sent to {route.bank if route else 'any bank'}", faults)
