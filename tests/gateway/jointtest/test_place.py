"""A trial waits for its processes as long as they make progress, and no longer than five minutes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from gateway.demo.processes import NotStarted
from gateway.jointtest import place
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock


class Starting:
    """A child that never becomes ready. It uses some CPU time in each second, or none."""

    name = "bank sample"

    def __init__(self, clock: HeapClock, *, works: bool, says: bool = False) -> None:
        self._clock, self._works, self._says = clock, works, says

    @property
    def cpu_s(self) -> float:
        return float(int(self._clock.seconds())) if self._works else 0.0

    def tail(self) -> str:
        return str(int(self._clock.seconds())) if self._says else ""

    def ended(self) -> None:
        return None


def given_up_after_s(**manner: bool) -> float:
    clock, ended = HeapClock(), list[Any]()
    child: Any = Starting(clock, **manner)
    waiting = Deferred.fromCoroutine(place._until(LifeClock(clock), child, lambda: False))
    waiting.addErrback(lambda failure: ended.append(failure.value))
    while not ended:
        clock.advance(1.0)
    assert isinstance(ended[0], NotStarted) and str(ended[0]).startswith("bank sample did not come up")
    return clock.seconds()


def test_a_child_that_is_idle_and_silent_is_given_up_after_a_minute() -> None:
    assert 60 <= given_up_after_s(works=False) <= 63


def test_cpu_time_and_output_are_progress_but_the_wait_is_not_endless() -> None:
    assert 300 <= given_up_after_s(works=True) <= 303
    assert 300 <= given_up_after_s(works=False, says=True) <= 303
