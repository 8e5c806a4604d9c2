"""The interface to the message broker: the values exchanged, and what a broker client promises.

It depends on no client library, so a simulated broker can implement `Amqp`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from protocols.canon.fast_init import fast_init
from protocols.erp.words import MAX_BODY_BYTES

Scalar: TypeAlias = str | int | float | bool | bytes

NO_HEADERS: Mapping[str, Scalar] = MappingProxyType({})


@fast_init
@dataclass(frozen=True, slots=True)
class Properties:
    """AMQP message properties; None means absent. `timestamp` is in whole seconds since 1970.

    Only scalar headers exist here: tables and arrays do not survive the AMQP 1.0 mapping that some ERPs use.
    """

    message_id: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    user_id: str | None = None
    type: str | None = None
    app_id: str | None = None
    content_type: str | None = None
    timestamp: int | None = None
    expiration: str | None = None
    headers: Mapping[str, Scalar] = field(default_factory=lambda: NO_HEADERS)


NO_PROPERTIES = Properties()

CUT_BYTES = 4_096
"""How many bytes are kept of a body that exceeds the largest allowed command."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Size and SHA-256 (hex) of a body that exceeds the largest allowed command."""

    size: int
    sha256: str


def cut(body: bytes) -> tuple[bytes, Cut | None]:
    """The part of a body that a delivery holds: all of it, or the first CUT_BYTES with a Cut."""
    if len(body) <= MAX_BODY_BYTES:
        return body, None
    return body[:CUT_BYTES], Cut(len(body), hashlib.sha256(body).hexdigest())


@fast_init
@dataclass(frozen=True, slots=True)
class Delivery:
    """One message handed to us. `channel` names the channel incarnation it must be acked on: see `Amqp.ack`.

    `undecodable` says which properties could not be read; they are then absent, and the body is intact. `waited_s` is
    how long it may have waited unread, above 0 only after a pause of this process. `cut` is set if the message is too
    large; `body` is then its beginning.
    """

    queue: str
    tag: int
    channel: int
    redelivered: bool
    exchange: str
    routing_key: str
    properties: Properties
    body: bytes = field(repr=False)
    undecodable: str | None = None
    waited_s: float = 0.0
    cut: Cut | None = None


@fast_init
@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish. `properties.message_id` is required and unique among publishes in flight."""

    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    properties: Properties
    mandatory: bool = True
    persistent: bool = True


class PublishStatus(enum.Enum):
    """The broker's answer to a publish."""

    CONFIRMED = "confirmed"
    """The broker has stored the message (on a quorum queue: a majority has it on disk)."""
    RETURNED = "returned"
    """No queue took the message; `code` and `text` are the broker's (312 NO_ROUTE). It is not stored."""
    NACKED = "nacked"
    """The broker did not store it (queue full or unavailable). Publish it again."""
    REFUSED = "refused"
    """The broker closes the channel because of this message, or it cannot be encoded. Publishing again does not
    help."""
    LOST = "lost"
    """The connection was lost first, so it is unknown whether the message is stored. Publish it again under the same
    id."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of one publish, with the broker's reply code and text if it gave any."""

    fate: PublishStatus
    code: int = 0
    text: str = ""


CONFIRMED = PublishResult(PublishStatus.CONFIRMED)
NACKED = PublishResult(PublishStatus.NACKED)


@dataclass(frozen=True, slots=True)
class Down:
    """Why the broker is not available, as text; `error` is the exception if a caller must act on it (`UnsafeTopology`
    at start means: refuse to run).
    """

    reason: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class BrokerProblem:
    """A problem on the broker that a person must fix: what is wrong, and the remedy."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} — {self.remedy}"


class BrokerRefused(Exception):
    """The broker closed a channel. `code` is the AMQP reply code (404 not found, 406 precondition
    failed …).
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class LinkLost(Exception):
    """The connection to the broker ended while something was waiting for an answer on it."""


class UnsafeTopology(Exception):
    """The broker's queues or exchanges would lose or misroute orders. Nothing is consumed or published.

    `problems` lists all of them, each with its remedy.
    """

    def __init__(self, problems: Sequence[BrokerProblem]) -> None:
        listed = "; ".join(map(str, problems))
        super().__init__(f"unsafe broker topology; nothing is consumed or published: {listed}")
        self.problems = tuple(problems)


class Declarer(Protocol):
    """Declares broker objects. Every call may raise `BrokerRefused`; the next call works again after that."""

    @property
    def version(self) -> tuple[int, ...]:
        """RabbitMQ's version as the broker states it; empty if it states none."""

    async def exchange(self, name: str, kind: str, arguments: Mapping[str, Scalar]) -> None:
        """Declare a durable exchange; 406 when one of that name differs."""

    async def exchange_exists(self, name: str) -> None:
        """Return when the exchange exists; 404 when not. Creates nothing."""

    async def queue(self, name: str, arguments: Mapping[str, Scalar]) -> None:
        """Declare a durable queue; 406 when one of that name differs."""

    async def queue_exists(self, name: str) -> None:
        """Return when the queue exists; 404 when not. Creates nothing."""

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind; repeating a binding is harmless."""


Prepare: TypeAlias = Callable[[Declarer], Awaitable[None]]
OnDelivery: TypeAlias = Callable[[Delivery], None]


def ignore_blocked(_blocked: bool) -> None:
    """The default for `Amqp.start(on_blocked=…)`."""


class Amqp(Protocol):
    """A broker client that keeps itself connected. All calls and callbacks happen in the reactor thread."""

    @property
    def up(self) -> bool:
        """True while connected with the topology verified and every consumer declared."""

    @property
    def blocked(self) -> bool:
        """True while the broker (memory or disk alarm) takes nothing from us: hold intake and outbox."""

    def start(
        self,
        on_up: Callable[[], None],
        on_down: Callable[[Down], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
    ) -> None:
        """Connect and stay connected until `close`.

        `on_up` fires each time the broker becomes usable, `on_down` on each loss and each failed attempt,
        `on_blocked` whenever `blocked` changes.
        """

    def consume(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        """Consume this queue, now and after every reconnect, with at most `prefetch` (1..65535) unacked messages.

        If `on_delivery` raises, that delivery returns to the queue after a pause, until the queue's delivery limit ends
        it.
        """

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """Acknowledge a delivery that is stored durably (with `multiple`: and all earlier ones of its channel).

        Acks are sent once per reactor turn, and only up to the first delivery that is not done. False if the channel of
        the delivery is closed: the broker will deliver it again, and nothing was sent.
        """

    def release(self, delivery: Delivery) -> None:
        """The delivery could not be stored: return it to the queue after a pause, as if `on_delivery` had raised."""

    def reject(self, delivery: Delivery) -> None:
        """Move the whole delivery to the dead-letter exchange. Only for messages that are too large: see ADR 0023.
        """

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish with a confirm; the Deferred always fires with a verdict and never fails.

        ValueError at once if the message id is missing or already in flight, because results are matched by id.
        """

    def widen(self, queue: str) -> None:
        """Allow two thousand more unacked messages of this queue, until `narrow` or a new connection.
        """

    def narrow(self, queue: str) -> None:
        """Go back to `prefetch` once fewer messages are unacked."""

    def pause(self) -> None:
        """Stop consuming. Deliveries in transit (at most `prefetch` per queue) still arrive."""

    def resume(self) -> None:
        """Consume again."""

    def close(self, deadline_s: float) -> Deferred[None]:
        """Stop consuming, send due acks, wait for publishes in flight, and close; after `deadline_s` close at once.

        Publishes still open then are LOST. Always fires with None.
        """
