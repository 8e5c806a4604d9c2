"""A message broker in memory that keeps RabbitMQ's guarantees, and breaks connections on command.

It keeps what it confirmed over a client's death, delivers again (marked) what was not acknowledged, returns what no
queue takes, and gives an alternate exchange its chance first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.erp.ack_window import AckWindow
from gateway.erp.amqp_types import (
    CONFIRMED,
    Admit,
    BrokerDown,
    BrokerRefused,
    OnDelivery,
    OutgoingMessage,
    PublishResult,
    PublishStatus,
    admit_all,
    ignore_blocked,
)
from gateway.erp.consumer import WIDER
from gateway.erp.topology import MARK_QUEUE, OWN_QUEUES, Topology, standard
from gateway.kernel.deliveries import NO_PROPERTIES, Delivery, Properties, cut
from tests.world.clock import HeapClock

log = Logger()


@dataclass(slots=True)
class _Kept:
    exchange: str
    key: str
    body: bytes
    properties: Properties
    deliveries: int = 0
    undecodable: str | None = None


@dataclass(slots=True)
class ModelBroker:
    """Queues that outlive their clients. `client` makes the gateway's connection; ERPs use `publish` and `drain`."""

    clock: HeapClock
    latency_s: float = 0.001
    topology: Topology = field(default_factory=standard)
    queues: dict[str, deque[_Kept]] = field(default_factory=dict)
    bindings: list[tuple[str, str, str]] = field(default_factory=list)
    clients: list[ModelClient] = field(default_factory=list)
    locked_by: tuple[ModelClient, Callable[[str], None]] | None = None
    """The owner of the exclusive queue, and the callback for its loss."""
    away: bool = False
    """Whether nobody can connect."""
    confirms_to_lose: int = 0
    """The next publishes that the broker accepts before it breaks the connection and loses the confirm."""
    no_right: set[tuple[str, str]] = field(default_factory=set)
    """The exchange and the pattern of keys that the gateway has no right to publish to."""
    redelivered: set[str] = field(default_factory=set)
    """The ids of messages that were delivered more than once."""

    def __post_init__(self) -> None:
        for queue in self.topology.queues:
            self.queues[queue.name] = deque()
        self.bindings += [(one.exchange, one.key, one.queue) for one in self.topology.bindings]

    def unlock(self, client: ModelClient | None = None) -> None:
        """Release an exclusive queue, because the client's connection ended. Without a client: somebody deleted the
        queue."""
        locked = self.locked_by
        if locked is not None and client in (None, locked[0]):
            self.locked_by = None
            if client is None:
                locked[1]("its queue was deleted")

    def declare(self, queue: str, exchange: str | None = None, key: str = "#") -> None:
        """An ERP's own queue, bound if `exchange` is given."""
        self.queues.setdefault(queue, deque())
        if exchange is not None:
            self.bindings.append((exchange, key, queue))

    def delete(self, queue: str) -> None:
        """Delete the queue with all its messages."""
        self.queues.pop(queue, None)
        self.bindings = [one for one in self.bindings if one[2] != queue]

    def publish(
        self,
        key: str,
        body: bytes,
        properties: Properties,
        exchange: str = "bankgw.commands",
        undecodable: str | None = None,
    ) -> None:
        """Publish a message as an ERP. With `undecodable`, the client will find its properties broken for this
        reason."""
        self._route(exchange, key, body, properties, undecodable)
        for client in self.clients:
            client.wake()

    def drain(self, queue: str) -> list[_Kept]:
        """Remove and return all messages of an ERP's queue."""
        held = self.queues.get(queue, deque())
        taken = list(held)
        held.clear()
        return taken

    def take_in(self, message: OutgoingMessage) -> PublishResult:
        """Route a publish of the gateway."""
        for exchange, pattern in self.no_right:
            if exchange == message.exchange and matches(pattern, message.routing_key):
                return PublishResult(PublishStatus.BARRED, 403, f"ACCESS_REFUSED {pattern}", pattern == "#")
        routed = self._route(message.exchange, message.routing_key, message.body, message.properties)
        own = message.exchange or message.routing_key in OWN_QUEUES
        fate = PublishStatus.BARRED if own else PublishStatus.RETURNED
        return CONFIRMED if routed else PublishResult(fate, 312, "NO_ROUTE")

    def _route(
        self, exchange: str, key: str, body: bytes, properties: Properties, undecodable: str | None = None
    ) -> bool:
        bound = [queue for name, pattern, queue in self.bindings if name == exchange and matches(pattern, key)]
        names = [key] if exchange == "" else bound
        targets = [self.queues[name] for name in dict.fromkeys(names) if name in self.queues]
        if not targets:
            alternate = next((one.alternate for one in self.topology.exchanges if one.name == exchange), None)
            return alternate is not None and self._route(alternate, key, body, properties, undecodable)
        for target in targets:
            target.append(_Kept(exchange, key, body, properties, undecodable=undecodable))
        return True

    def client(self, later: Callable[..., object]) -> ModelClient:
        """Make a gateway's connection; `later` are the timers of its life."""
        client = ModelClient(self, later)
        self.clients.append(client)
        return client


