"""The journal with a time limit, for the control API: a caller is told within seconds when it cannot be reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.call import Denied
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import OnCommit, Store, Unit
from gateway.kernel.sql.sealed import ROW_ALTERED, SealBroken
from protocols.erp.news import instant

T = TypeVar("T")
AWAY = "journal_unreachable"
ANSWER_S = 20.0
"""As long as a call waits for the journal, if nobody knows that it is lost. The command line waits longer."""
LOOK_S = 0.5


def away(since_ms: int) -> dict[str, Any]:
    """The `journal` part of an answer that was made from memory."""
    return {"reachable": False, "since": instant(since_ms)}


def journal_condition(lost_ms: int | None) -> dict[str, Any]:
    """The `journal` part of an answer."""
    return {"reachable": True, "since": None} if lost_ms is None else away(lost_ms)


async def unless_away(store: Store, fn: Callable[[Connection], T]) -> T | None:
    """The journal's answer; None when the journal cannot be reached."""
    try:
        return await store.read(fn)
    except Denied as error:
        if error.code != AWAY:
            raise
        return None


class GuardedStore:
    """A Store that fails with Denied 503 when the journal is lost or has not answered for ANSWER_S.

    It fails with Denied 409 when SQL altered a row that is asked about.

    `lost_ms` is the time since when the journal is lost, None while it is not. A write that was begun may still be
    committed.
    """

    def __init__(self, store: Store, clock: Clock, lost_ms: Callable[[], int | None]) -> None:
        self._store = store
        self._clock = clock
        self._lost_ms = lost_ms

    def write(self, unit: Unit[T], *, sender: str | None = None) -> Deferred[T]:
        """As Store.write. No unit begins while the journal is lost."""
        since_ms = self._lost_ms()
        if since_ms is not None:
            return fail(Denied(503, AWAY, f"journal unreachable since {instant(since_ms)}; nothing was changed"))
        return self._within(
            self._store.write(unit, sender=sender),
            (
                "whether this was done is not known: it is done once the journal answers, unless the daemon ends "
                "before. "
                "Look before you do it again"
            ),
        )

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

        def check_deadline() -> None:
            nonlocal timer
            since_ms = self._lost_ms()
            if since_ms is not None:
                answer.errback(Denied(503, AWAY, f"journal unreachable since {instant(since_ms)}; {else_}"))
            elif self._clock.monotonic_s() - began_s >= ANSWER_S:
                answer.errback(Denied(503, AWAY, f"the journal has not answered since {instant(now_ms)}; {else_}"))
            else:
                timer = self._clock.later(LOOK_S, check_deadline)

        def ended(result: T | Failure) -> None:
            if answer.called:
                return  # the caller has got the refusal already
            if timer is not None and timer.active():
                timer.cancel()
            if isinstance(result, Failure):
                broken = result.value
                answer.errback(Denied(409, ROW_ALTERED, str(broken)) if isinstance(broken, SealBroken) else result)
            else:
                answer.callback(result)

        timer = self._clock.later(LOOK_S, check_deadline)
        asked.addBoth(ended)
        return answer
