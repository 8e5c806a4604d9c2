"""The heap clock does what Twisted's own test clock does, in order, and is fast with many timers."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock, LoopingCall, deferLater
from zope.interface.verify import verifyObject

from tests.world.clock import HeapClock


def test_it_is_what_twisted_takes_for_a_clock() -> None:
    clock = HeapClock()
    assert verifyObject(IReactorTime, clock)
    assert verifyObject(IDelayedCall, clock.callLater(1, print))


def test_nothing_runs_before_its_time() -> None:
    clock = HeapClock(start_s=100.0)
    ran: list[object] = []
    call = clock.callLater(2, ran.append, "a")
    assert call.getTime() == 102.0
    clock.advance(1.5)
    assert (ran, clock.seconds(), call.active()) == ([], 101.5, True)
    clock.advance(0.5)
    assert (ran, clock.seconds(), call.active()) == (["a"], 102.0, False)
    clock.advance(10)
    assert ran == ["a"]


def test_same_moment_runs_in_order_of_scheduling() -> None:
    clock = HeapClock()
    ran: list[object] = []
    for name in range(50):
        clock.callLater(3, ran.append, name)
    clock.callLater(1, ran.append, "first")
    clock.advance(3)
    assert ran == ["first", *range(50)]


def test_each_timer_sees_the_moment_it_was_due_at() -> None:
    clock = HeapClock()
    seen: list[float] = []

    def tick() -> None:
        seen.append(clock.seconds())
        clock.callLater(1, tick)

    clock.callLater(1, tick)
    clock.advance(4.5)
    assert seen == [1, 2, 3, 4]
    assert clock.seconds() == 4.5


def test_a_timer_scheduled_for_now_by_a_timer_runs_in_the_same_advance() -> None:
    clock = HeapClock()
    ran: list[object] = []
    clock.callLater(1, lambda: clock.callLater(0, ran.append, "inner"))
    clock.callLater(1, ran.append, "outer")
    clock.advance(1)
    assert ran == ["outer", "inner"]


def test_cancelled_timers_do_not_run_and_cannot_be_cancelled_twice() -> None:
    clock = HeapClock()
    ran: list[object] = []
    call = clock.callLater(1, ran.append, "a")
    call.cancel()
    with pytest.raises(AlreadyCancelled):
        call.cancel()
    assert clock.getDelayedCalls() == []
    other = clock.callLater(1, ran.append, "b")
    clock.advance(1)
    assert ran == ["b"]
    with pytest.raises(AlreadyCalled):
        other.cancel()


def test_reset_and_delay_move_a_timer_both_ways() -> None:
    clock = HeapClock()
    ran: list[object] = []
    later, sooner, delayed = (clock.callLater(5, ran.append, name) for name in ("later", "sooner", "delayed"))
    later.reset(9)
    sooner.reset(1)
    delayed.delay(1)
    delayed.delay(-3)
    assert [call.getTime() for call in (later, sooner, delayed)] == [9, 1, 3]
    clock.advance(1)
    assert ran == ["sooner"]
    clock.advance(2)
    assert ran == ["sooner", "delayed"]
    clock.advance(5.9)
    assert ran == ["sooner", "delayed"]
    clock.advance(0.1)
    assert ran == ["sooner", "delayed", "later"]
    clock.advance(100)
    assert len(ran) == 3


def test_an_exception_comes_out_and_the_rest_goes_on_later() -> None:
    clock = HeapClock()
    ran: list[object] = []
    clock.callLater(1, lambda: 1 // 0)
    clock.callLater(2, ran.append, "after")
    with pytest.raises(ZeroDivisionError):
        clock.advance(5)
    assert (clock.seconds(), ran) == (1, [])
    clock.advance(1)
    assert ran == ["after"]


def test_time_does_not_go_back() -> None:
    clock = HeapClock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)
    with pytest.raises(AssertionError):
        clock.callLater(-1, print)


def test_pump_and_twisteds_own_users_of_a_clock() -> None:
    clock = HeapClock()
    ticks: list[float] = []
    loop = LoopingCall(lambda: ticks.append(clock.seconds()))
    loop.clock = clock
    stopped = loop.start(2, now=False)
    later = deferLater(clock, 3, lambda: "done")
    late: Deferred[None] = Deferred()
    late.addTimeout(2, clock)
    late.addErrback(lambda failure: failure.type)
    clock.pump([1, 1, 1, 1])
    assert ticks == [2, 4]
    assert later.result == "done"
    assert late.result is not CancelledError  # addTimeout translates it
    loop.stop()
    assert stopped.called
    assert clock.getDelayedCalls() == []


operations = st.lists(
    st.one_of(
        st.tuples(st.just("later"), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.integers(1, 3)),
    ),
    max_size=60,
)


def _play(clock: HeapClock | Clock, script: list[tuple[str, int]]) -> list[tuple[float, int]]:
    """Run the script second by second, so that timers see the same time on both clocks."""
    ran: list[tuple[float, int]] = []
    calls: list[IDelayedCall] = []

    def run(number: int) -> None:
        ran.append((clock.seconds(), number))

    for verb, number in [*script, ("advance", 10)]:
        if verb == "later":
            calls.append(clock.callLater(number, run, len(calls)))
        elif verb == "cancel":
            if number < len(calls) and calls[number].active():
                calls[number].cancel()
        else:
            clock.pump([1] * number)
        active = {id(call) for call in calls if call.active()}
        assert {id(call) for call in clock.getDelayedCalls()} == active
    return ran


@given(operations)
def test_same_as_twisteds_clock(script: list[tuple[str, int]]) -> None:
    assert _play(HeapClock(), script) == _play(Clock(), script)


moves_of_ten = st.tuples(st.integers(0, 9), st.sampled_from(["reset", "delay"]), st.integers(0, 9))


@given(st.lists(moves_of_ten, max_size=60))
def test_moved_timers_run_once_at_the_time_they_say(moves: list[tuple[int, str, int]]) -> None:
    clock = HeapClock()
    ran: list[object] = []

    def run(number: int) -> None:
        ran.append((clock.seconds(), number))

    calls = [clock.callLater(5, run, number) for number in range(10)]
    for number, verb, amount in moves:
        getattr(calls[number], verb)(amount)
    expected = sorted((call.getTime(), number) for number, call in enumerate(calls))
    clock.advance(1000)
    assert ran == expected


def test_twenty_thousand_timers_in_under_a_second() -> None:
    clock = HeapClock()
    ran: list[object] = []
    began_s = time.perf_counter()
    for number in range(20_000):
        clock.callLater((number * 7919) % 1000, ran.append, number)
    clock.advance(1000)
    assert time.perf_counter() - began_s < 1.0
    assert len(ran) == 20_000


def test_cancelled_timers_do_not_pile_up() -> None:
    clock = HeapClock()
    for _poll in range(10):
        clock.callLater(60, print)
    for _exchange in range(10_000):
        clock.callLater(3600, print).cancel()
    assert len(clock._heap) < 100
    assert len(clock.getDelayedCalls()) == 10
