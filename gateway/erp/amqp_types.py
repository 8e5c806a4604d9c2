"""The seam between the gateway and the message broker: values that travel, and what a broker client promises.

Nothing here knows a client library, so a simulated broker replaces the real one by implementing `Amqp`.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from protocols.erp.words import MAX_BODY_BYTES

Scalar: TypeAlias = str | int | float | bool | bytes

NO_HEADERS: Mapping[str, Scalar] = MappingProxyType({})


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
"""So much is kept of a body that is larger than any command may be."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A body that is larger than any command may be: how many bytes it has, and their SHA-256 in hex digits."""

    size: int
    sha256: str


def cut(body: bytes) -> tuple[bytes, Cut | None]:
    """What a delivery holds of a body: all of it, or the first CUT_BYTES and how it was cut."""
    if len(body) <= MAX_BODY_BYTES:
        return body, None
    return body[:CUT_BYTES], Cut(len(body), hashlib.sha256(body).hexdigest())


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message handed to us. `channel` names the channel incarnation it must be acked on: see `Amqp.ack`.

    `undecodable` says what of the properties could not be read; that is then absent, the body is intact. `waited_s` is
    for how long at most it may have lain here unread: more than nothing only when this process stood still. `cut` is
    set where the message is too large; `body` is then its beginning.
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
    """What the broker said about a publish."""

    CONFIRMED = "confirmed"
    """The broker has taken responsibility (on a quorum queue: a majority has it on disk)."""
    RETURNED = "returned"
    """No queue took it: `code` and `text` are the broker's (312 NO_ROUTE). It is not stored anywhere."""
    NACKED = "nacked"
    """The broker could not or would not store it (queue full or unavailable). Publishing again is right."""
    REFUSED = "refused"
    """The broker closes the channel on this very message, or it cannot be encoded. Again will not help."""
    LOST = "lost"
    """The connection died first: stored or not, nobody knows. Publish again under the same message id."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The fate of one publish, with the broker's reply code and text where it gave one."""

    fate: PublishStatus
    code: int = 0
    text: str = ""


CONFIRMED = PublishResult(PublishStatus.CONFIRMED)
NACKED = PublishResult(PublishStatus.NACKED)


@dataclass(frozen=True, slots=True)
class Down:
    """Why the broker is out of reach, for a person; `error` is the exception where a caller may want to act
    on it (`UnsafeTopology` at start means: refuse to run).
    """

    reason: str
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class BrokerProblem:
    """Something a person must change: what is wrong and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} — {self.remedy}"


class BrokerRefused(Exception):
    """The broker closed a channel on us. `code` is the AMQP reply code (404 not found, 406 precondition
    failed …).
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class LinkLost(Exception):
    """The connection to the broker ended while something was waiting for an answer on it."""


class UnsafeTopology(Exception):
    """The broker's queues or exchanges would lose or misroute orders as they are. Nothing is consumed or
    published.

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
        """RabbitMQ's version, as the broker says it; empty when it says none."""

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
        """Want this queue's messages, now and after every reconnect; at most `prefetch` (1..65535) unacked
        ones.

        If `on_delivery` raises, that delivery alone goes back to the queue after a pause, so that the queue's
        delivery limit, and not a tight loop, ends it.
        """

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """The delivery (with `multiple`: and all before it on its channel) is durably ours.

        Acks leave once per reactor turn, and only as far as everything before them is done too. False when
        the channel that delivered it is gone: the broker will deliver it again, nothing was sent.
        """

    def release(self, delivery: Delivery) -> None:
        """The delivery cannot become ours: after a pause it goes back to the queue, as if `on_delivery` had raised."""

    def reject(self, delivery: Delivery) -> None:
        """The delivery leaves its queue for the dead-letter exchange, whole. For what is too large, and for nothing
        else: see ADR 0023.
        """

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish with a confirm; the Deferred always fires with a verdict and never fails.

        ValueError at once when the message id is missing or already in flight: then verdicts cannot be told
        apart.
        """

    def widen(self, queue: str) -> None:
        """Have more of this queue's messages unacked than usual, by another two thousand, until `narrow` or a new
        connection.
        """

    def narrow(self, queue: str) -> None:
        """Have no more than `prefetch` again, once what is unacked has become less."""

    def pause(self) -> None:
        """Stop asking for deliveries. Those on their way (at most `prefetch` per queue) still arrive."""

    def resume(self) -> None:
        """Ask for deliveries again."""

    def close(self, deadline_s: float) -> Deferred[None]:
        """Stop deliveries, send due acks, wait for verdicts in flight, hang up; after `deadline_s` just hang
        up.

        Publishes still open then are LOST. Always fires with None.
        """
