"""Messages that the broker refuses at present: nothing is parked, each sender's order is kept, and no other sender
waits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.erp import held_messages
from gateway.erp.amqp_types import PublishResult, PublishStatus
from gateway.kernel.commit.rows import OutboxRow
from tests.gateway.erp.test_outbox_alone import _Alone, row

ONE_SENDER = PublishResult(PublishStatus.BARRED, 403, "ACCESS_REFUSED")
EXCHANGE = PublishResult(PublishStatus.BARRED, 403, "ACCESS_REFUSED", True)


def of(sender: str, *numbers: int) -> list[OutboxRow]:
    return [replace(row(f"{number:03}-{sender}"), headers={"sender": sender}) for number in numbers]


def held(alone: _Alone) -> float | None:
    return alone.outbox._meters.registry.get_sample_value("bankgw_messages_held")


def test_a_barred_message_is_not_parked_and_keeps_its_senders_order() -> None:
    alone = _Alone()
    alone.outbox.publish_rows([*of("a", 1, 2), *of("b", 3)])
    for id_ in ("001-a", "002-a"):
        alone.broker.say(id_, ONE_SENDER)
    alone.broker.say("003-b")
    alone.outbox.publish_rows([*of("a", 4), *of("b", 5)])
    assert alone.sent == ["001-a", "002-a", "003-b", "005-b"], "no copy is parked; another sender goes on"
    assert held(alone) == 3.0 and alone.outbox.depth == 4
    alone.clock.advance(1.01)
    assert alone.sent[4:] == ["001-a"], "only the first one is tried"
    alone.broker.say("001-a", ONE_SENDER)
    alone.clock.advance(1.99)
    assert alone.sent[5:] == []
    alone.clock.advance(0.02)
    alone.outbox.publish_rows(of("a", 6))
    alone.broker.say("001-a")
    assert alone.sent[5:] == ["001-a", "002-a", "004-a", "006-a"]
    assert held(alone) == 0.0


def test_the_pause_between_tries_is_at_most_five_seconds() -> None:
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1))
    for pause_s in (1, 2, 4, 5, 5):
        alone.broker.say("001-a", ONE_SENDER)
        before = len(alone.sent)
        alone.clock.advance(pause_s - 0.01)
        assert len(alone.sent) == before
        alone.clock.advance(0.02)
        assert len(alone.sent) == before + 1


def test_a_refusal_of_the_exchange_holds_every_sender_of_it_and_no_other_exchange() -> None:
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1))
    alone.broker.say("001-a", EXCHANGE)
    alone.outbox.publish_rows([*of("b", 2), *(replace(one, exchange="") for one in of("b", 3))])
    assert alone.sent == ["001-a", "003-b"]
    alone.clock.advance(1.01)
    alone.broker.say("001-a", ONE_SENDER)
    assert alone.sent == ["001-a", "003-b", "001-a", "002-b"], "now it is one sender's only"
    alone.clock.advance(1.01)
    alone.broker.say("001-a")
    assert alone.outbox._held.count == 0 and not alone.outbox._held


def test_what_can_never_be_delivered_is_parked_and_the_others_follow() -> None:
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1, 2))
    for id_ in ("001-a", "002-a"):
        alone.broker.say(id_, ONE_SENDER)
    alone.clock.advance(1.01)
    alone.broker.say("001-a", PublishResult(PublishStatus.REFUSED, 406, "PRECONDITION_FAILED"))
    assert [message.routing_key for message in alone.broker.log[3:]] == ["bankgw.unrouted.news", "k"]
    assert alone.sent[3:] == ["001-a", "002-a"]


def test_a_try_that_is_lost_with_the_connection_comes_back_in_its_place() -> None:
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1, 2))
    for id_ in ("001-a", "002-a"):
        alone.broker.say(id_, ONE_SENDER)
    alone.clock.advance(1.01)
    alone.broker.up = False
    alone.broker.say("001-a", PublishResult(PublishStatus.LOST))
    alone.outbox.publish_rows(of("a", 3))
    alone.broker.up = True
    alone.outbox.up()
    alone.store.reads[0].callback((of("a", 1, 2, 3), False))
    alone.clock.advance(5.01)
    assert alone.sent[3:] == ["001-a"]
    alone.broker.say("001-a")
    assert alone.sent[3:] == ["001-a", "002-a", "003-a"]


def test_memory_is_bounded_and_what_the_journal_keeps_follows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_messages, "HELD_MOST", 2)
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1))
    alone.broker.say("001-a", ONE_SENDER)
    alone.outbox.publish_rows(of("a", 2, 3, 4))
    assert alone.outbox.depth == 2
    alone.clock.advance(1.01)
    alone.broker.say("001-a")
    assert alone.sent[2:] == ["002-a"] and len(alone.store.reads) == 1
    alone.outbox.publish_rows([*of("a", 5), *of("b", 6)])
    assert alone.sent[3:] == ["006-b"], "what comes later waits for those that the journal keeps"
    alone.store.reads[0].callback((of("a", 2, 3, 4), False))
    assert alone.sent[4:] == ["003-a", "004-a"] and len(alone.store.reads) == 2
    alone.store.reads[1].callback((of("a", 2, 3, 4, 5), False))
    assert alone.sent[6:] == ["005-a"] and len(alone.store.reads) == 2
    alone.outbox.publish_rows(of("a", 7))
    assert alone.sent[7:] == ["007-a"] and not alone.outbox._held


def test_what_was_lost_with_the_connection_goes_before_what_waits() -> None:
    alone = _Alone()
    alone.outbox.publish_rows(of("a", 1))
    alone.broker.up = False
    alone.outbox.publish_rows(of("a", 2))
    alone.broker.say("001-a", PublishResult(PublishStatus.LOST))
    alone.broker.up = True
    alone.outbox.up()
    alone.store.reads[0].callback((of("a", 1, 2), False))
    assert alone.sent == ["001-a", "001-a", "002-a"]
