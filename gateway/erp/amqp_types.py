"""The interface to the message broker: the values exchanged, and the promises of a broker client.

It depends on no client library, so a simulated broker can implement `Amqp`.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from twisted.internet.defer import Deferred

from gateway.kernel.deliveries import Delivery, Properties, Scalar
from protocols.canon.fast_init import fast_init


@fast_init
@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message to publish. `properties.message_id` is required and unique among publishes in flight.

    `sender` is the receiver of the message. Messages of one exchange and sender keep their order, even after a refusal.
    """

    exchange: str
    routing_key: str
    body: bytes = field(repr=False)
    properties: Properties
    mandatory: bool = True
    persistent: bool = True
    sender: str = ""


class PublishStatus(enum.Enum):
    """How the broker answered a publish."""

    CONFIRMED = "confirmed"
    """The broker has stored the message (on a quorum queue: a majority has it on disk)."""
    RETURNED = "returned"
    """No queue took the message, and no queue of the gateway is missing; `code` and `text` are the broker's (312
    NO_ROUTE). It is not stored."""
    NACKED = "nacked"
    """The broker did not store it (queue full or unavailable). Publish it again."""
    REFUSED = "refused"
    """The broker closes the channel because of this message, or it cannot be encoded. Publishing again does not
    help."""
    BARRED = "barred"
    """The broker takes no message like this one for now: the right is missing (403), or the exchange or a queue of the
    gateway is (404, 312). Publish it again, before later ones of its exchange and sender."""
    LOST = "lost"
    """The connection was lost first, so it is unknown whether the message is stored. Publish it again under the same
    id."""


@dataclass(frozen=True, slots=True)
class PublishResult:
    """The result of one publish, with the broker's reply code and text if it gave any.

    `exchange_wide`: for the status BARRED, whether it holds for every message of the exchange and not only for those of
    this sender.
    """

    fate: PublishStatus
    code: int = 0
    text: str = ""
    exchange_wide: bool = False


CONFIRMED = PublishResult(PublishStatus.CONFIRMED)
NACKED = PublishResult(PublishStatus.NACKED)


@dataclass(frozen=True, slots=True)
class BrokerDown:
    """Why the broker is not available, as text.

    `error` is the exception, if callers must see it (`UnsafeTopology` lists problems with their remedies).
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
    """The broker's queues or exchanges would lose or misroute orders. A connection with such a finding is not used.

    `problems` lists all of them, each with its remedy.
    """

    def __init__(self, problems: Sequence[BrokerProblem]) -> None:
        listed = "; ".join(map(str, problems))
        super().__init__(f"unsafe broker topology: {listed}")
        self.problems = tuple(problems)


class HeldByAnother(Exception):  # noqa: N818 - names the state of the virtual host
    """The virtual host belongs to another journal. Nothing is consumed or published; the text names the holder."""


class Declarer(Protocol):
    """Declares broker objects. Every call may raise `BrokerRefused`; the next call works again after that."""

    @property
    def version(self) -> tuple[int, ...]:
        """RabbitMQ's version as the broker states it; empty if it states none."""

    async def exchange(self, name: str, kind: str, arguments: Mapping[str, Scalar]) -> None:
        """Declare a durable exchange. Raises BrokerRefused with code 406 if one of that name differs."""

    async def exchange_exists(self, name: str) -> None:
        """Return if the exchange exists; raise BrokerRefused with code 404 if not. Creates nothing."""

    async def queue(self, name: str, arguments: Mapping[str, Scalar]) -> None:
        """Declare a durable queue. Raises BrokerRefused with code 406 if one of that name differs."""

    async def queue_exists(self, name: str) -> int:
        """The number of messages that wait in the queue; raises BrokerRefused with code 404 if there is no such queue.
        Creates nothing."""

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Bind the queue to the exchange with this routing key. Repeating a binding is harmless."""


class MarkPlace(Protocol):
    """The queue with the journal's mark, on one connection. Its coroutines raise BrokerRefused, or LinkLost when the
    connection ends."""

    async def read_messages(self) -> list[bytes]:
        """The messages of the mark's queue, which stay in it. While another node reads them, the queue is empty for a
        moment.
        """

    async def replace_message(self, body: bytes) -> None:
        """Replace the mark's message. Returns when the broker has stored it."""

    async def lock(self, on_lost: Callable[[str], None]) -> None:
        """Declare the mark's exclusive queue. Raises BrokerRefused with code 405 while another connection has it.

        `on_lost` is called with the reason when the queue is gone, also with the connection.
        """

    def unlock(self) -> None:
        """Delete the mark's exclusive queue; `on_lost` is not called."""

    def drop(self, reason: str) -> None:
        """Drop the connection. Deliveries that are not acknowledged go back to their queue."""


Prepare: TypeAlias = Callable[[Declarer], Awaitable[None]]
Admit: TypeAlias = Callable[[MarkPlace], Awaitable[None]]
OnDelivery: TypeAlias = Callable[[Delivery], None]


def ignore_blocked(_blocked: bool) -> None:
    """Do nothing: the default for `Amqp.start(on_blocked=…)`."""


async def admit_all(_place: MarkPlace) -> None:
    """Do nothing: the default for `Amqp.start(admit=…)`, for a client that does not check to which journal the virtual
    host belongs."""


class Amqp(Protocol):
    """A broker client that keeps itself connected. All calls and callbacks happen in the reactor thread."""

    @property
    def up(self) -> bool:
        """True while connected with the topology verified and every consumer declared that the broker allows."""

    @property
    def refusals(self) -> Mapping[str, str]:
        """The operations that the broker refuses now although it is connected: the queue or exchange, and the broker's
        text.

        Each is tried again with pauses of at most `backoff_max_s`, and nothing else waits for it.
        """

    @property
    def blocked(self) -> bool:
        """True while the broker accepts no messages because of a memory or disk alarm: hold intake and outbox."""

    def start(
        self,
        on_up: Callable[[], None],
        on_down: Callable[[BrokerDown], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
        admit: Admit = admit_all,
    ) -> None:
        """Connect and stay connected until `close`.

        `admit` is awaited on each connection before anything is consumed or published; its exception is the reason for
        `on_down`. `on_up` fires each time the broker becomes usable, `on_down` on each loss and each failed attempt,
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
        """Return a delivery that could not be stored to its queue after a pause, as if `on_delivery` had raised."""

    def reject(self, delivery: Delivery) -> None:
        """Move the whole delivery to the dead-letter exchange. Only for messages that are too large: see ADR 0023."""

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish with a publisher confirm; the Deferred always fires with a result and never fails.

        ValueError at once if the message id is missing or already in flight, because results are matched by id.
        """

    def widen(self, queue: str) -> None:
        """Allow two thousand more unacked messages of this queue, until `narrow` or a new connection."""

    def narrow(self, queue: str) -> None:
        """Go back to `prefetch` once fewer messages are unacked."""

    def pause(self) -> None:
        """Stop consuming. Deliveries in transit (at most `prefetch` per queue) still arrive."""

    def resume(self) -> None:
        """Consume again."""

    def close(self, deadline_s: float) -> Deferred[None]:
        """Stop consuming, send due acks, wait for publishes in flight, and close; after `deadline_s` close at once.

        The result of publishes that are still open then is LOST. Always fires with None.
        """
