"""The journal's rows as values. Bytes and personal fields are clear here and sealed in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.kernel.core.states import Life, Source, Work
from protocols.canon.errors import Refusal
from protocols.canon.fast_init import fast_init
from protocols.canon.order import AnyOrder
from protocols.canon.outcome import Fate


@fast_init
@dataclass(frozen=True, slots=True)
class Reply:
    """Where and how to reply to a command: its queue, correlation id, trace and content type."""

    reply_to: str | None
    correlation_id: str | None
    traceparent: str | None = None
    content_type: str = "application/json"


@fast_init
@dataclass(frozen=True, slots=True)
class PaymentRow:
    """One payment. Its identity is (`sender`, `order.id`); `payment` is the gateway's own key (a ULID); `bank_ref` is
    unique per lane.

    `version` increases with every write and is compared on update; `epoch` is the lane's epoch at the last change.
    `refusal` says why a rejected payment was rejected. `fixed` is the part of its seal that never changes; a row that
    was never written has none.
    """

    payment: str
    company: str
    sender: str
    bank: str
    lane: str
    order: AnyOrder
    fingerprint: str
    life: Life
    version: int
    epoch: int
    bank_ref: str
    reply: Reply
    accepted_ms: int
    changed_ms: int
    bank_serial: str | None = None
    bank_code: str | None = None
    bank_text: str | None = None
    booked_ms: int | None = None
    holds: tuple[str, ...] = ()
    cleared: tuple[str, ...] = ()
    batch: str | None = None
    item_no: int | None = None
    refusal: Refusal | None = None
    fixed: str | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The payment as operators name it: SENDER:ID."""
        return f"{self.sender}:{self.order.id}"

    @property
    def hold_reason(self) -> str | None:
        """The most serious reason for which the payment is held; None if it is not held."""
        return self.holds[0] if self.holds else None


@fast_init
@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One send of a payment. `wire` holds the exact bytes; `first_write_ms` is when the send was permitted."""

    payment: str
    attempt: int
    epoch: int
    node: str
    bank_date: str
    serials: tuple[str, ...]
    port: str
    wire: bytes
    key_id: str | None
    first_write_ms: int | None
    replay_policy: str


@fast_init
@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence about a payment: its source, the bank's bytes, and how they were read."""

    source: Source
    body: bytes
    fate: Fate | None = None
    code: str = ""
    note: str = ""


class OutboxState(StrEnum):
    """State of an outbox row: to be published, confirmed by the broker, or parked because it cannot be delivered."""

    WAITING = "waiting"
    SENT = "sent"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class DeliveryTries:
    """How often a message was published, and how the last try ended: the verdict (`confirmed`, `nacked`, `returned`,
    `refused` or `lost`), its time, and the broker's text.
    """

    count: int
    last_ms: int
    result: str
    text: str | None = None


@fast_init
@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to be published until the broker confirms it; `message_id` never changes.

    `tries` is None until a try is written, and in rows of programs before schema 16.
    """

    message_id: str
    node: str
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    correlation_id: str | None = None
    content_type: str = "application/json"
    payment: str | None = None
    created_ms: int = 0
    state: OutboxState = OutboxState.WAITING
    tries: DeliveryTries | None = None


@fast_init
@dataclass(frozen=True, slots=True)
class WorkRow:
    """Work that a lane must do for a payment at `due_ms`; one row per payment and kind.

    `set_ms` is the writer's clock when it wrote the row; None in rows of versions that did not record it.
    """

    payment: str
    work: Work
    lane: str
    due_ms: int
    epoch: int
    set_ms: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question of an ERP that waits for its answer; `question` is the gateway's own key. `body` is the command as
    received.
    """

    question: str
    sender: str
    operation: str
    body: bytes
    reply: Reply
    received_ms: int
    expires_ms: int


@fast_init
@dataclass(frozen=True, slots=True)
class Permit:
    """One line of the permit log: one attempt of the payment with this reference (`lane/bank_ref`) may be written to
    its bank.
    """

    ref: str
    attempt: int
    epoch: int


@fast_init
@dataclass(frozen=True, slots=True)
class PendingEntry:
    """An audit entry that is not yet in the audit chain."""

    at_ms: int
    actor: str
    entry: str
    object_id: str
    detail: bytes


@fast_init
@dataclass(frozen=True, slots=True)
class Head:
    """The head of an audit chain: its last entry. `seq` is 0 before the first entry."""

    seq: int
    hash: str


@dataclass(slots=True)
class Chain:
    """The writer's end of one node's audit chain: its `head`, and the last of its entries about registers, 0 before the
    first. A flush moves both; a rollback puts them back."""

    node: str
    head: Head
    rows_seq: int = 0

    def back(self, head: Head, rows_seq: int) -> None:
        """Restore the values from before the transaction, because it was not committed."""
        self.head, self.rows_seq = head, rows_seq


@dataclass(slots=True)
class SerialBlocks:
    """Serial numbers that are reserved in the database and not given out yet, per bank. Owned by the writer; a rollback
    drops them.
    """

    blocks: dict[str, range] = field(default_factory=dict)
