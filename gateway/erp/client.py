"""The broker client: reconnects, declares topology and consumers again, batches acks, and reports publish results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.erp.amqp_link import Dial, Gone, Link
from gateway.erp.amqp_types import (
    Admit,
    BrokerDown,
    BrokerRefused,
    HeldByAnother,
    LinkLost,
    OnDelivery,
    OutgoingMessage,
    Prepare,
    PublishResult,
    UnsafeTopology,
    admit_all,
    ignore_blocked,
)
from gateway.erp.canary import RandomSource, open_canary
from gateway.erp.consumer import Consumer
from gateway.erp.heartbeat import Heartbeat
from gateway.erp.mark_place import LinkPlace
from gateway.erp.publish_channels import PublishChannels
from gateway.erp.publisher import NOT_FOUND
from gateway.erp.queue_depths import QueueDepths
from gateway.kernel.deliveries import Delivery

log = Logger()
T = TypeVar("T")

_PREFETCH_MAX = 65_535
MOST_BYTES = 67_108_864
DELIVERY_BYTES = 2_048
"""The memory that a delivery takes besides its body: its properties and the intake's objects."""


@dataclass(frozen=True, slots=True)
class ClientTimeouts:
    """The client's time-outs and intervals. `canary_every_s` 0 means no canary messages."""

    connect_timeout_s: float = 15.0
    establish_timeout_s: float = 60.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 5.0
    canary_every_s: float = 5.0
    give_back_after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class AmqpStatus:
    """The client's state for metrics and `status`. `canary_age_s` is None until the first canary has returned.
    `queues` are the numbers of messages that wait in the consumed queues."""

    up: bool
    blocked: bool
    paused: bool
    publishes_in_flight: int
    deliveries_open: int
    connections: int
    canary_age_s: float | None
    queues: Mapping[str, int]


def _nothing(*_args: object) -> None:
    pass