def matches(pattern: str, key: str) -> bool:
    """Whether a routing key matches a pattern of an AMQP topic exchange."""
    if pattern == "" or pattern == "#":
        return True
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[n:]) for n in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])


class ModelClient:
    """The broker's client (`amqp_types.Amqp`) on the model broker."""

    def __init__(self, broker: ModelBroker, later: Callable[..., object]) -> None:
        self._broker = broker
        self._later = self.later = later
        self.up = False
        self.blocked = False
        self.paused = False
        self.dead = False
        self._channel = 0
        self._consumers: dict[str, tuple[int, OnDelivery]] = {}
        self._wider: dict[str, int] = {}
        self._unacked: dict[str, dict[int, _Kept]] = {}
        self._windows: dict[str, AckWindow] = {}
        self._tags: Counter[str] = Counter()
        self._in_flight: dict[str, Deferred[PublishResult]] = {}
        self._arriving: dict[str, OutgoingMessage] = {}
        self.refusals: dict[str, str] = {}
        self._on_up: Callable[[], None] = lambda: None
        self._on_down: Callable[[BrokerDown], None] = lambda _down: None
        self._on_blocked: Callable[[bool], None] = ignore_blocked
        self._admit: Admit = admit_all

    @property
    def unacked(self) -> list[_Kept]:
        """Deliveries of all queues that are not acknowledged."""
        return [kept for held in self._unacked.values() for kept in held.values()]

    def start(
        self,
        on_up: Callable[[], None],
        on_down: Callable[[BrokerDown], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
        admit: Admit = admit_all,
    ) -> None:
        """Connect after one latency."""
        self._on_up, self._on_down, self._on_blocked, self._admit = on_up, on_down, on_blocked, admit
        self._later(self._broker.latency_s, self._connected)

    def _connected(self) -> None:
        if self._broker.away and not self.dead:
            self._later(1.0, self._connected)
        elif not self.dead:
            self._channel += 1
            self._wider.clear()
            self._windows.clear()
            self._tags.clear()
            asking: Deferred[None] = Deferred.fromCoroutine(_awaited(self._admit(ModelPlace(self._broker, self))))
            asking.addCallbacks(self._admitted, self._not_admitted)

    def _admitted(self, _result: None) -> None:
        if not self.dead:
            self.up = True
            self._on_up()
            self.wake()

    def _not_admitted(self, failure: Failure) -> None:
        if not self.dead:
            self._broker.unlock(self)
            assert isinstance(failure.value, Exception)
            self._on_down(BrokerDown(str(failure.value), failure.value))
            self._later(1.0, self._connected)

    def consume(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        """Begin to consume a queue."""
        self._consumers[queue] = (prefetch, on_delivery)
        self.wake()

    def wake(self) -> None:
        """Deliver messages, if there are any."""
        if not self.dead and self.up:
            self._later(self._broker.latency_s, self._deliver)

    def _deliver(self) -> None:
        for queue, (prefetch, on_delivery) in self._consumers.items():
            held = self._broker.queues.get(queue, deque())
            unacked = self._unacked.setdefault(queue, {})
            window = self._windows.setdefault(queue, AckWindow(partial(self._acked_through, queue)))
            while held and self.up and not self.paused and not self.dead:
                if len(unacked) >= prefetch + self._wider.get(queue, 0):
                    break
                kept = held.popleft()
                kept.deliveries += 1
                if kept.deliveries > 1:
                    self._broker.redelivered.add(kept.properties.message_id or "")
                self._tags[queue] += 1
                tag = self._tags[queue]
                unacked[tag] = kept
                window.delivered(tag)
                said = NO_PROPERTIES if kept.undecodable else kept.properties
                body, shortened = cut(kept.body)
                delivery = Delivery(
                    queue,
                    tag,
                    self._channel,
                    kept.deliveries > 1,
                    kept.exchange,
                    kept.key,
                    said,
                    body,
                    kept.undecodable,
                    cut=shortened,
                )
                try:
                    on_delivery(delivery)
                except Exception:
                    log.failure("taking a message failed")
                    self.release(delivery)

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """Acknowledge as the real client does: through the window, which acknowledges up to the end of an unbroken
        run."""
        if not self._lives(delivery):
            return False
        window = self._windows[delivery.queue]
        if multiple:
            window.done_through(delivery.tag)
        else:
            window.done(delivery.tag)
        window.flush()
        return True

    def _acked_through(self, queue: str, tag: int) -> None:
        unacked = self._unacked[queue]
        for one in [one for one in unacked if one <= tag]:
            del unacked[one]
        self.wake()

    def _lives(self, delivery: Delivery) -> bool:
        return not self.dead and self.up and delivery.channel == self._channel

    def reject(self, delivery: Delivery) -> None:
        """Move the message to the queue's dead-letter exchange; without one it is dropped."""
        if not self._lives(delivery) or not self._windows[delivery.queue].given_back(delivery.tag):
            return
        kept = self._unacked[delivery.queue].pop(delivery.tag)
        dead = next((one.dead_letter for one in self._broker.topology.queues if one.name == delivery.queue), None)
        if dead is not None:
            self._broker._route(dead, kept.key, kept.body, kept.properties, kept.undecodable)
        self._windows[delivery.queue].flush()
        self.wake()

    def release(self, delivery: Delivery) -> None:
        """Deliver the message again after a second."""
        self._later(1.0, self._comes_again, delivery)

    def _comes_again(self, delivery: Delivery) -> None:
        if not self._lives(delivery) or not self._windows[delivery.queue].given_back(delivery.tag):
            return
        kept = self._unacked[delivery.queue].pop(delivery.tag)
        self._broker.queues[delivery.queue].appendleft(kept)
        self._windows[delivery.queue].flush()
        self.wake()

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish; the verdict comes after a round trip."""
        verdict: Deferred[PublishResult] = Deferred()
        message_id = message.properties.message_id
        assert message_id is not None and message_id not in self._in_flight, "one id twice in flight"
        if not self.up:
            return succeed(PublishResult(PublishStatus.LOST))
        self._in_flight[message_id] = verdict
        self._arriving[message_id] = message
        self._later(self._broker.latency_s, self._arrive, message)
        return verdict

    def _arrive(self, message: OutgoingMessage) -> None:
        message_id = message.properties.message_id
        assert message_id is not None
        if self._arriving.pop(message_id, None) is None or self.dead:
            return
        verdict = self._broker.take_in(message)
        if verdict.fate is PublishStatus.BARRED:
            self._bar_with(message, verdict)
        else:
            self.refusals.pop(message.exchange, None)
        if self._broker.confirms_to_lose:
            self._broker.confirms_to_lose -= 1
            self.drop()
            return
        self._later(self._broker.latency_s, self._confirm, message_id, verdict)

    def _bar_with(self, message: OutgoingMessage, verdict: PublishResult) -> None:
        """Give a refused message's verdict to the messages behind it on the channel, too, as the real client does."""
        self.refusals[message.exchange] = f"{verdict.code} {verdict.text}"
        for message_id, later in list(self._arriving.items()):
            if later.exchange == message.exchange and (verdict.exchange_wide or later.sender == message.sender):
                del self._arriving[message_id]
                self._later(self._broker.latency_s, self._confirm, message_id, verdict)

    def _confirm(self, message_id: str, verdict: PublishResult) -> None:
        waiting = self._in_flight.pop(message_id, None)
        if waiting is not None:
            waiting.callback(verdict)

    def drop(self, away_s: float = 1.0) -> None:
        """Break the connection; it comes back after `away_s`."""
        if self.up:
            self.up = False
            self._give_back()
            self._broker.unlock(self)
            self._on_down(BrokerDown("dropped"))
            lost, self._in_flight = self._in_flight, {}
            self._arriving.clear()
            self.refusals.clear()
            for waiting in lost.values():
                waiting.callback(PublishResult(PublishStatus.LOST))
            self._later(away_s, self._connected)

    def block(self, blocked: bool) -> None:
        """Raise the broker's memory or disk alarm."""
        self.blocked = blocked
        self._on_blocked(blocked)

    def die(self) -> None:
        """End the client with its process: no callback is called any more, and unacknowledged messages go back to their
        queues."""
        self.dead = True
        self.up = False
        self._in_flight.clear()
        self._give_back()
        self._broker.unlock(self)
        self._broker.clients.remove(self)

    def _give_back(self) -> None:
        for queue, unacked in self._unacked.items():
            if queue in self._broker.queues:
                self._broker.queues[queue].extendleft(kept for _tag, kept in sorted(unacked.items(), reverse=True))
        self._unacked.clear()
        for client in self._broker.clients:
            client.wake()

    def widen(self, queue: str) -> None:
        """Deliver more messages at once than usual."""
        self._wider[queue] = self._wider.get(queue, 0) + WIDER
        self.wake()

    def narrow(self, queue: str) -> None:
        """Deliver no more messages at once than usual."""
        self._wider.pop(queue, None)

    def pause(self) -> None:
        """Stop delivering messages."""
        self.paused = True

    def resume(self) -> None:
        """Deliver messages again."""
        self.paused = False
        self.wake()

    def close(self, deadline_s: float) -> Deferred[None]:
        """Close the connection."""
        self.up = False
        self._give_back()
        self._broker.unlock(self)
        return succeed(None)


class ModelPlace:
    """The place of the broker's mark (`amqp_types.MarkPlace`), on one connection to the model broker."""

    def __init__(self, broker: ModelBroker, client: ModelClient) -> None:
        self._broker = broker
        self._client = client

    async def read_messages(self) -> list[bytes]:
        """Return the queue's messages, which stay there."""
        return [kept.body for kept in self._broker.queues.get(MARK_QUEUE, ())]

    async def replace_message(self, body: bytes) -> None:
        """Replace the queue's only message."""
        self._broker.declare(MARK_QUEUE)
        self._broker.queues[MARK_QUEUE].clear()
        self._broker.queues[MARK_QUEUE].append(_Kept("", MARK_QUEUE, body, NO_PROPERTIES))

    async def lock(self, on_lost: Callable[[str], None]) -> None:
        """Lock the place as RabbitMQ does: the lock is refused while another connection has it."""
        if self._broker.locked_by is not None:
            raise BrokerRefused(405, "RESOURCE_LOCKED")
        self._broker.locked_by = self._client, on_lost

    def unlock(self) -> None:
        """Delete the exclusive queue, which releases the lock."""
        self._broker.unlock(self._client)

    def drop(self, reason: str) -> None:
        """Break the connection after the running call."""
        self._client.later(0.0, self._client.drop)


def properties(user: str | None, reply_to: str | None = None, **said: Any) -> Properties:
    """The message properties of an ERP's command."""
    headers: Mapping[str, Any] = said.pop("headers", {})
    return replace(Properties(user_id=user, reply_to=reply_to, headers=headers), **said)


async def _awaited(asked: Awaitable[None]) -> None:
    await asked
