"""Executors for the journal's blocking work: threads, or inline for simulations."""

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
    """Runs work in threads; with one worker, in the order in which it was given."""

    def run(self, work: Callable[[], T], then: Callable[[T | Failure], object]) -> None:
        """Run `work`, then call `then` in the reactor's thread with what it returned, or with its Failure."""

    def stop(self) -> Deferred[None]:
        """Fires when all work given before is done and all workers have ended."""


class ThreadExecutor:
    """`workers` named daemon threads. Each finished piece of work costs one `callFromThread`."""

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
        """Let the workers finish the queued work and end."""
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
    # Border of a thread: any error goes to the caller that gave the work.
    try:
        return work()
    except BaseException:
        return Failure()  # type: ignore[no-untyped-call, unused-ignore]
