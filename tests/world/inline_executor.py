"""An executor without threads: each piece of work runs in the reactor's thread, so that a simulation can repeat it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from gateway.kernel.clock import Clock

T = TypeVar("T")


class InlineExecutor:
    """An executor that runs each piece of work at the next turn of `clock`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Run `work` and `then` at the clock's next turn."""
        self._clock.later(0, lambda: then(_caught(work)))

    def stop(self) -> Deferred[None]:
        """Do nothing, because no work runs in another thread."""
        return succeed(None)


def _caught(work: Callable[[], T]) -> T | Failure:
    try:
        return work()
    except BaseException:
        return Failure()  # type: ignore[no-untyped-call, unused-ignore]
