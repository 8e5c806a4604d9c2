"""The wait for a message lasts as long as the gateway makes progress, and no longer than ten times the patience."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from gateway.erp.broker_address import BrokerAddress
from gateway.jointtest.erp_line import ErpAccess, ErpLine
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock


def waiting(patience_s: float) -> tuple[HeapClock, ErpLine, list[bool]]:
    """A clock, a line that waits for something that never comes, and its result once there is one."""
    clock, ended = HeapClock(), list[bool]()
    line = ErpLine(
        clock, ErpAccess(BrokerAddress("127.0.0.1", 5672, "/", "u", "p"), "joint", "q"), LifeClock(clock), "r"
    )
    Deferred.fromCoroutine(line.until(lambda: False, patience_s)).addCallback(ended.append)
    return clock, line, ended


def passes(clock: HeapClock, seconds: float) -> None:
    for _ in range(round(seconds / 0.02)):
        clock.advance(0.02)


def test_a_silent_gateway_is_waited_for_no_longer_than_the_patience() -> None:
    clock, _line, ended = waiting(1.0)
    passes(clock, 0.96)
    assert ended == []
    passes(clock, 0.2)
    assert ended == [False]


def test_messages_make_the_wait_longer_but_not_endless() -> None:
    clock, line, ended = waiting(1.0)
    for _ in range(11):
        passes(clock, 0.8)
        assert ended == []
        line._heard_s = LifeClock(clock).monotonic_s()
    passes(clock, 1.4)
    assert ended == [False]
