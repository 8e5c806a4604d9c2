"""Where the journal's blocking work runs: threads of our own, or nowhere but here, in a simulation."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


class Executor(Protocol):
    """Runs pieces of work. With one worker they run in the order they were given."""

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Run `work`, then call `then` in the reactor's thread with what it returned, or with its Failure."""

    def stop(self) -> Deferred[None]:
        """Fires when everything given before has run and no worker is left."""


class ThreadExecutor:
    """`workers` named daemon threads; each end of work costs the reactor one `callFromThread`."""

    def __init__(self, reactor: IReactorFromThreads, name: str, workers: int = 1) -> None:
        self._reactor = reactor
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._left = workers
        self._stopped: Deferred[None] = Deferred()
        self._stopping = False
        for number in range(workers):
            Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Queue `work`."""
        assert not self._stopping, "the executor was stopped"
        call = self._reactor.callFromThread

        def piece() -> None:
            call(then, _caught(work))

        self._queue.put(piece)

    def stop(self) -> Deferred[None]:
        """Let the workers finish what is queued and end."""
        if not self._stopping:
            self._stopping = True
            for _ in range(self._left):
                self._queue.put(None)
        return self._stopped

    def _work(self) -> None:
        while (piece := self._queue.get()) is not None:
            piece()
        self._reactor.callFromThread(self._ended)

    def _ended(self) -> None:
        self._left -= 1
        if self._left == 0:
            self._stopped.callback(None)


def _caught(work: Callable[[], T]) -> T | Failure:
    # Border of a thread: whatever is raised here belongs to whoever asked for the work.
    try:
        return work()
    except BaseException:
        return Failure()  # type: ignore[no-untyped-call, unused-ignore]
