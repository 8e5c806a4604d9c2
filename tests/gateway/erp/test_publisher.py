from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from gateway.erp.amqp_types import OutgoingMessage, PublishResult, PublishStatus
from gateway.erp.publisher import ChannelClosing, Publisher, Unsendable
from gateway.kernel.deliveries import Properties


def envelope(n: int) -> OutgoingMessage:
    return OutgoingMessage("x", "key", b"", Properties(message_id=f"m-{n}"))


class Broker:
    """Accepts the publishes of one channel, and gives each the verdict that the test wants."""

    def __init__(self, guilty: frozenset[str] = frozenset()) -> None:
        self.guilty = guilty
        self.seen: list[str] = []
        self.channel: list[str] = []
        self.closed = False

    def send(self, message: OutgoingMessage) -> None:
        message_id = message.properties.message_id or ""
        self.seen.append(message_id)
        self.channel.append(message_id)


def fates(answers: list[Deferred[PublishResult]]) -> list[PublishResult | None]:
    found: list[PublishResult | None] = []
    for answer in answers:
        got: list[PublishResult] = []
        answer.addCallback(got.append)
        found.append(got[0] if got else None)
    return found


def test_a_return_is_matched_by_id_however_late_the_confirm() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    answers = [publisher.publish(envelope(n)) for n in range(5)]
    publisher.returned("m-3", 312, "NO_ROUTE")
    publisher.confirmed(1, False)
    publisher.confirmed(3, False)
    publisher.nacked(2, False)
    publisher.confirmed(5, True)
    verdicts = [verdict and verdict.fate for verdict in fates(answers)]
    assert verdicts == [
        PublishStatus.CONFIRMED,
        PublishStatus.NACKED,
        PublishStatus.CONFIRMED,
        PublishStatus.RETURNED,
        PublishStatus.CONFIRMED,
    ]
    assert publisher.in_flight == 0


@given(st.integers(1, 60), st.randoms(use_true_random=False))
def test_any_order_of_confirms_gives_each_message_its_own_verdict(count: int, chance: random.Random) -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    answers = [publisher.publish(envelope(n)) for n in range(count)]
    unroutable = {n for n in range(count) if chance.random() < 0.2}
    refused = {n for n in range(count) if chance.random() < 0.1} - unroutable
    for n in sorted(unroutable, key=lambda _: chance.random()):
        publisher.returned(f"m-{n}", 312, "NO_ROUTE")
    left = set(range(count))
    while left:
        low = min(left)
        run = list(range(low, min(count, low + chance.randint(1, 9))))
        if not refused & set(run) and chance.random() < 0.5:
            publisher.confirmed(run[-1] + 1, True)
            left -= set(run)
            continue
        n = chance.choice(sorted(left))
        (publisher.nacked if n in refused else publisher.confirmed)(n + 1, False)
        left.discard(n)
    for n, verdict in enumerate(fates(answers)):
        assert verdict is not None
        wanted = (
            PublishStatus.RETURNED
            if n in unroutable
            else PublishStatus.NACKED
            if n in refused
            else PublishStatus.CONFIRMED
        )
        assert verdict.fate is wanted, n


def test_the_guilty_message_is_found_and_the_others_get_through() -> None:
    publisher = Publisher()
    guilty = {"m-4", "m-11"}
    answers: list[Deferred[PublishResult]] = []
    accepted: list[str] = []
    channels = 0

    def open_channel() -> Broker:
        nonlocal channels
        channels += 1
        broker = Broker()
        publisher.opened(broker.send)
        return broker

    broker = open_channel()
    answers = [publisher.publish(envelope(n)) for n in range(20)]
    answered = 0
    while publisher.in_flight and channels < 50:
        if answered == len(broker.channel):
            break
        message_id = broker.channel[answered]
        answered += 1
        if message_id in guilty:
            publisher.channel_closed(406, "PRECONDITION_FAILED")
            broker, answered = open_channel(), 0
        else:
            accepted.append(message_id)
            publisher.confirmed(answered, False)
    verdicts = fates(answers)
    for n, verdict in enumerate(verdicts):
        assert verdict is not None
        assert verdict.fate is (PublishStatus.REFUSED if f"m-{n}" in guilty else PublishStatus.CONFIRMED), n
    assert verdicts[4] == PublishResult(PublishStatus.REFUSED, 406, "PRECONDITION_FAILED")
    assert accepted == [f"m-{n}" for n in range(20) if f"m-{n}" not in guilty], "order is kept"
    assert channels == 4