class AmqpClient:
    """A broker client (`amqp_types.Amqp`) that works over any `amqp_link.Dial`.

    Topology and consumers are declared again on each connection, before `on_up`. The pause between attempts doubles,
    with jitter, from `backoff_first_s` to `backoff_max_s`. It is reset only after all declarations succeeded, so a
    broker that accepts connections and refuses the rest is not flooded. Each consumer has its own channel, so that an
    error or a slow order on one does not delay another.
    """

    def __init__(
        self,
        clock: IReactorTime,
        dial: Dial,
        random: RandomSource,
        patience: ClientTimeouts,
        where: str,
        prepare: Prepare | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`where` names the broker in messages. `prepare` declares or verifies the topology on each connection; if it
        raises, the client stays down. Reading stops while more than `most_bytes` of deliveries are unacked.
        """
        self._clock = clock
        self._dial = dial
        self._random = random
        self._patience = patience
        self._where = where
        self._prepare = prepare
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held = False
        self._publisher = PublishChannels(self._spawn, self._moment, self._mend)
        self._refused: dict[str, str] = {}
        self._unmended = ""
        self._mending = False
        self._consumers: list[Consumer] = []
        self._live: dict[int, Consumer] = {}
        self._tokens = itertools.count(1)
        self._dirty: set[int] = set()
        self._flush_timer: IDelayedCall | None = None
        self._timers: set[IDelayedCall] = set()
        self._tasks: set[Deferred[None]] = set()
        self._canary: Heartbeat | None = None
        self._queues = QueueDepths()
        self._heard_at_s: float | None = None
        self._link: Link | None = None
        self._loop: Deferred[None] | None = None
        self._failures = 0
        self._connections = 0
        self._up = False
        self._blocked = False
        self._paused = False
        self._closing = False
        self._on_up: Callable[[], None] = _nothing
        self._on_down: Callable[[BrokerDown], None] = _nothing
        self._on_blocked: Callable[[bool], None] = ignore_blocked
        self._admit: Admit = admit_all

    @property
    def up(self) -> bool:
        """True while the client can consume and publish: see `amqp_types.Amqp.up`."""
        return self._up

    @property
    def refusals(self) -> Mapping[str, str]:
        """The operations that the broker refuses now, with its text: see `amqp_types.Amqp.refusals`."""
        found = self._publisher.refusals | self._refused
        return found | {"topology": self._unmended} if found and self._unmended else found

    @property
    def blocked(self) -> bool:
        """True while the broker accepts no messages: see `amqp_types.Amqp.blocked`."""
        return self._blocked

    def status(self) -> AmqpStatus:
        """The client's present status."""
        if self._canary is not None:
            self._heard_at_s = self._canary.heard_at_s or self._heard_at_s
        return AmqpStatus(
            up=self._up,
            blocked=self._blocked,
            paused=self._paused,
            publishes_in_flight=self._publisher.in_flight,
            deliveries_open=sum(consumer.window.open for consumer in self._live.values()),
            connections=self._connections,
            canary_age_s=None if self._heard_at_s is None else self._clock.seconds() - self._heard_at_s,
            queues=self._queues.depths,
        )

    def start(
        self,
        on_up: Callable[[], None],
        on_down: Callable[[BrokerDown], None],
        on_blocked: Callable[[bool], None] = ignore_blocked,
        admit: Admit = admit_all,
    ) -> None:
        """Connect and stay connected until `close`: see `amqp_types.Amqp.start`."""
        if self._loop is not None:
            raise RuntimeError("this broker client was started before")
        self._on_up, self._on_down, self._on_blocked, self._admit = on_up, on_down, on_blocked, admit
        self._loop = Deferred.fromCoroutine(self._keep_connected())
        self._loop.addErrback(_forget_cancelled)

    def consume(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        """Consume this queue, now and after every reconnect: see `amqp_types.Amqp.consume`."""
        if not 1 <= prefetch <= _PREFETCH_MAX:
            raise ValueError(f"prefetch of {queue} must be 1 to {_PREFETCH_MAX}, not {prefetch}")
        if any(consumer.queue == queue for consumer in self._consumers):
            raise ValueError(f"{queue} is consumed already")
        consumer = Consumer(queue, prefetch, on_delivery)
        self._consumers.append(consumer)
        if self._up and self._link is not None:
            self._spawn(self._serve(self._link, consumer))

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """Acknowledge a delivery that is stored durably: see `amqp_types.Amqp.ack`."""
        consumer = self._live.get(delivery.channel)
        if consumer is None:
            return False
        if multiple:
            consumer.window.done_through(delivery.tag)
            for tag in [tag for tag in consumer.sizes if tag <= delivery.tag]:
                self._let_go(consumer, tag)
        else:
            consumer.window.done(delivery.tag)
            self._let_go(consumer, delivery.tag)
        self._flush_soon(delivery.channel)
        return True

    def reject(self, delivery: Delivery) -> None:
        """Move the delivery to the dead-letter exchange: see `amqp_types.Amqp.reject`."""
        consumer = self._live.get(delivery.channel)
        if consumer is None or consumer.channel is None or not consumer.window.given_back(delivery.tag):
            return
        consumer.channel.reject(delivery.tag)
        self._let_go(consumer, delivery.tag)
        self._flush_soon(delivery.channel)

    def release(self, delivery: Delivery) -> None:
        """Return the delivery to its queue after a pause: see `amqp_types.Amqp.release`."""
        self._later(self._patience.give_back_after_s, partial(self._give_back, delivery))

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """Publish a message with a publisher confirm: see `amqp_types.Amqp.publish`."""
        return self._publisher.publish(message)

    def pause(self) -> None:
        """Stop consuming: see `amqp_types.Amqp.pause`."""
        if not self._paused:
            self._paused = True
            for consumer in self._live.values():
                self._spawn(consumer.unsubscribe())

    def resume(self) -> None:
        """Consume again after a pause: see `amqp_types.Amqp.resume`."""
        if self._paused:
            self._paused = False
            for consumer in self._live.values():
                self._spawn(self._subscribe(consumer))

    def widen(self, queue: str) -> None:
        """Allow more unacked messages of this queue: see `amqp_types.Amqp.widen`."""
        for consumer in self._live.values():
            if consumer.queue == queue and consumer.tags:
                self._spawn(self._subscribe(consumer))

    def narrow(self, queue: str) -> None:
        """Go back to the usual number of unacked messages: see `amqp_types.Amqp.narrow`."""
        for consumer in self._live.values():
            if consumer.queue == queue:
                self._spawn(consumer.unsubscribe(keep=1))

    def close(self, deadline_s: float) -> Deferred[None]:
        """Stop consuming and close in order: see `amqp_types.Amqp.close`."""
        return Deferred.fromCoroutine(self._close(deadline_s))

    async def _close(self, deadline_s: float) -> None:
        try:
            await Deferred.fromCoroutine(self._goodbye()).addTimeout(deadline_s, self._clock)
        except TimeoutError:
            log.warn(
                "{where}: closed after {limit:g} s; {count} messages are not confirmed, and are published again",
                where=self._where,
                limit=deadline_s,
                count=self._publisher.in_flight,
            )
        finally:
            if self._loop is not None:
                self._loop.cancel()

    async def _goodbye(self) -> None:
        self._closing = True
        link, loop = self._link, self._loop
        if link is None or loop is None or not self._up:
            return
        self.pause()
        if self._canary is not None:
            self._canary.stop()
        await self._publisher.when_idle()
        self._flush()
        link.hang_up()
        ended: Deferred[None] = Deferred()

        def tell(_result: object) -> None:
            if not ended.called:
                ended.callback(None)

        loop.addBoth(tell)
        await ended

    # Connecting

    async def _keep_connected(self) -> None:
        while True:
            down = await self._one_connection()
            if self._closing:
                return
            _tell(self._on_down, down)
            self._failures += 1
            await self._sleep(self._backoff_s(self._failures))

    async def _one_connection(self) -> BrokerDown:
        link: Link | None = None
        try:
            opening = Deferred.fromCoroutine(self._open())
            link = await opening.addTimeout(self._patience.connect_timeout_s, self._clock, _late)
            self._link = link
            establishing = Deferred.fromCoroutine(self._establish(link))
            await establishing.addTimeout(self._patience.establish_timeout_s, self._clock, _late)
            self._connections += 1
            self._failures = 0
            self._up = True
            log.info("connected to {where}", where=self._where)
            self._on_up()
            return BrokerDown(f"{self._where}: {await link.ended}")
        except CancelledError:
            raise
        except (LinkLost, BrokerRefused, UnsafeTopology, HeldByAnother) as problem:
            return BrokerDown(f"{self._where}: {problem}", problem)
        except Exception as problem:
            log.failure("unexpected failure while connecting to {where}; trying again", where=self._where)
            return BrokerDown(f"{self._where}: {type(problem).__name__}: {problem}", problem)
        finally:
            self._forget_link("the connection to the broker ended")
            if link is not None:
                link.drop("dropped")

    async def _open(self) -> Link:
        link = await self._dial(self._heard_blocked)
        try:
            await link.opened
        except CancelledError:
            link.drop("no answer in time")
            raise
        return link

    def _backoff_s(self, failures: int) -> float:
        longest_s = self._patience.backoff_first_s * 2.0 ** min(failures - 1, 60)
        return min(self._patience.backoff_max_s, longest_s) * (0.5 + self._random.random() / 2)

    async def _establish(self, link: Link) -> None:
        if self._prepare is not None:
            await self._prepare(link.declarer())
        await self._publisher.open(link)
        await self._admit(LinkPlace(link, self._publisher, partial(self._mend, link)))
        for consumer in self._consumers:
            if not await self._could_open(link, consumer):
                self._spawn(self._serve(link, consumer, self._failed_again(consumer)))
        if self._patience.canary_every_s:
            await self._keep_canary(link)
            queues = [consumer.queue for consumer in self._consumers]
            self._spawn(self._queues.keep(link.declarer(), queues, self._sleep))

    def _forget_link(self, reason: str) -> None:
        self._up = False
        self._link = None
        for consumer in self._live.values():
            consumer.channel = None
            consumer.sizes.clear()
        self._bytes, self._held = 0, False
        self._live.clear()
        self._dirty.clear()
        for timer in [*self._timers, self._flush_timer]:
            if timer is not None and timer.active():
                timer.cancel()
        self._timers.clear()
        self._flush_timer = None
        if self._canary is not None:
            self._heard_at_s = self._canary.heard_at_s or self._heard_at_s
            self._canary.stop()
            self._canary = None
        for task in list(self._tasks):
            task.cancel()
        self._refused.clear()
        self._unmended = ""
        self._publisher.lost(reason)
        self._heard_blocked(False)

    def _heard_blocked(self, blocked: bool) -> None:
        if blocked == self._blocked:
            return
        self._blocked = blocked
        if blocked:
            log.warn(
                "{where} is short of memory or disk and takes no messages: intake and outbox wait", where=self._where
            )
        if self._canary is not None:
            # A blocked broker does not read, so missing canaries do not mean a dead connection.
            if blocked:
                self._canary.stop()
            elif not self._held:
                self._canary.start()
        _tell(self._on_blocked, blocked)

    # What the broker refuses

    async def _moment(self) -> None:
        await self._sleep(self._patience.backoff_first_s)

    def _mend(self, link: Link) -> None:
        """Declare or verify the topology again on this connection, because an exchange or queue is gone."""
        if self._prepare is not None and link is self._link and not self._mending:
            self._mending = True
            self._spawn(self._prepare_again(self._prepare, link))

    async def _prepare_again(self, prepare: Prepare, link: Link) -> None:
        try:
            await prepare(link.declarer())
            self._unmended = ""
        except (BrokerRefused, UnsafeTopology) as problem:
            log.error("the topology could not be declared; it is tried again: {problem}", problem=str(problem))
            self._unmended = str(problem)
        finally:
            self._mending = False

    # Consuming

    async def _serve(self, link: Link, consumer: Consumer, pause_s: float = 0.0) -> None:
        """Open the consumer's channel, and retry with growing pauses while this connection lasts."""
        if pause_s:
            await self._sleep(pause_s)
        while not await self._could_open(link, consumer):
            await self._sleep(self._failed_again(consumer))

    async def _could_open(self, link: Link, consumer: Consumer) -> bool:
        try:
            await self._open_consumer(link, consumer)
        except BrokerRefused as refused:
            log.error("{queue} cannot be consumed: {refused}", queue=consumer.queue, refused=str(refused))
            self._refused[f"queue {consumer.queue}"] = str(refused)
            if refused.code == NOT_FOUND:
                self._mend(link)
            return False
        self._refused.pop(f"queue {consumer.queue}", None)
        return True

    def _failed_again(self, consumer: Consumer) -> float:
        """Count a consumer's failure; returns the pause before the next try in seconds."""
        consumer.failures += 1
        return self._backoff_s(consumer.failures)

    async def _open_consumer(self, link: Link, consumer: Consumer) -> None:
        channel = await link.channel()
        consumer.opened(channel, next(self._tokens))
        channel.deliver(consumer.queue, consumer.token, partial(self._take, consumer))
        self._live[consumer.token] = consumer
        try:
            await self._subscribe(consumer)
        finally:
            if channel.gone is not None:
                self._live.pop(consumer.token, None)
        channel.when_gone(partial(self._consumer_gone, link, consumer, consumer.token))

    async def _subscribe(self, consumer: Consumer) -> None:
        if not self._paused:
            await consumer.subscribe()

    def _consumer_gone(self, link: Link, consumer: Consumer, token: int, gone: Gone) -> None:
        self._live.pop(token, None)
        for tag in list(consumer.sizes):
            self._let_go(consumer, tag)
        self._dirty.discard(token)
        consumer.channel = None
        if isinstance(gone, BrokerRefused) and link is self._link:
            log.error("the broker stopped serving {queue}: {gone}", queue=consumer.queue, gone=str(gone))
            self._spawn(self._serve(link, consumer))

    def _take(self, consumer: Consumer, delivery: Delivery) -> None:
        consumer.window.delivered(delivery.tag)
        self._in_hand(consumer, delivery)
        try:
            consumer.on_delivery(delivery)
            consumer.failures = 0
        except CancelledError:
            raise
        except Exception:
            log.failure(
                "taking message {id!r} from {queue} failed; it goes back to the queue in {pause:g} s",
                id=delivery.properties.message_id,
                queue=delivery.queue,
                pause=self._patience.give_back_after_s,
            )
            self.release(delivery)

    def _give_back(self, delivery: Delivery) -> None:
        consumer = self._live.get(delivery.channel)
        if consumer is None or consumer.channel is None or not consumer.window.given_back(delivery.tag):
            return
        consumer.channel.release(delivery.tag)
        self._let_go(consumer, delivery.tag)
        self._flush_soon(delivery.channel)

    # Unacked bytes

    def _in_hand(self, consumer: Consumer, delivery: Delivery) -> None:
        consumer.sizes[delivery.tag] = size = len(delivery.body) + DELIVERY_BYTES
        self._bytes += size
        if self._bytes > self._most_bytes and not self._held:
            self._hold(True)

    def _let_go(self, consumer: Consumer, tag: int) -> None:
        self._bytes -= consumer.sizes.pop(tag, 0)
        if self._held and self._bytes <= self._most_bytes // 2:
            self._hold(False)

    def _hold(self, held: bool) -> None:
        """Stop reading from the broker until half of the unacked bytes are acked; the broker keeps the rest."""
        self._held = held
        if self._link is not None:
            self._link.hold(held)
        if self._canary is not None and not self._blocked:
            # Canaries would wait unread behind other deliveries.
            if held:
                self._canary.stop()
            else:
                self._canary.start()

    def _flush_soon(self, token: int) -> None:
        self._dirty.add(token)
        if self._flush_timer is None:
            self._flush_timer = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        timer, self._flush_timer = self._flush_timer, None
        if timer is not None and timer.active():
            timer.cancel()
        dirty, self._dirty = self._dirty, set()
        for token in dirty:
            self._live[token].window.flush()

    # The canary

    async def _keep_canary(self, link: Link) -> None:
        every_s, silent = self._patience.canary_every_s, partial(self._silent, link)
        try:
            canary = await open_canary(link, self._clock, every_s, self._random, self._publisher.publish, silent)
        except BrokerRefused as refused:
            log.warn(
                "no heartbeat messages ({refused}): a dead connection is noticed only by the heartbeat of AMQP",
                refused=str(refused),
            )
            return
        self._canary = canary
        canary.start()

    def _silent(self, link: Link, silence_s: float) -> None:
        link.drop(f"no heartbeat message came back through the broker for {silence_s:.0f} s")

    # Tasks and timers

    def _spawn(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        task = Deferred.fromCoroutine(work)
        self._tasks.add(task)

        def ended(result: None) -> None:
            self._tasks.discard(task)

        def forgive(failure: Failure) -> None:
            # A lost link is handled elsewhere; a refusal closes a channel, whose watchers are called.
            if not isinstance(failure.value, (CancelledError, LinkLost, BrokerRefused)):
                log.failure("unexpected failure in the broker client", failure)

        task.addErrback(forgive).addCallback(ended)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = self._clock.callLater(delay_s, run)
        self._timers.add(timer)

    async def _sleep(self, delay_s: float) -> None:
        waiting: Deferred[None] = Deferred()
        timer = self._clock.callLater(delay_s, waiting.callback, None)
        try:
            await waiting
        finally:
            if timer.active():
                timer.cancel()


def _tell(listener: Callable[[T], None], news: T) -> None:
    """Call a listener; its exception is logged and does not end the connection."""
    try:
        listener(news)
    except CancelledError:
        raise
    except Exception:
        log.failure("a part of the gateway failed on {news!r} of the broker client; the connection goes on", news=news)


def _late(_result: object, limit_s: float) -> NoReturn:
    raise LinkLost(f"the broker did not answer within {limit_s:g} s")


def _forget_cancelled(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("a task of the broker client was cancelled by nobody that is known", failure)
