"""Which messages the campaign's ERP accepts as answers, and which commands it repeats after its reply queue was
deleted.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from faults.erp_listener import ErpListener
from faults.incidents import IncidentLog
from gateway.demo.erp import BrokerAdmin, Parked, ReceivedNews, parked
from gateway.demo.orders import DemoCommand, ExpectedAnswer
from gateway.kernel.deliveries import Properties
from tests.faults.test_compare import World

ACCEPTED: dict[str, Any] = {"id": "AP-1", "payment": "P1", "seq": 1, "state": "accepted"}


def _heard(command: DemoCommand, where: ExpectedAnswer, name: str = "payment.accepted") -> ReceivedNews:
    return ReceivedNews(where, f"{command.message_id} {where}", command.message_id, name, ACCEPTED, "", 1.0)


class Erp:
    """An ErpListener that expects the answers to five orders; the last one is answered by an event."""

    def __init__(self) -> None:
        story = World().story
        self.commands = (*story.commands[:4], replace(story.commands[4], answer=ExpectedAnswer.EVENT))
        self.clerk = SimpleNamespace(unrouted=[], parked=[])
        self.listener = ErpListener(lambda: 0.0, IncidentLog(lambda: 0.0, lambda: 0, lambda _text: None))
        self.listener.listen_for(replace(story, commands=self.commands), cast(BrokerAdmin, self.clerk))
        self.sent = {command.message_id for command in self.commands}

    def owed(self) -> list[DemoCommand]:
        """The commands that are asked for again after the reply queue was deleted."""
        self.listener.reply_queue_deleted(self.sent)
        return self.listener.owed()


@pytest.fixture
def erp() -> Erp:
    """A listener after all commands were sent and none was answered."""
    return Erp()


def test_only_what_comes_where_it_is_wanted_is_an_answer(erp: Erp) -> None:
    first, *_, last = erp.commands
    erp.listener.on_news(_heard(first, ExpectedAnswer.EVENT))
    erp.listener.on_news(_heard(last, ExpectedAnswer.EVENT, "payment.settled"))
    assert not erp.listener.answered(first)
    assert not erp.listener.answered(last)
    erp.listener.on_news(_heard(first, ExpectedAnswer.REPLY))
    erp.listener.on_news(_heard(last, ExpectedAnswer.EVENT))
    assert erp.listener.answered(first)
    assert erp.listener.answered(last)


def test_replies_that_may_have_gone_with_their_queue_are_asked_for_again_once(erp: Erp) -> None:
    first, second, third, fourth, _last = erp.commands
    erp.listener.on_news(_heard(first, ExpectedAnswer.REPLY))
    erp.clerk.unrouted.append(_heard(second, ExpectedAnswer.UNROUTED))
    erp.listener.reply_queue_deleted(erp.sent)
    erp.listener.on_news(_heard(third, ExpectedAnswer.REPLY))
    assert erp.listener.owed() == [fourth]
    assert erp.listener.owed() == []


def test_what_was_sent_after_the_queue_was_gone_is_not_asked_for_again(erp: Erp) -> None:
    first, *others = erp.commands
    erp.sent -= {command.message_id for command in others}
    assert erp.owed() == [first]
    assert set(erp.listener.unanswered()) == {command.message_id for command in erp.commands}


def test_a_command_that_the_broker_parked_is_sent_again_once_unless_it_was_answered(erp: Erp) -> None:
    first, second, third, *_ = erp.commands
    dead = {"x-first-death-reason": "delivery_limit", "x-first-death-queue": "bankgw.commands.money"}
    erp.clerk.parked = [
        parked(Properties(message_id=first.message_id, headers=dead)),
        parked(Properties(message_id=second.message_id, headers=dead)),
        parked(Properties(message_id="copy", headers={"refused": "too_large", "original_id": third.message_id})),
    ]
    erp.listener.on_news(_heard(second, ExpectedAnswer.REPLY))
    assert erp.clerk.parked[2] == Parked("too_large", third.message_id)
    assert erp.listener.parked() == [first]
    assert erp.listener.parked() == []


def test_a_withdrawal_that_was_published_again_and_then_parked_is_sent_once_more(erp: Erp) -> None:
    again = replace(erp.commands[0], message_id="withdrawal-again1")
    erp.listener.know(again)
    dead = {"x-first-death-reason": "delivery_limit", "x-first-death-queue": "bankgw.commands.money"}
    erp.clerk.parked = [parked(Properties(message_id=again.message_id, headers=dead))]
    assert erp.listener.parked() == [again]
