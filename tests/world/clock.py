"""A clock that moves only when told, for simulations with very many timers.

`twisted.internet.task.Clock` keeps its timers in a list that it sorts for every call, so its cost grows with
the square of their number. This one keeps a heap, and moves through time in steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


@implementer(IReactorTime)
class HeapClock:
    """IReactorTime driven by `advance`. Timers due at the same moment run in the order of their scheduling.

    Unlike `task.Clock`, which first jumps to the end of an `advance`, each timer sees the moment it was due:
    a timer that schedules itself anew every second runs ten times in `advance(10)`, as it would in real life.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._heap: list[tuple[float, int, DelayedCall]] = []
        self._pending: dict[DelayedCall, int] = {}
        self._scheduled = 0

    def seconds(self) -> float:
        """The time now, in seconds since the start value of the clock."""
        return self._now_s

    @property
    def scheduled(self) -> int:
        """The number of timers ever scheduled."""
        return self._scheduled

    def callLater(  # noqa: N802 - the name is Twisted's
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> IDelayedCall:
        """Run `callable` after the clock was moved on by `delay` seconds."""
        assert delay >= 0, f"a timer cannot be due {-delay} s ago"
        due_s, order = self._now_s + delay, self._scheduled
        call = DelayedCall(due_s, callable, args, kwargs, self._cancelled, self._moved_forward, self.seconds)
        self._pending[call] = order
        self._scheduled = order + 1
        heapq.heappush(self._heap, (due_s, order, call))
        return call

    def getDelayedCalls(self) -> list[IDelayedCall]:  # noqa: N802 - the name is Twisted's
        """The timers still to run, in the order they were scheduled in."""
        return list(self._pending)

    def advance(self, amount_s: float) -> None:
        """Move on by `amount_s` seconds, running what falls due on the way, including timers set meanwhile.

        An exception from a timer comes out here; the clock then stands at the moment it happened at, and the
        next `advance` goes on with the other timers.
        """
        if amount_s < 0:
            raise ValueError(f"time does not go back: advance({amount_s})")
        end_s = self._now_s + amount_s
        while (call := self._pop_due(end_s)) is not None:
            call.called = 1
            call.func(*call.args, **call.kw)
        self._now_s = max(self._now_s, end_s)

    def pump(self, amounts_s: Iterable[float]) -> None:
        """`advance` by each amount in turn."""
        for amount_s in amounts_s:
            self.advance(amount_s)

    def _pop_due(self, end_s: float) -> DelayedCall | None:
        """Take out the next timer up to `end_s`, with the clock at its due time."""
        pending = self._pending
        while self._heap and self._heap[0][0] <= end_s:
            due_s, order, call = heapq.heappop(self._heap)
            if pending.get(call) != order:
                continue  # cancelled, or run already through another entry
            moment_s = call.getTime()
            if moment_s > due_s:
                self._push(call)  # it was postponed after it had been pushed
                continue
            del pending[call]
            if moment_s > self._now_s:
                self._now_s = moment_s
            return call
        return None

    def _push(self, call: DelayedCall) -> None:
        heapq.heappush(self._heap, (call.getTime(), self._pending[call], call))

    def _moved_forward(self, call: DelayedCall) -> None:
        # The entry with the later time stays in the heap and is skipped when its turn comes.
        self._push(call)

    def _cancelled(self, call: DelayedCall) -> None:
        del self._pending[call]
        # Cancelled timers (every time-out that was not needed) must not pile up until their time comes.
        if len(self._heap) > 2 * len(self._pending) + 64:
            self._heap = [entry for entry in self._heap if entry[2] in self._pending]
            heapq.heapify(self._heap)
