"""The outbox publishes each message until it is confirmed: under every verdict of the broker, reconnects, floods, and
an orderly stop."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.erp import outbox as outbox_module
from gateway.erp.amqp_types import NACKED, Amqp, OutgoingMessage, PublishResult, PublishStatus
from gateway.kernel.clock import Clock
from gateway.kernel.commit import outbox as outbox_rows
from gateway.parts import Parts
from gateway.simbank.faults import BankFault as BankFault
from gateway.simbank.faults import ExchangeKind, FaultScript, FaultSource, ScriptedFault
from gateway.version import VERSION
from tests.world.lines import events, lines
from tests.world.world import REPLIES, Life, World

TRACE = f"00-{1:032x}-{2:016x}-01"
Decide = Callable[[OutgoingMessage], PublishResult | None]


class Judged:
    """A broker client whose verdicts a test decides; None leaves the message to the broker."""

    def __init__(self, amqp: Amqp, clock: Clock, decide: Decide) -> None:
        self._amqp = amqp
        self._clock = clock
        self.decide = decide
        self.published: list[OutgoingMessage] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._amqp, name)

    def publish(self, message: OutgoingMessage) -> Deferred[PublishResult]:
        self.published.append(message)
        verdict = self.decide(message)
        if verdict is None:
            return self._amqp.publish(message)
        fires: Deferred[PublishResult] = Deferred()
        self._clock.later(0.001, fires.callback, verdict)
        return fires


def world_judging(tmp_path: Path, decide: Decide, plan: FaultSource | None = None) -> tuple[World, list[Judged]]:
    made: list[Judged] = []

    def wrap(life: Life, parts: Parts) -> Parts:
        made.append(Judged(parts.amqp, parts.clock, decide))
        return replace(parts, amqp=made[-1])

    return World(tmp_path, wrap=wrap, plan=plan), made


def states(tmp_path: Path) -> Counter[str]:
    with sqlite3.connect(tmp_path / "journal.db") as db:
        return Counter(dict(db.execute("select state, count(*) from outbox group by state")))


def is_reply(message: OutgoingMessage) -> bool:
    return message.routing_key == REPLIES


def test_confirmed_messages_are_marked_sent(tmp_path: Path) -> None:
    world, _ = world_judging(tmp_path, lambda _message: None)
    life = world.start()
    world.submit("AP-1")
    world.run(5)
    assert states(tmp_path) == {"sent": 3}
    assert life.gateway.outbox.depth == 0
    assert life.sample("bankgw_messages_published_total", verdict="confirmed") == 3


def test_a_message_says_who_sent_it_and_what_it_is(tmp_path: Path) -> None:
    world, made = world_judging(tmp_path, lambda _message: None)
    world.start()
    world.command("payment.submit", world.order("AP-1"), correlation_id="c-1", headers={"traceparent": TRACE})
    world.run(5)
    for message in made[0].published:
        said = message.properties
        assert said.user_id == "bankgw" and said.app_id == f"bankgw/{VERSION}"
        assert said.correlation_id == "c-1" and said.headers["traceparent"] == TRACE
        assert said.headers["cloudEvents_id"] == said.message_id
        assert said.type == said.headers["cloudEvents_type"] == json.loads(message.body)["event"]
        assert said.content_type == "application/json" and said.timestamp is not None
        assert message.mandatory and message.persistent
    keys = {message.routing_key for message in made[0].published}
    assert keys == {REPLIES, "payment.accepted.sample.kingdee", "payment.settled.sample.kingdee"}


def test_what_was_lost_with_the_connection_is_published_again_under_the_same_id(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    before = dict(world.points.names)
    while world.points.names["erp.publish.message.after"] == before.get("erp.publish.message.after", 0):
        world.run(0.0005)
    life.amqp.drop(away_s=3.0)
    assert states(tmp_path)["waiting"]
    world.run(1)
    assert life.sample("bankgw_messages_published_total", verdict="lost") >= 1
    world.run(10)
    assert not states(tmp_path)["waiting"]
    assert world.told("AP-1") == ["payment.accepted", "payment.settled"]
    ids = {said.message_id for said, _body in world.replies}
    assert len(ids) == 1


def test_a_message_the_broker_did_store_before_the_loss_comes_again_with_its_id(tmp_path: Path) -> None:
    world = World(tmp_path)
    life = world.start()
    world.run(1)
    confirm = life.amqp._confirm
    life.amqp._confirm = lambda *_args: None  # type: ignore[method-assign]
    world.submit("AP-1")
    world.run(1)
    life.amqp._confirm = confirm  # type: ignore[method-assign]
    life.amqp.drop()
    world.run(5)
    ids = [said.message_id for said, _body in world.replies]
    assert len(ids) == 2 and len(set(ids)) == 1
    assert not states(tmp_path)["waiting"]


def test_a_nacked_message_is_tried_again_after_a_pause(tmp_path: Path) -> None:
    left = [3]

    def decide(message: OutgoingMessage) -> PublishResult | None:
        if is_reply(message) and left[0]:
            left[0] -= 1
            return NACKED
        return None

    world, made = world_judging(tmp_path, decide)
    world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(2.5)
    assert not world.replies and world.told("AP-1"), "the others are not held up"
    world.run(5)
    assert len(world.replies) == 1
    published = [message.properties.message_id for message in made[0].published if is_reply(message)]
    assert len(published) == 4 and len(set(published)) == 1
    assert states(tmp_path) == {"sent": 3}


def test_a_returned_message_is_copied_to_the_unrouted_queue_and_parked(tmp_path: Path) -> None:
    world, _ = world_judging(tmp_path, lambda _message: None)
    world.start()
    world.broker.delete(REPLIES)
    world.submit("AP-1")
    world.run(5)
    [copy] = world.broker.drain("bankgw.unrouted.news")
    assert json.loads(copy.body)["event"] == "payment.accepted"
    assert copy.properties.headers["unrouted_key"] == REPLIES and copy.properties.headers["unrouted_exchange"] == ""
    assert states(tmp_path) == {"sent": 2, "parked": 1}


def test_a_refused_message_is_copied_too_because_its_queue_may_be_the_cause(tmp_path: Path) -> None:
    refused = PublishResult(PublishStatus.REFUSED, 403, "ACCESS_REFUSED")
    world, _ = world_judging(tmp_path, lambda message: refused if is_reply(message) else None)
    world.start()
    world.submit("AP-1")
    world.run(5)
    assert len(world.broker.drain("bankgw.unrouted.news")) == 1
    assert states(tmp_path) == {"sent": 2, "parked": 1}


def test_a_message_whose_copy_is_refused_too_is_left_to_a_person_and_not_tried_for_ever(tmp_path: Path) -> None:
    refused = PublishResult(PublishStatus.REFUSED, 406, "PRECONDITION_FAILED")

    def decide(message: OutgoingMessage) -> PublishResult | None:
        return refused if is_reply(message) or message.routing_key == "bankgw.unrouted.news" else None

    with lines() as heard:
        world, made = world_judging(tmp_path, decide)
        world.start()
        world.submit("AP-1")
        world.run(60)
    assert len(made[0].published) == 4, "the reply, its copy and two events; nothing comes again"
    assert states(tmp_path) == {"sent": 2, "parked": 1}
    [line] = events(heard, "news.refused")
    assert line["log_level"] == "error" and "406" in line["broker"]


def test_news_waits_while_even_the_unrouted_queue_is_gone(tmp_path: Path) -> None:
    world, made = world_judging(tmp_path, lambda _message: None)
    world.start()
    world.broker.delete(REPLIES)
    world.broker.delete("bankgw.unrouted.news")
    world.submit("AP-1")
    world.run(10)
    assert states(tmp_path) == {"sent": 2, "waiting": 1}
    assert len(made[0].published) < 30, "once a second, not in a loop"
    world.broker.declare(REPLIES)
    world.run(3)
    assert states(tmp_path) == {"sent": 3}


def test_a_parked_copy_lost_with_the_connection_is_made_again(tmp_path: Path) -> None:
    lost = [True]

    def decide(message: OutgoingMessage) -> PublishResult | None:
        if message.routing_key == "bankgw.unrouted.news" and lost:
            lost.clear()
            return PublishResult(PublishStatus.LOST)
        return None

    world, _ = world_judging(tmp_path, decide)
    life = world.start()
    world.broker.delete(REPLIES)
    world.submit("AP-1")
    world.run(2)
    assert states(tmp_path)["waiting"] == 1
    life.amqp.drop()
    world.run(5)
    assert states(tmp_path) == {"sent": 2, "parked": 1}
    assert len(world.broker.drain("bankgw.unrouted.news")) == 1


def test_a_blocked_broker_pauses_intake_and_sends_while_enquiries_go_on(tmp_path: Path) -> None:
    doubt = [
        ScriptedFault(BankFault.DROP_AFTER),
        *(ScriptedFault(BankFault.DROP_BEFORE, touch=ExchangeKind.ENQUIRY) for _ in range(2)),
    ]
    world, made = world_judging(tmp_path, lambda _message: None, FaultScript(doubt))
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.submit("WAITS", not_before=world.moment(5))
    world.run(1)
    assert world.last("AP-1")["state"] == "in_doubt"
    asked = world.bank.simbank.tally.exchanges[ExchangeKind.ENQUIRY]
    published = len(made[0].published)
    life.amqp.block(True)
    world.submit("AP-2")
    world.run(60)
    assert world.bank.simbank.tally.exchanges[ExchangeKind.ENQUIRY] > asked, "doubt is still asked about"
    assert len(world.bank.ledger.executions) == 1, "nothing new is sent, not even what was accepted"
    assert len(made[0].published) == published, "and nothing is published"
    assert world.broker.queues["bankgw.commands.money"], "nothing is taken in"
    assert life.sample("bankgw_broker_blocked") == 1
    life.amqp.block(False)
    world.run(10)
    assert {world.last(id_)["state"] for id_ in ("AP-1", "AP-2", "WAITS")} == {"settled"}
    assert life.sample("bankgw_broker_blocked") == 0


def test_more_rows_than_fit_in_memory_all_leave_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "IN_MEMORY", 40)
    monkeypatch.setattr(outbox_module, "WINDOW", 10)
    world, made = world_judging(tmp_path, lambda _message: None)
    life = world.start()
    world.run(1)
    life.amqp.drop(away_s=30.0)
    for n in range(150):
        world.broker.queues["bankgw.commands.money"].clear()
        world.submit(f"AP-{n}")
        life.amqp.up, life.amqp.paused = True, False
        life.amqp._deliver()
        life.amqp.up, life.amqp.paused = False, True
    world.run(10)
    assert life.gateway.outbox.depth <= 40, "memory is bounded while the broker is away"
    assert states(tmp_path)["waiting"] > 300
    world.run(60)
    assert not states(tmp_path)["waiting"]
    published = Counter(message.properties.message_id for message in made[0].published)
    assert max(published.values()) == 1
    assert all(world.told(f"AP-{n}")[-1] == "payment.settled" for n in range(150))


def test_leaving_in_order_publishes_and_marks_everything(tmp_path: Path) -> None:
    world, _ = world_judging(tmp_path, lambda _message: None)
    world.start()
    world.run(1)
    for n in range(30):
        world.submit(f"AP-{n}")
    world.run(0.02)
    world.leave()
    counted = states(tmp_path)
    assert not counted["waiting"] and counted["sent"] >= 30
    world.start()
    before = len(world.replies)
    world.run(10)
    assert len({said.message_id for said, _body in world.replies}) == 30
    assert len(world.replies[before:]) == len({said.message_id for said, _ in world.replies[before:]})


def test_leaving_with_the_broker_away_does_not_wait_for_it(tmp_path: Path) -> None:
    world, _ = world_judging(tmp_path, lambda _message: None)
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    while not states(tmp_path)["waiting"]:
        world.run(0.0005)
    life.amqp.drop(away_s=10_000.0)
    world.run(1)
    world.leave()
    assert states(tmp_path)["waiting"]
    world.start()
    world.run(5)
    assert not states(tmp_path)["waiting"] and world.told("AP-1")[-1] == "payment.settled"


def test_a_mark_that_fails_only_repeats_the_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = outbox_rows.mark

    def breaks(*_args: object) -> int:
        raise ZeroDivisionError("planted")

    world, _ = world_judging(tmp_path, lambda _message: None)
    life = world.start()
    world.run(1)
    monkeypatch.setattr(outbox_rows, "mark", breaks)
    world.submit("AP-1")
    world.run(5)
    assert states(tmp_path)["waiting"] == 3
    monkeypatch.setattr(outbox_rows, "mark", mark)
    life.amqp.drop()
    world.run(5)
    assert states(tmp_path) == {"sent": 3}
    assert len({said.message_id for said, _body in world.replies}) == 1


def test_a_scan_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = outbox_rows.page
    world, _ = world_judging(tmp_path, lambda _message: None)
    life = world.start()
    world.run(1)
    life.amqp.drop(away_s=2.0)
    failures = [2]

    def breaks(*args: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise ZeroDivisionError("planted")
        return page(*args)

    monkeypatch.setattr(outbox_rows, "page", breaks)
    with lines() as heard:
        world.run(10)
        world.submit("AP-1")
        world.run(5)
    assert failures == [0] and len(events(heard, "outbox.scan_failed")) == 2
    assert world.told("AP-1")[-1] == "payment.settled"
