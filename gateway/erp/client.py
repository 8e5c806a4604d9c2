"""The broker client: reconnects, declares topology and consumers again, batches acks, and reports publish results."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from gateway.erp.amqp_link import Dial, Gone, Link
from gateway.erp.amqp_types import (
    BrokerRefused,
    Delivery,
    Down,
    LinkLost,
    OnDelivery,
    OutgoingMessage,
    Prepare,
    Properties,
    PublishResult,
    UnsafeTopology,
    ignore_blocked,
)
from gateway.erp.consumer import Consumer
from gateway.erp.heartbeat import Heartbeat
from gateway.erp.publisher import Publisher

log = Logger()
T = TypeVar("T")

_NOT_FOUND = 404
_PREFETCH_MAX = 65_535
CANARY_QUEUE = "bankgw.canary."
MOST_BYTES = 67_108_864
DELIVERY_BYTES = 2_048
"""The memory that a delivery takes besides its body: its properties and the intake's objects."""


class Random(Protocol):
    """The part of `random.Random` that is used."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def getrandbits(self, k: int, /) -> int:
        """A number of `k` random bits."""


@dataclass(frozen=True, slots=True)
class Patience:
    """The client's time-outs and intervals. `canary_every_s` 0 means no canary messages."""

    connect_timeout_s: float = 15.0
    establish_timeout_s: float = 60.0
    backoff_first_s: float = 0.2
    backoff_max_s: float = 5.0
    canary_every_s: float = 5.0
    give_back_after_s: float = 1.0


@dataclass(frozen=True, slots=True)
class AmqpStatus:
    """A snapshot for metrics and `status`. `canary_age_s` is None until the first canary came back."""

    up: bool
    blocked: bool
    paused: bool
    publishes_in_flight: int
    deliveries_open: int
    connections: int
    canary_age_s: float | None


def _nothing(*_args: object) -> None:
    pass


