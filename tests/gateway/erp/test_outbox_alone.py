"""The outbox alone, step by step: how many messages are in flight, in which order, and when they are marked as
confirmed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred

from gateway.erp import outbox as outbox_module
from gateway.erp.amqp_types import CONFIRMED, NACKED, OutgoingMessage, PublishResult, PublishStatus
from gateway.kernel.commit import outbox as outbox_rows
from gateway.kernel.commit.rows import DeliveryTries, OutboxRow
from gateway.kernel.meters import Meters
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock


class _Broker:
    """A client that publishes nothing: the test gives each verdict."""

    def __init__(self) -> None:
        self.up = True
        self.blocked = False
        self.open: dict[str, Deferred[PublishResult]] = {}
        self.log: list[OutgoingMessage] = []

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        self.log.append(message)
        verdict: Deferred[PublishResult] = Deferred()
        self.open[str(message.properties.message_id)] = verdict
        return verdict

    def say(self, message_id: str, verdict: PublishResult = CONFIRMED) -> None:
        self.open.pop(message_id).callback(verdict)


class _Store:
    """Units and reads that the test answers."""

    def __init__(self) -> None:
        self.writes: list[Deferred[Any]] = []
        self.units: list[Any] = []
        self.reads: list[Deferred[Any]] = []
        self.looks: list[Callable[[Any], Any]] = []

    def write(self, unit: Any) -> Deferred[Any]:
        self.units.append(unit)
        self.writes.append(Deferred())
        return self.writes[-1]

    def read(self, fn: Callable[[Any], Any]) -> Deferred[Any]:
        self.looks.append(fn)
        self.reads.append(Deferred())
        return self.reads[-1]


class _Alone:
    """An outbox whose broker and store are played by the test."""

    def __init__(self) -> None:
        self.clock = HeapClock(1_795_000_000.0)
        # These two have only the methods that an outbox calls.
        self.broker = cast(Any, _Broker())
        self.store = cast(Any, _Store())
        self.outbox = outbox_module.Outbox(
            self.broker, self.store, "gw1", "bankgw", "bankgw/0", LifeClock(self.clock), Meters(CollectorRegistry())
        )

    def take(self, *ids: str) -> None:
        self.outbox.publish_rows(row(id_) for id_ in ids)

    @property
    def sent(self) -> list[str]:
        return [str(message.properties.message_id) for message in self.broker.log]


def row(id_: str) -> OutboxRow:
    return OutboxRow(id_, "gw1", "bankgw.events", "k", b"{}", created_ms=1_794_999_999_400)


def test_the_window_is_full_and_no_more() -> None:
    alone = _Alone()
    alone.take(*(f"m{n}" for n in range(502)))
    assert len(alone.sent) == 500 and alone.outbox.depth == 502
    alone.broker.say("m0")
    assert alone.sent[-1] == "m500" and alone.outbox.depth == 501


def test_bytes_bound_what_is_in_flight_and_what_is_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_module, "WINDOW_BYTES", 3_000)
    monkeypatch.setattr(outbox_module, "IN_MEMORY_BYTES", 5_000)
    alone = _Alone()
    alone.outbox.publish_rows(replace(row(f"m{n}"), body=b"x" * 1_000) for n in range(20))
    assert alone.sent == ["m0", "m1", "m2"] and alone.outbox.depth == 5, "the journal keeps the others"
    for n in range(3):
        alone.broker.say(f"m{n}")
    assert alone.sent[3:] == ["m3", "m4"] and len(alone.store.reads) == 1
    alone.store.reads[0].callback(([replace(row("m5"), body=b"x" * 9_000)], False))
    assert alone.sent[-1] == "m5", "one that is larger than all of it goes, too"


def test_what_fits_in_memory_is_published_without_a_look_into_the_journal() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1")
    assert alone.sent == ["m1"] and alone.store.reads == []


def test_the_place_of_a_parked_copy_goes_to_the_next() -> None:
    alone = _Alone()
    alone.take(*(f"m{n}" for n in range(501)))
    alone.broker.say("m0", PublishResult(PublishStatus.RETURNED, 312, "NO_ROUTE"))
    assert alone.sent[-1] == "m0", "the copy takes the place of its message"
    alone.broker.say("m0")
    assert alone.sent[-1] == "m500"


def test_nothing_leaves_while_the_broker_is_away_or_blocked() -> None:
    alone = _Alone()
    alone.broker.up = False
    alone.take("m1")
    assert alone.sent == []
    alone.broker.up, alone.broker.blocked = True, True
    alone.take("m2")
    assert alone.sent == []
    alone.broker.blocked = False
    alone.outbox.unblocked()
    assert alone.sent == ["m1", "m2"]
    assert {message.properties.timestamp for message in alone.broker.log} == {1_794_999_999}


def test_a_message_that_is_nacked_again_and_again_comes_ever_more_seldom() -> None:
    """One full queue among several refuses the message, and each try gives the other queues one more copy."""
    alone = _Alone()
    alone.take("m1")
    for pause_s in (1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300):
        before = len(alone.sent)
        alone.broker.say("m1", NACKED)
        alone.clock.advance(pause_s - 0.01)
        assert len(alone.sent) == before
        alone.clock.advance(0.02)
        assert len(alone.sent) == before + 1
    alone.broker.say("m1")
    assert alone.outbox._refused == {}
    alone.take("m2")
    alone.broker.say("m2", NACKED)
    alone.clock.advance(1.01)
    assert alone.sent[-1] == "m2"


def test_a_nacked_message_comes_again_after_a_second_behind_what_waits() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", NACKED)
    assert alone.outbox.depth == 0
    alone.clock.advance(0.99)
    assert alone.sent == ["m1"]
    alone.broker.up = False
    alone.take("m2")
    alone.clock.advance(0.02)
    alone.broker.up = True
    alone.outbox.unblocked()
    assert alone.sent == ["m1", "m2", "m1"]


def test_marks_wait_a_moment_for_others_but_never_for_more_than_two_hundred() -> None:
    alone = _Alone()
    ids = [f"m{n}" for n in range(201)]
    alone.take(*ids)
    for id_ in ids[:199]:
        alone.broker.say(id_)
    alone.clock.advance(0.01)
    assert alone.store.writes == []
    alone.broker.say(ids[199])
    assert len(alone.store.writes) == 1
    alone.broker.say(ids[200])
    alone.clock.advance(0.019)
    assert len(alone.store.writes) == 1
    alone.clock.advance(0.002)
    assert len(alone.store.writes) == 2
    alone.clock.advance(10)
    assert len(alone.store.writes) == 2


def test_draining_ends_when_the_last_message_is_confirmed_and_marked() -> None:
    alone = _Alone()
    alone.take("m1", "m2")
    alone.broker.say("m1")
    done: list[object] = []
    alone.outbox.drain().addCallback(done.append)
    assert len(alone.store.writes) == 1, "what is confirmed is marked at once"
    alone.store.writes[0].callback(1)
    assert done == [], "one is still in flight"
    alone.broker.say("m2")
    assert len(alone.store.writes) == 2 and done == [], "marked without waiting for others"
    alone.store.writes[1].callback(1)
    assert done == [None]
    alone.outbox.drain().addCallback(done.append)
    assert done == [None, None], "nothing is left to wait for"


def test_a_row_is_published_once_until_it_is_marked() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.take("m1")
    assert alone.sent == ["m1"]
    alone.broker.say("m1", PublishResult(PublishStatus.LOST))
    assert alone.sent == ["m1"], "what was lost with the connection is not parked"
    alone.take("m1")
    assert alone.sent == ["m1", "m1"], "nobody knows whether it was stored"
    alone.broker.say("m1")
    alone.clock.advance(1)
    alone.take("m1")
    assert alone.sent == ["m1", "m1"]
    alone.store.writes[0].callback(1)
    alone.take("m1")
    assert alone.sent == ["m1", "m1", "m1"]


def test_more_than_memory_holds_is_left_to_the_journal_and_read_when_half_is_gone() -> None:
    alone = _Alone()
    alone.broker.up = False
    alone.take(*(f"m{n}" for n in range(20_001)))
    assert alone.outbox.depth == 20_000
    alone.broker.up = True
    while len(alone.outbox._waiting) > 10_000:
        assert alone.store.reads == []
        for id_ in list(alone.broker.open):
            alone.broker.say(id_)
        alone.outbox.unblocked()
    assert alone.store.reads == [], "half is not less than half"
    alone.broker.say(next(iter(alone.broker.open)))
    assert len(alone.store.reads) == 1
    alone.store.reads[0].callback(([row("m20000")], False))
    assert "m20000" in {waiting.message_id for waiting in alone.outbox._waiting}


def test_one_scan_at_a_time_and_one_more_for_all_that_was_asked_meanwhile() -> None:
    alone = _Alone()
    alone.outbox.up()
    alone.outbox.up()
    alone.outbox.up()
    assert len(alone.store.reads) == 1
    alone.store.reads[0].callback(([], False))
    assert len(alone.store.reads) == 2
    alone.store.reads[1].callback(([], False))
    assert len(alone.store.reads) == 2
    alone.outbox.up()
    alone.store.reads[2].callback(([row(f"m{n}") for n in range(1000)], True))
    assert len(alone.store.reads) == 4, "a full page may not be the last"
    alone.store.reads[3].errback(ZeroDivisionError())
    alone.clock.advance(0.99)
    assert len(alone.store.reads) == 4
    alone.clock.advance(0.02)
    assert len(alone.store.reads) == 5


def test_a_parked_copy_counts_as_in_flight_and_says_where_it_was_going() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", PublishResult(PublishStatus.RETURNED, 312, "NO_ROUTE"))
    [_, copy] = alone.broker.log
    assert (copy.exchange, copy.routing_key) == ("", "bankgw.unrouted.news") and alone.outbox.depth == 1
    assert copy.properties.headers == {"unrouted_exchange": "bankgw.events", "unrouted_key": "k"}
    assert copy.properties.timestamp == 1_794_999_999
    alone.broker.say("m1", NACKED)
    assert alone.outbox.depth == 0
    alone.clock.advance(1.01)
    assert alone.sent == ["m1", "m1", "m1"]


def test_draining_does_not_wait_for_a_message_that_was_lost() -> None:
    alone = _Alone()
    alone.take("m1")
    done: list[object] = []
    alone.outbox.drain().addCallback(done.append)
    assert done == []
    alone.broker.say("m1", PublishResult(PublishStatus.LOST))
    assert done == [None]


def test_each_page_of_a_scan_begins_after_the_last_message_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(outbox_rows, "page", lambda _conn, *about: asked.append(about[:3]))
    alone = _Alone()
    alone.outbox.up()
    alone.store.reads[0].callback(([row(f"m{n:03}") for n in range(1000)], True))
    for look in alone.store.looks:
        look(None)
    assert asked == [("gw1", "", 1000), ("gw1", "m999", 1000)]


def test_draining_does_not_wait_for_a_copy_that_was_lost() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", PublishResult(PublishStatus.RETURNED, 312, "NO_ROUTE"))
    done: list[object] = []
    alone.outbox.drain().addCallback(done.append)
    assert done == []
    alone.broker.say("m1", PublishResult(PublishStatus.LOST))
    assert done == [None]


def test_a_full_page_is_not_followed_by_another_while_memory_is_full() -> None:
    alone = _Alone()
    alone.broker.up = False
    alone.take(*(f"m{n}" for n in range(20_000)))
    alone.outbox.up()
    alone.store.reads[0].callback(([row(f"n{n}") for n in range(1000)], True))
    assert len(alone.store.reads) == 1


def written(alone: _Alone) -> list[tuple[str, dict[str, tuple[int, str]]]]:
    """The units so far: the function of each, and the tries that it was given."""
    return [
        (unit.func.__name__, {one: (how.count, how.result) for one, how in unit.keywords["tries"].items()})
        for unit in alone.store.units
    ]


LOST = PublishResult(PublishStatus.LOST)
RETURNED = PublishResult(PublishStatus.RETURNED, 312, "NO_ROUTE")


def test_a_message_that_is_confirmed_at_once_has_no_tries_to_write() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1")
    alone.clock.advance(60)
    assert written(alone) == [("mark", {})]


def test_tries_in_vain_are_written_with_the_mark_that_comes_soon() -> None:
    alone = _Alone()
    alone.take("m1", "m2")
    alone.broker.say("m1", NACKED)
    alone.broker.say("m2", LOST)
    alone.take("m2")
    alone.clock.advance(1.01)
    alone.broker.say("m1")
    alone.broker.say("m2", NACKED)
    alone.clock.advance(1.01)
    alone.broker.say("m2")
    alone.clock.advance(60)
    assert written(alone) == [("mark", {"m1": (2, "confirmed")}), ("mark", {"m2": (3, "confirmed")})]


def test_tries_in_vain_are_written_at_a_slow_pace_while_nothing_is_confirmed() -> None:
    alone = _Alone()
    alone.take("m1")
    for pause_s in (1, 2, 4, 8):
        alone.broker.say("m1", NACKED)
        alone.clock.advance(pause_s + 0.01)
    assert written(alone) == [("note_tries", {"m1": (4, "nacked")})]
    alone.store.writes[0].callback(None)
    alone.broker.say("m1")
    alone.clock.advance(60)
    assert written(alone)[1:] == [("mark", {})], "what was written is not written again"


def test_tries_that_could_not_be_written_come_with_the_next() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", LOST)
    alone.clock.advance(10.01)
    alone.take("m1")
    alone.broker.say("m1", LOST)
    alone.store.writes[0].errback(ZeroDivisionError())
    alone.clock.advance(10.01)
    assert written(alone)[1:] == [("note_tries", {"m1": (2, "lost")})]
    alone.store.writes[1].callback(None)
    alone.take("m1")
    alone.broker.say("m1")
    alone.clock.advance(1)
    alone.store.writes[2].errback(ZeroDivisionError())
    alone.take("m1")
    alone.broker.say("m1")
    alone.clock.advance(1)
    assert written(alone)[2:] == [("mark", {}), ("mark", {"m1": (2, "confirmed")})]


def test_a_parked_message_has_its_own_tries_and_none_of_its_copy() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", RETURNED)
    alone.clock.advance(15)
    assert written(alone) == [], "the copy is under way"
    alone.broker.say("m1", NACKED)
    alone.clock.advance(1.01)
    alone.broker.say("m1", RETURNED)
    alone.broker.say("m1")
    alone.clock.advance(60)
    assert written(alone) == [("mark", {"m1": (2, "returned")})]
    how = alone.store.units[0].keywords["tries"]["m1"]
    assert how == DeliveryTries(2, 1_795_000_016_010, "returned", "312 NO_ROUTE")


def test_draining_writes_the_tries_and_leaves_no_timer() -> None:
    alone = _Alone()
    alone.take("m1")
    alone.broker.say("m1", LOST)
    done: list[object] = []
    alone.outbox.drain().addCallback(done.append)
    assert written(alone) == [("note_tries", {"m1": (1, "lost")})] and done == []
    alone.store.writes[0].callback(None)
    assert done == [None] and alone.clock.getDelayedCalls() == []
