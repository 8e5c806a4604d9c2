"""Refusals of the broker that may pass: the client tries again, and no other message is delayed."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred

from gateway.erp.amqp_types import BrokerProblem, BrokerRefused, PublishResult, PublishStatus, UnsafeTopology
from tests.gateway.erp.test_client import Scene, envelope, now


def test_a_missing_exchange_is_declared_again_on_the_same_connection() -> None:
    prepared: list[float] = []

    async def prepare(_declarer: object) -> None:
        prepared.append(scene.clock.seconds())

    scene = Scene(prepare=prepare)
    scene.client.consume("q", 10, lambda _delivery: None)
    scene.start()
    link = scene.links[0]
    answers = [scene.client.publish(envelope(n)) for n in range(2)]
    other = scene.client.publish(replace(envelope(2), exchange="y"))
    link.publishing.close(BrokerRefused(404, "NOT_FOUND - no exchange 'x' in vhost 'v'"))
    barred = PublishResult(PublishStatus.BARRED, 404, "NOT_FOUND - no exchange 'x' in vhost 'v'", True)
    assert list(map(now, answers)) == [barred, barred]
    assert scene.client.refusals == {"exchange x": "404 NOT_FOUND - no exchange 'x' in vhost 'v'"}
    scene.clock.advance(1)
    assert (len(prepared), link.dropped, len(link.of("q").subscriptions)) == (2, [], 1)
    assert link.publishing.publisher is not None and len(link.publishing.sent) == 1, "the other exchange goes on"
    link.publishing.publisher.confirmed(1, False)
    assert now(other) == PublishResult(PublishStatus.CONFIRMED)
    again = scene.client.publish(envelope(3))
    apart = link.publishing
    assert [message.properties.message_id for message in apart.sent] == ["m-3"]
    assert apart.publisher is not None
    apart.publisher.confirmed(1, False)
    assert now(again) == PublishResult(PublishStatus.CONFIRMED) and scene.client.refusals == {}
    scene.close()


def test_a_refusal_of_one_sender_bars_neither_another_one_nor_its_channel() -> None:
    """The broker refuses one topic: the sender's messages are barred together, and later ones go on a channel of their
    own, where a second refusal disturbs nobody."""
    said = "ACCESS_REFUSED - write access to topic 'k.a' in exchange 'x' in vhost 'v' refused for user 'u'"
    scene = Scene()
    scene.start()
    link = scene.links[0]

    def publish(n: int, key: str, sender: str) -> Deferred[PublishResult]:
        return scene.client.publish(replace(envelope(n), routing_key=key, sender=sender))

    answers = [publish(0, "k.a", "a"), publish(1, "k.b", "b"), publish(2, "other.a", "a"), publish(3, "k.b", "b")]
    link.publishing.close(BrokerRefused(403, said))
    barred = PublishResult(PublishStatus.BARRED, 403, said)
    assert [now(answers[n]) for n in (0, 2)] == [barred, barred], "the order of the sender is kept"
    scene.clock.advance(1)
    main = link.publishing
    assert [message.properties.message_id for message in main.sent] == ["m-1", "m-3"] and main.publisher is not None
    main.publisher.confirmed(2, True)
    assert [now(answers[n]) for n in (1, 3)] == [PublishResult(PublishStatus.CONFIRMED)] * 2
    for n in (4, 5):
        once_more = publish(n, "k.a", "a")
        scene.clock.advance(1)
        apart = link.publishing
        assert apart is not main
        apart.close(BrokerRefused(403, said))
        assert now(once_more) == barred
        scene.clock.advance(1)
    assert main.gone is None and list(scene.client.refusals) == ["exchange x, sender a"]
    scene.close()


def test_a_consumer_that_is_refused_at_the_start_delays_no_other_and_no_publish() -> None:
    scene = Scene()
    for queue in ("q", "r"):
        scene.client.consume(queue, 10, lambda _delivery: None)
    scene.adjust = lambda link: setattr(link, "refuse_subscribe", BrokerRefused(403, "ACCESS_REFUSED"))
    scene.start()
    link = scene.links[0]
    assert scene.client.up and set(scene.client.refusals) == {"queue q", "queue r"}
    link.refuse_subscribe = None
    scene.clock.advance(5)
    assert link.of("q").subscriptions and link.of("r").subscriptions and scene.client.refusals == {}
    assert len(scene.links) == 1 and scene.downs() == []
    scene.close()


def test_a_queue_that_is_gone_is_declared_again_and_the_trouble_names_what_stands_in_the_way() -> None:
    unsafe: list[UnsafeTopology] = []

    async def prepare(_declarer: object) -> None:
        if unsafe:
            raise unsafe[0]

    scene = Scene(prepare=prepare)
    for queue in ("q", "r"):
        scene.client.consume(queue, 10, lambda _delivery: None)
    scene.start()
    link = scene.links[0]
    unsafe.append(UnsafeTopology([BrokerProblem("queue q: of another", "delete it")]))
    link.refuse_subscribe = BrokerRefused(404, "NOT_FOUND - no queue 'q'")
    link.of("q").close(BrokerRefused(0, "the broker cancelled the consumer"))
    scene.clock.advance(3)
    assert scene.client.refusals["queue q"].startswith("404")
    assert "queue q: of another — delete it" in scene.client.refusals["topology"]
    assert link.dropped == [] and link.of("r").subscriptions, "the other queue goes on"
    unsafe.clear()
    link.refuse_subscribe = None
    scene.clock.advance(8)
    assert link.of("q").subscriptions and scene.client.refusals == {}
    scene.close()