class AmqpClient:
    """`amqp_types.Amqp` over any `amqp_link.Dial`.

    Topology and consumers are declared again on each connection, before `on_up`. The pause between attempts doubles,
    with jitter, from `backoff_first_s` to `backoff_max_s`. It is reset only after all declarations succeeded, so a
    broker that accepts connections and refuses the rest is not flooded. Each consumer has its own channel, so that an
    error or a slow order on one does not delay another.
    """

    def __init__(self, clock: IReactorTime, dial: Dial, random: Random, patience: Patience, where: str,
                 prepare: Prepare | None = None, most_bytes: int = MOST_BYTES) -> None:
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
        self._publisher = Publisher()
        self._consumers: list[Consumer] = []
        self._live: dict[int, Consumer] = {}
        self._tokens = itertools.count(1)
        self._dirty: set[int] = set()
        self._flush_timer: IDelayedCall | None = None
        self._timers: set[IDelayedCall] = set()
        self._tasks: set[Deferred[None]] = set()
        self._canary: Heartbeat | None = None
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
        self._on_down: Callable[[Down], None] = _nothing
        self._on_blocked: Callable[[bool], None] = ignore_blocked

    @property
    def up(self) -> bool:
        """See `amqp_types.Amqp`."""
        return self._up

    @property
    def blocked(self) -> bool:
        """See `amqp_types.Amqp`."""
        return self._blocked

    def status(self) -> AmqpStatus:
        """The client's present status."""
        if self._canary is not None:
            self._heard_at_s = self._canary.heard_at_s or self._heard_at_s
        return AmqpStatus(
            up=self._up, blocked=self._blocked, paused=self._paused,
            publishes_in_flight=self._publisher.in_flight,
            deliveries_open=sum(consumer.window.open for consumer in self._live.values()),
            connections=self._connections,
            canary_age_s=None if self._heard_at_s is None else self._clock.seconds() - self._heard_at_s,
        )

    def start(self, on_up: Callable[[], None], on_down: Callable[[Down], None],
              on_blocked: Callable[[bool], None] = ignore_blocked) -> None:
        """See `amqp_types.Amqp`."""
        if self._loop is not None:
            raise RuntimeError("this broker client was started before")
        self._on_up, self._on_down, self._on_blocked = on_up, on_down, on_blocked
        self._loop = Deferred.fromCoroutine(self._keep_connected())
        self._loop.addErrback(_forget_cancelled)

    def consume(self, queue: str, prefetch: int, on_delivery: OnDelivery) -> None:
        """See `amqp_types.Amqp`."""
        if not 1 <= prefetch <= _PREFETCH_MAX:
            raise ValueError(f"prefetch of {queue} must be 1 to {_PREFETCH_MAX}, not {prefetch}")
        if any(consumer.queue == queue for consumer in self._consumers):
            raise ValueError(f"{queue} is consumed already")
        consumer = Consumer(queue, prefetch, on_delivery)
        self._consumers.append(consumer)
        if self._up and self._link is not None:
            self._spawn(self._serve(self._link, consumer))

    def ack(self, delivery: Delivery, multiple: bool = False) -> bool:
        """See `amqp_types.Amqp`."""
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
        """See `amqp_types.Amqp`."""
        consumer = self._live.get(delivery.channel)
        if consumer is None or consumer.channel is None or not consumer.window.given_back(delivery.tag):
            return
        consumer.channel.reject(delivery.tag)
        self._let_go(consumer, delivery.tag)
        self._flush_soon(delivery.channel)

    def release(self, delivery: Delivery) -> None:
        """See `amqp_types.Amqp`."""
        self._later(self._patience.give_back_after_s, partial(self._give_back, delivery))

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        """See `amqp_types.Amqp`."""
        return self._publisher.publish(message)

    def pause(self) -> None:
        """See `amqp_types.Amqp`."""
        if not self._paused:
            self._paused = True
            for consumer in self._live.values():
                self._spawn(consumer.unsubscribe())

    def resume(self) -> None:
        """See `amqp_types.Amqp`."""
        if self._paused:
            self._paused = False
            for consumer in self._live.values():
                self._spawn(self._subscribe(consumer))

    def widen(self, queue: str) -> None:
        """See `amqp_types.Amqp`."""
        for consumer in self._live.values():
            if consumer.queue == queue and consumer.tags:
                self._spawn(self._subscribe(consumer))

    def narrow(self, queue: str) -> None:
        """See `amqp_types.Amqp`."""
        for consumer in self._live.values():
            if consumer.queue == queue:
                self._spawn(consumer.unsubscribe(keep=1))

    def close(self, deadline_s: float) -> Deferred[None]:
        """See `amqp_types.Amqp`."""
        return Deferred.fromCoroutine(self._close(deadline_s))

    async def _close(self, deadline_s: float) -> None:
        try:
            await Deferred.fromCoroutine(self._goodbye()).addTimeout(deadline_s, self._clock)
        except TimeoutError:
            log.warn("{where}: hanging up after {limit:g} s with {count} publishes unanswered",
                     where=self._where, limit=deadline_s, count=self._publisher.in_flight)
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

    async def _one_connection(self) -> Down:
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
            return Down(f"{self._where}: {await link.ended}")
        except CancelledError:
            raise
        except (LinkLost, BrokerRefused, UnsafeTopology) as problem:
            return Down(f"{self._where}: {problem}", problem)
        except Exception as problem:
            log.failure("unexpected failure while connecting to {where}; trying again", where=self._where)
            return Down(f"{self._where}: {type(problem).__name__}: {problem}", problem)
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
        await self._carry_publisher(link)
        for consumer in self._consumers:
            await self._open_consumer(link, consumer)
        if self._patience.canary_every_s:
            await self._keep_canary(link)

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
        self._publisher.lost(reason)
        self._heard_blocked(False)

    def _heard_blocked(self, blocked: bool) -> None:
        if blocked == self._blocked:
            return
        self._blocked = blocked
        if blocked:
            log.warn("{where} is short of memory or disk and takes no messages: intake and outbox wait",
                     where=self._where)
        if self._canary is not None:
            # A blocked broker does not read, so missing canaries do not mean a dead connection.
            if blocked:
                self._canary.stop()
            elif not self._held:
                self._canary.start()
        _tell(self._on_blocked, blocked)

    # Publishing

    async def _carry_publisher(self, link: Link) -> None:
        channel = await link.channel()
        await channel.publish_for(self._publisher)
        channel.when_gone(partial(self._publisher_gone, link))

    def _publisher_gone(self, link: Link, gone: Gone) -> None:
        if not isinstance(gone, BrokerRefused) or link is not self._link:
            return
        log.error("the broker closed the publishing channel: {gone}", gone=str(gone))
        self._publisher.channel_closed(gone.code, gone.text)
        if gone.code == _NOT_FOUND:
            link.drop(f"an exchange is gone ({gone.text}): the topology must be looked at again")
        else:
            self._spawn(self._reopen_publisher(link))

    async def _reopen_publisher(self, link: Link) -> None:
        # Pause, so that a broker that closes every channel at once is not flooded.
        await self._sleep(self._patience.backoff_first_s)
        await self._carry_publisher(link)

    # Consuming

    async def _serve(self, link: Link, consumer: Consumer) -> None:
        """Open the consumer's channel, and retry with growing pauses while this connection lasts.
        """
        while True:
            try:
                await self._open_consumer(link, consumer)
                return
            except BrokerRefused as refused:
                log.error("{queue} cannot be consumed: {refused}", queue=consumer.queue, refused=str(refused))
                if refused.code == _NOT_FOUND:
                    link.drop(f"{consumer.queue} is gone: the topology must be looked at again")
                    return
            consumer.failures += 1
            await self._sleep(self._backoff_s(consumer.failures))

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
            log.failure("taking message {id!r} from {queue} failed; it goes back to the queue in {pause:g} s",
                        id=delivery.properties.message_id, queue=delivery.queue,
                        pause=self._patience.give_back_after_s)
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
        """Stop reading from the broker until half of the unacked bytes are done; the broker keeps the rest."""
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
        queue = f"{CANARY_QUEUE}{self._random.getrandbits(96):024x}"
        try:
            channel = await link.channel()
            await channel.mirror(queue)
            canary = Heartbeat(self._clock, self._patience.canary_every_s, partial(self._send_canary, queue),
                            partial(self._silent, link))
            channel.deliver(queue, 0, lambda _delivery: canary.returned())
            await channel.subscribe(queue, "bankgw-canary", no_ack=True)
        except BrokerRefused as refused:
            log.warn("no canary, so a silent connection shows only by its heartbeat: {refused}",
                     refused=str(refused))
            return
        self._canary = canary
        canary.start()

    def _send_canary(self, queue: str) -> None:
        properties = Properties(message_id=f"canary-{self._random.getrandbits(96):024x}")
        self._publisher.publish(OutgoingMessage("", queue, b"", properties, persistent=False))

    def _silent(self, link: Link, silence_s: float) -> None:
        link.drop(f"nothing came through for {silence_s:.0f} s although the connection looks alive")

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
        log.failure("the news {news!r} was not taken well", news=news)


def _late(_result: object, limit_s: float) -> NoReturn:
    raise LinkLost(f"the broker did not answer within {limit_s:g} s")


def _forget_cancelled(failure: Failure) -> None:
    if not isinstance(failure.value, CancelledError):
        log.failure("the broker client stopped by itself", failure)
