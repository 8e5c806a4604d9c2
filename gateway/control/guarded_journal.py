"""The journal with a time limit, for the control API: a caller is told within seconds when it cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.clock import Clock
from gateway.control.server import Denied
from gateway.journal.commit.store import OnCommit, Store, Unit
from protocols.erp.news import instant

T = TypeVar("T")
AWAY = "journal_unreachable"
ANSWER_S = 20.0
"""As long as a call waits for the journal, if nobody knows that it is lost. The command line waits longer."""
LOOK_S = 0.5


def away(since_ms: int) -> dict[str, Any]:
    """What an answer from memory says of the journal."""
    return {"reachable": False, "since": instant(since_ms)}


class GuardedStore:
    """A Store whose Deferreds fail with Denied 503 when the journal is lost, or has not answered for ANSWER_S.

    `lost_ms` tells since when it is lost, None while it is not. A write that was begun may be committed all the same.
    """

    def __init__(self, store: Store, clock: Clock, lost_ms: Callable[[], int | None]) -> None:
        self._store = store
        self._clock = clock
        self._lost_ms = lost_ms

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """As Store.write. Nothing is begun while the journal is lost."""
        since_ms = self._lost_ms()
        if since_ms is not None:
            return fail(Denied(503, AWAY, f"journal unreachable since {instant(since_ms)}; nothing was changed"))
        return self._within(self._store.write(unit, sender=sender), (
            "whether this was done is not known: it is done once the journal answers, unless the daemon ends before. "
            "Look before you do it again"
        ))  # fmt: skip

    def read(self, fn: Callable[[Connection], T]) -> Deferred[T]:
        """As Store.read."""
        since_ms = self._lost_ms()
        if since_ms is not None:
            return fail(Denied(503, AWAY, f"journal unreachable since {instant(since_ms)}; this needs the database"))
        return self._within(self._store.read(fn), "this needs the database")

    def listen(self, on_commit: OnCommit) -> None:
        """As Store.listen."""
        self._store.listen(on_commit)

    def close(self) -> Deferred[None]:
        """As Store.close."""
        return self._store.close()

    def _within(self, asked: Deferred[T], else_: str) -> Deferred[T]:
        answer: Deferred[T] = Deferred()
        began_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        timer: IDelayedCall | None = None

        def look() -> None:
            nonlocal timer
            since_ms = self._lost_ms()
            if since_ms is not None:
                answer.errback(Denied(503, AWAY, f"journal unreachable since {instant(since_ms)}; {else_}"))
            elif self._clock.monotonic_s() - began_s >= ANSWER_S:
                answer.errback(Denied(503, AWAY, f"the journal has not answered since {instant(now_ms)}; {else_}"))
            else:
                timer = self._clock.later(LOOK_S, look)

        def ended(result: T | Failure) -> None:
            if answer.called:
                return  # whoever asked was told already
            if timer is not None and timer.active():
                timer.cancel()
            if isinstance(result, Failure):
                answer.errback(result)
            else:
                answer.callback(result)

        timer = self._clock.later(LOOK_S, look)
        asked.addBoth(ended)
        return answer