def test_new_messages_wait_while_a_suspect_stands_alone() -> None:
    publisher = Publisher()
    first, second = Broker(), Broker()
    publisher.opened(first.send)
    publisher.publish(envelope(0))
    publisher.publish(envelope(1))
    publisher.channel_closed(406, "no")
    publisher.publish(envelope(2))
    publisher.opened(second.send)
    assert second.channel == ["m-0"]
    publisher.publish(envelope(3))
    assert second.channel == ["m-0"]
    publisher.confirmed(1, False)
    assert second.channel == ["m-0", "m-1"]
    publisher.confirmed(2, False)
    assert second.channel == ["m-0", "m-1", "m-2", "m-3"]


def test_a_lost_connection_leaves_every_verdict_lost() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    sent = [publisher.publish(envelope(n)) for n in range(3)]
    publisher.channel_closed(406, "no")
    waiting = publisher.publish(envelope(3))
    publisher.lost("cable cut")
    assert fates([*sent, waiting]) == [PublishResult(PublishStatus.LOST, 0, "cable cut")] * 4
    after = publisher.publish(envelope(0))
    assert [verdict and verdict.fate for verdict in fates([after])] == [PublishStatus.LOST]
    assert publisher.in_flight == 0


def test_tags_and_returns_start_anew_with_a_channel() -> None:
    publisher, first, second = Publisher(), Broker(), Broker()
    publisher.opened(first.send)
    publisher.publish(envelope(0))
    publisher.returned("m-0", 312, "NO_ROUTE")
    publisher.lost("cable cut")
    publisher.opened(second.send)
    again = publisher.publish(envelope(0))
    publisher.confirmed(1, False)
    assert fates([again])[0] == PublishResult(PublishStatus.CONFIRMED)


def test_what_cannot_be_encoded_is_refused_and_uses_up_no_tag() -> None:
    publisher, broker = Publisher(), Broker()

    def send(message: OutgoingMessage) -> None:
        if message.properties.message_id == "m-0":
            raise Unsendable("too long")
        broker.send(message)

    publisher.opened(send)
    bad, good = publisher.publish(envelope(0)), publisher.publish(envelope(1))
    publisher.confirmed(1, False)
    assert fates([bad, good]) == [
        PublishResult(PublishStatus.REFUSED, 0, "too long"),
        PublishResult(PublishStatus.CONFIRMED),
    ]


@pytest.mark.parametrize("end", ["lost", "another channel"])
def test_a_channel_that_is_being_closed_refuses_no_message(end: str) -> None:
    publisher, broker = Publisher(), Broker()

    def closing(_message: OutgoingMessage) -> None:
        raise ChannelClosing("Channel is closing.")

    publisher.opened(closing)
    letters = [publisher.publish(envelope(n)) for n in range(3)]
    assert not any(one.called for one in letters)
    if end == "lost":
        publisher.lost("it hung up")
        assert fates(letters) == [PublishResult(PublishStatus.LOST, 0, "it hung up")] * 3
    else:
        publisher.opened(broker.send)
        publisher.confirmed(3, True)
        assert fates(letters) == [PublishResult(PublishStatus.CONFIRMED)] * 3
        assert broker.channel == ["m-0", "m-1", "m-2"]


def test_a_suspect_whose_channel_is_being_closed_stays_one() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    letters = [publisher.publish(envelope(n)) for n in range(2)]
    publisher.channel_closed(406, "something is wrong with one of them")

    def closing(_message: OutgoingMessage) -> None:
        raise ChannelClosing("Channel is closing.")

    publisher.opened(closing)
    broker.channel.clear()
    publisher.opened(broker.send)
    assert broker.channel == ["m-0"], "one at a time"
    publisher.confirmed(1, False)
    publisher.confirmed(2, False)
    assert fates(letters) == [PublishResult(PublishStatus.CONFIRMED)] * 2


def test_an_id_in_flight_or_missing_is_refused_at_once() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    publisher.publish(envelope(0))
    with pytest.raises(ValueError, match="m-0"):
        publisher.publish(envelope(0))
    with pytest.raises(ValueError, match="no message id"):
        publisher.publish(OutgoingMessage("x", "key", b"", Properties()))
    publisher.confirmed(1, False)
    publisher.publish(envelope(0))


def test_idle_is_told_after_the_last_verdict() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    publisher.publish(envelope(0))
    told: list[None] = []
    publisher.when_idle().addCallback(told.append)
    assert not told
    publisher.confirmed(1, False)
    assert told == [None]


def test_publishing_again_from_within_a_verdict() -> None:
    publisher, broker = Publisher(), Broker()
    publisher.opened(broker.send)
    again: list[Deferred[PublishResult]] = []
    publisher.publish(envelope(0)).addCallback(lambda _verdict: again.append(publisher.publish(envelope(0))))
    publisher.confirmed(0, True)
    publisher.confirmed(2, True)
    assert fates(again) == [PublishResult(PublishStatus.CONFIRMED)]
