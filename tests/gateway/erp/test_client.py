"""The client's decisions on a simulated connection: without broker and socket, with a clock moved by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from gateway.erp.amqp_link import Gone, Link
from gateway.erp.amqp_types import (
    BrokerDown,
    BrokerProblem,
    BrokerRefused,
    Declarer,
    LinkLost,
    OutgoingMessage,
    PublishResult,
    PublishStatus,
    UnsafeTopology,
)
from gateway.erp.client import DELIVERY_BYTES, AmqpClient, ClientTimeouts
from gateway.erp.publisher import Publisher
from gateway.kernel.deliveries import Delivery, Properties
from tests.world.clock import HeapClock

PATIENCE = ClientTimeouts(backoff_first_s=1.0, backoff_max_s=8.0, canary_every_s=0)


class FakeChannel:
    """A channel that obeys and records each call."""

    def __init__(self, link: FakeLink) -> None:
        self.link = link
        self.gone: Gone | None = None
        self.acks: list[int] = []
        self.back: list[int] = []
        self.rejected: list[int] = []
        self.subscriptions: list[str] = []
        self.sent: list[OutgoingMessage] = []
        self.publisher: Publisher | None = None
        self.watchers: list[Callable[[Gone], None]] = []
        self.sink: Callable[[Delivery], None] = print
        self.token = 0
        self.queue = ""
        self.tag = 0

    def when_gone(self, watcher: Callable[[Gone], None]) -> None:
        self.watchers.append(watcher)

    def leave(self) -> None:
        self.watchers.clear()

    def deliver(self, queue: str, token: int, sink: Callable[[Delivery], None]) -> None:
        self.queue, self.token, self.sink = queue, token, sink

    async def limit(self, prefetch: int) -> None:
        pass

    async def subscribe(self, queue: str, tag: str, *, no_ack: bool = False) -> None:
        if self.link.refuse_subscribe is not None:
            self.close(self.link.refuse_subscribe)
            raise self.link.refuse_subscribe
        self.subscriptions.append(tag)

    async def unsubscribe(self, tag: str) -> None:
        self.subscriptions.remove(tag)

    async def look_into(self, queue: str) -> list[bytes]:
        return []

    async def mirror(self, name: str) -> None:
        if self.link.refuse_mirror is not None:
            raise self.link.refuse_mirror

    def ack_through(self, tag: int) -> None:
        self.acks.append(tag)

    def release(self, tag: int) -> None:
        self.back.append(tag)

    def reject(self, tag: int) -> None:
        self.rejected.append(tag)

    async def publish_for(self, publisher: Publisher) -> None:
        self.publisher = publisher
        publisher.opened(self.sent.append)

    def arrive(self, body: bytes = b"") -> Delivery:
        """Deliver one message."""
        self.tag += 1
        delivery = Delivery(self.queue, self.tag, self.token, False, "", self.queue, Properties(), body)
        self.sink(delivery)
        return delivery

    def close(self, gone: Gone) -> None:
        """Close the channel as the broker does."""
        self.gone = gone
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher(gone)


class FakeDeclarer:
    """The declarer of a connection whose queues are empty."""

    async def queue_exists(self, _name: str) -> int:
        return 0


class FakeLink:
    """A connection that lives until a test ends it."""

    def __init__(self, on_blocked: Callable[[bool], None]) -> None:
        self.on_blocked = on_blocked
        self.opened: Deferred[None] = succeed(None)
        self.ended: Deferred[str] = Deferred()
        self.alive = True
        self.channels: list[FakeChannel] = []
        self.refuse_subscribe: BrokerRefused | None = None
        self.refuse_mirror: BrokerRefused | None = None
        self.dropped: list[str] = []
        self.holds: list[bool] = []

    async def channel(self) -> FakeChannel:
        self.channels.append(FakeChannel(self))
        return self.channels[-1]

    def declarer(self) -> Declarer:
        return cast(Declarer, FakeDeclarer())

    def hold(self, held: bool) -> None:
        self.holds.append(held)

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)
        self.end(reason)

    def hang_up(self) -> None:
        self.end("goodbye")

    def end(self, reason: str) -> None:
        """End the connection."""
        if self.alive:
            self.alive = False
            if not self.ended.called:
                self.ended.callback(reason)

    def of(self, queue: str) -> FakeChannel:
        """The latest channel that consumes the queue."""
        return [channel for channel in self.channels if channel.queue == queue][-1]

    @property
    def publishing(self) -> FakeChannel:
        """The latest channel that publishes."""
        return [channel for channel in self.channels if channel.publisher is not None][-1]


class Longest:
    """A random source without chance: jitter always has the largest value, and ids count up."""

    drawn = 0

    def random(self) -> float:
        return 1.0

    def getrandbits(self, k: int, /) -> int:
        self.drawn += 1
        return self.drawn


class Scene:
    """A client, its clock, and the links it dialled."""

    def __init__(self, patience: ClientTimeouts = PATIENCE, prepare: Any = None) -> None:
        self.clock = HeapClock()
        self.links: list[FakeLink] = []
        self.dialled_at: list[float] = []
        self.unreachable = False
        self.adjust: Callable[[FakeLink], None] = lambda _link: None
        self.events: list[object] = []
        self.client = AmqpClient(self.clock, self.dial, Longest(), patience, "broker", prepare)

    def dial(self, on_blocked: Callable[[bool], None]) -> Deferred[Link]:
        self.dialled_at.append(self.clock.seconds())
        if self.unreachable:
            return fail(LinkLost("cannot be reached"))
        link = FakeLink(on_blocked)
        self.adjust(link)
        self.links.append(link)
        return succeed(link)

    def start(self) -> None:
        self.client.start(lambda: self.events.append("up"), self.events.append, self.events.append)

    def close(self) -> None:
        """Close every connection at once. Nothing may still run afterwards."""
        self.client.close(0)
        self.clock.advance(0)
        assert self.clock.getDelayedCalls() == []

    def downs(self) -> list[BrokerDown]:
        return [event for event in self.events if isinstance(event, BrokerDown)]


def envelope(n: int) -> OutgoingMessage:
    return OutgoingMessage("x", "key", b"", Properties(message_id=f"m-{n}"))


def now(answer: Deferred[PublishResult]) -> PublishResult | None:
    got: list[PublishResult] = []
    answer.addCallback(got.append)
    return got[0] if got else None


def test_pauses_double_to_a_limit_and_start_anew_only_after_success() -> None:
    scene = Scene()
    scene.unreachable = True
    scene.start()
    scene.clock.advance(40)
    gaps = [later - earlier for earlier, later in zip(scene.dialled_at, scene.dialled_at[1:])]
    assert gaps == [1, 2, 4, 8, 8, 8, 8]
    scene.unreachable = False
    scene.clock.advance(8)
    assert scene.client.up
    scene.links[-1].end("cable cut")
    assert scene.downs()[-1] == BrokerDown("broker: cable cut")
    scene.unreachable = True
    before = len(scene.dialled_at)
    scene.clock.advance(4)
    assert len(scene.dialled_at) == before + 2
    scene.close()


def test_a_broker_that_connects_but_refuses_the_rest_is_not_hammered() -> None:
    unsafe = UnsafeTopology([BrokerProblem("queue q: bad", "mend it")])

    async def prepare(_declarer: object) -> None:
        raise unsafe

    scene = Scene(prepare=prepare)
    scene.start()
    scene.clock.advance(20)
    gaps = [later - earlier for earlier, later in zip(scene.dialled_at, scene.dialled_at[1:])]
    assert gaps == [1, 2, 4, 8]
    assert scene.downs()[0].error is unsafe
    assert "queue q: bad — mend it" in scene.downs()[0].reason
    assert "up" not in scene.events
    assert not any(link.alive for link in scene.links)
    assert now(scene.client.publish(envelope(1))) == PublishResult(PublishStatus.LOST, 0, "not connected to the broker")
    scene.close()


def test_a_broker_that_says_nothing_is_given_up() -> None:
    scene = Scene()
    scene.adjust = lambda link: setattr(link, "opened", Deferred())
    scene.start()
    scene.clock.advance(14.9)
    assert scene.downs() == []
    scene.clock.advance(0.2)
    assert scene.downs()[0].reason == "broker: the broker did not answer within 15 s"
    assert not scene.links[0].alive
    scene.close()


def test_acks_of_a_turn_leave_as_one_frame() -> None:
    scene = Scene()
    got: list[Delivery] = []
    scene.client.consume("q", 10, got.append)
    scene.client.consume("r", 10, got.append)
    scene.start()
    q, r = scene.links[0].of("q"), scene.links[0].of("r")
    first = [q.arrive() for _ in range(4)]
    second = r.arrive()
    assert all(scene.client.ack(delivery) for delivery in [first[1], first[0], first[3], second])
    assert (q.acks, r.acks) == ([], [])
    scene.clock.advance(0)
    assert (q.acks, r.acks) == ([2], [1])
    scene.client.ack(first[2])
    scene.clock.advance(0)
    assert q.acks == [2, 4]
    scene.close()


def test_after_a_loss_nothing_of_the_old_link_is_acked_or_returned(logged_failures: Any) -> None:
    scene = Scene()

    def take(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            raise ZeroDivisionError("a mistake of ours")

    scene.client.consume("q", 10, take)
    scene.start()
    channel = scene.links[0].of("q")
    good = channel.arrive()
    channel.arrive(b"bad")
    scene.client.ack(good)
    scene.links[0].end("cable cut")
    scene.clock.advance(5)
    assert (channel.acks, channel.back) == ([], [])
    assert scene.client.ack(good) is False
    assert scene.links[1].of("q").token != channel.token
    assert len(logged_failures.take(ZeroDivisionError)) == 1
    scene.close()


def test_a_delivery_that_cannot_be_taken_goes_back_after_a_pause(logged_failures: Any) -> None:
    scene = Scene()

    def take(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            raise ZeroDivisionError("a mistake of ours")
        scene.client.ack(delivery)

    scene.client.consume("q", 10, take)
    scene.start()
    channel = scene.links[0].of("q")
    channel.arrive()
    channel.arrive(b"bad")
    channel.arrive()
    scene.clock.advance(0.9)
    assert (channel.acks, channel.back) == ([1], [])
    scene.clock.advance(0.2)
    assert (channel.acks, channel.back) == ([1, 3], [2])
    assert len(logged_failures.take(ZeroDivisionError)) == 1
    scene.close()


def test_blocked_is_reported_once_each_way_and_ends_with_the_link() -> None:
    scene = Scene()
    scene.start()
    link = scene.links[0]
    link.on_blocked(True)
    link.on_blocked(True)
    assert scene.client.status().blocked
    link.on_blocked(False)
    link.on_blocked(True)
    link.end("cable cut")
    assert not scene.client.blocked
    assert [event for event in scene.events if isinstance(event, bool)] == [True, False, True, False]
    scene.close()


def test_a_blocked_broker_is_not_taken_for_a_dead_one() -> None:
    scene = Scene(ClientTimeouts(canary_every_s=5))
    scene.start()
    link = scene.links[0]
    scene.clock.advance(4)
    link.on_blocked(True)
    scene.clock.advance(600)
    assert link.dropped == []
    link.on_blocked(False)
    scene.clock.advance(14)
    assert link.dropped == []
    scene.clock.advance(2)
    assert "no heartbeat message came back" in link.dropped[0]
    scene.close()


def test_without_the_right_to_a_canary_the_client_runs_without() -> None:
    scene = Scene(ClientTimeouts(canary_every_s=5))
    scene.adjust = lambda link: setattr(link, "refuse_mirror", BrokerRefused(403, "ACCESS_REFUSED"))
    scene.start()
    scene.clock.advance(60)
    assert scene.client.up
    assert scene.client.status().canary_age_s is None
    scene.close()


def test_a_closed_consumer_channel_is_opened_again_alone() -> None:
    scene = Scene()
    scene.client.consume("q", 10, lambda _delivery: None)
    scene.start()
    link = scene.links[0]
    first = link.of("q")
    delivery = first.arrive()
    first.close(BrokerRefused(406, "PRECONDITION_FAILED - delivery acknowledgement timed out"))
    assert scene.client.ack(delivery) is False
    second = link.of("q")
    assert second is not first
    assert second.subscriptions
    assert (len(scene.links), link.alive) == (1, True)
    scene.close()


def test_a_consumer_that_keeps_being_refused_is_tried_with_growing_pauses() -> None:
    scene = Scene()
    scene.client.consume("q", 10, lambda _delivery: None)
    scene.start()
    link = scene.links[0]
    link.refuse_subscribe = BrokerRefused(403, "ACCESS_REFUSED")
    link.of("q").close(BrokerRefused(406, "timed out"))
    opened = len(link.channels)
    scene.clock.advance(15)
    assert len(link.channels) - opened == 4, "after 1, 3, 7 and 15 s"
    link.refuse_subscribe = None
    scene.clock.advance(8)
    assert link.of("q").subscriptions
    scene.close()


def test_the_publishing_channel_is_opened_again_after_a_pause_and_suspects_are_tried_alone() -> None:
    scene = Scene()
    scene.start()
    link = scene.links[0]
    first = link.publishing
    answers = [scene.client.publish(envelope(n)) for n in range(2)]
    first.close(BrokerRefused(406, "user_id"))
    assert link.publishing is first
    scene.clock.advance(1)
    second = link.publishing
    assert len(second.sent) == 1
    second.close(BrokerRefused(406, "user_id"))
    assert now(answers[0]) == PublishResult(PublishStatus.REFUSED, 406, "user_id")
    scene.clock.advance(1)
    assert link.publishing.publisher is not None
    link.publishing.publisher.confirmed(1, False)
    assert now(answers[1]) == PublishResult(PublishStatus.CONFIRMED)
    assert scene.downs() == []
    scene.close()


def test_paused_before_the_connection_means_no_subscription_until_resumed() -> None:
    scene = Scene()
    scene.client.consume("q", 10, lambda _delivery: None)
    scene.client.pause()
    scene.start()
    channel = scene.links[0].of("q")
    assert channel.subscriptions == []
    scene.client.resume()
    assert len(channel.subscriptions) == 1
    scene.client.pause()
    assert channel.subscriptions == []
    scene.close()


def test_close_tells_nobody_and_leaves_nothing_running() -> None:
    scene = Scene(ClientTimeouts(canary_every_s=5))
    got: list[Delivery] = []
    scene.client.consume("q", 10, got.append)
    scene.start()
    link = scene.links[0]
    channel = link.of("q")
    scene.client.ack(channel.arrive())
    answer = scene.client.publish(envelope(1))
    closed: list[None] = []
    scene.client.close(30).addCallback(closed.append)
    assert channel.subscriptions == []
    assert not closed
    publisher = link.publishing.publisher
    assert publisher is not None
    publisher.confirmed(0, True)
    assert now(answer) == PublishResult(PublishStatus.CONFIRMED)
    assert closed == [None]
    assert channel.acks == [1]
    assert scene.events == ["up"]
    assert scene.clock.getDelayedCalls() == []


def test_close_before_start_and_twice() -> None:
    scene = Scene()
    closed: list[None] = []
    scene.client.close(1).addCallback(closed.append)
    scene.client.close(1).addCallback(closed.append)
    assert closed == [None, None]


def test_a_listener_that_fails_does_not_end_the_client(logged_failures: Any) -> None:
    scene = Scene()

    def bad(_news: object) -> None:
        raise ZeroDivisionError("a mistake of ours")

    scene.client.start(lambda: scene.events.append("up"), bad, bad)
    scene.links[0].on_blocked(True)
    scene.links[0].end("cable cut")
    scene.clock.advance(1)
    assert scene.client.up
    assert scene.events == ["up", "up"]
    assert len(logged_failures.take(ZeroDivisionError)) == 3
    scene.close()


def test_starting_twice_is_a_mistake() -> None:
    scene = Scene()
    scene.start()
    with pytest.raises(RuntimeError, match="started before"):
        scene.start()
    scene.close()


# ---- unacked bytes ----


def held_scene(most: int) -> tuple[Scene, FakeChannel, list[Delivery]]:
    scene, got = Scene(), list[Delivery]()
    scene.client = AmqpClient(scene.clock, scene.dial, Longest(), PATIENCE, "broker", None, most)
    scene.client.consume("orders", 100, got.append)
    scene.start()
    scene.clock.advance(0)
    return scene, scene.links[0].of("orders"), got


def test_nothing_more_is_read_while_too_many_bytes_are_in_hand() -> None:
    each = 1_000_000
    scene, channel, got = held_scene(5 * (each + DELIVERY_BYTES))
    for _ in range(5):
        channel.arrive(b"x" * each)
    assert scene.links[0].holds == []
    channel.arrive(b"x" * each)
    assert scene.links[0].holds == [True], "six are more than five"
    for delivery in got[:3]:
        scene.client.ack(delivery)
    assert scene.links[0].holds == [True]
    scene.client.reject(got[3])
    assert scene.links[0].holds == [True, False], "half of what may be in hand is left"
    assert channel.rejected == [4]
    scene.clock.advance(0)
    assert channel.acks == [3], "what was rejected is not acknowledged too"
    scene.client.ack(got[5], multiple=True)
    assert scene.client._bytes == 0
    scene.close()


def test_bytes_in_hand_end_with_their_connection_or_channel() -> None:
    scene, channel, _got = held_scene(1_000)
    channel.arrive(b"x" * 1_000)
    assert scene.links[0].holds == [True]
    channel.close(BrokerRefused(404, "gone"))
    assert scene.client._bytes == 0 and scene.links[0].holds == [True, False]
    scene.clock.advance(60)
    scene.links[-1].of("orders").arrive(b"x" * 1_000)
    assert scene.links[-1].holds[-1]
    scene.links[-1].end("cut")
    scene.clock.advance(60)
    assert (scene.client._held, scene.client._bytes) == (False, 0)
    scene.close()
