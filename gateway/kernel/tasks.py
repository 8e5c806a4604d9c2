"""Coroutines that run beside others, owned by the part that stops them. Every coroutine has an owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.kernel.clock import Clock


class Tasks:
    """A set of running coroutines. One that fails is reported to `on_failure`; cancelled ones are not failures."""

    def __init__(self, on_failure: Callable[[Failure], None]) -> None:
        self._on_failure = on_failure
        # In the order of their start, so that they are cancelled in the same order in every run.
        self._running: dict[Deferred[object], None] = {}

    def __len__(self) -> int:
        return len(self._running)

    def spawn(self, coroutine: Coroutine[Deferred[Any], Any, object]) -> None:
        """Start the coroutine now; it runs up to its first wait before this returns."""

        task: Deferred[object] = Deferred.fromCoroutine(coroutine)
        if task.called:
            task.addErrback(self._failed)
            return
        self._running[task] = None

        def over(result: object) -> None:
            self._running.pop(task, None)
            if isinstance(result, Failure):
                self._failed(result)

        task.addBoth(over)

    def stop(self) -> None:
        """Cancel the coroutines that still run."""
        for task in tuple(self._running):
            task.cancel()

    def _failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self._on_failure(failure)


async def attempt(
    act: Callable[[], Awaitable[None]], on_defect: Callable[[str], None], *, ends: type[Exception]
) -> None:
    """Run one round of a periodic job, such as looking for due work.

    One unexpected row must not end the job for all others until a restart. So any error is reported to `on_defect`,
    with its traceback, and the next round follows. Cancellation and `ends` are raised: they stop the job.
    """
    try:
        await act()
    except (CancelledError, ends):
        raise
    except Exception:
        on_defect(Failure().getTraceback(detail="brief"))


CLOCK_LOOK_S = 5.0
"""How often the wall clock is read, because timers run by another clock and somebody may set the wall clock."""


async def sleep_until(clock: Clock, at_ms: int) -> None:
    """Return when the wall clock shows `at_ms`, or soon after somebody has set it past that."""
    while (left_ms := at_ms - clock.now_ms()) > 0:
        await sleep(clock, min(left_ms / 1000, CLOCK_LOOK_S))


def sleep(clock: Clock, delay_s: float) -> Deferred[None]:
    """Fires after `delay_s` seconds; cancelling it cancels the timer."""
    timer: IDelayedCall

    def stop(_deferred: Deferred[None]) -> None:
        if timer.active():
            timer.cancel()

    deferred: Deferred[None] = Deferred(stop)
    timer = clock.later(delay_s, deferred.callback, None)
    return deferred
