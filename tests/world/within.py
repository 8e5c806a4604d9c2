"""A time limit for asynchronous tests: real seconds, measured by the running reactor."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import NoReturn, ParamSpec, TypeAlias, TypeVar

from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")
AsyncTest: TypeAlias = Callable[P, Coroutine["Deferred[object]", object, T]]


class TookTooLong(AssertionError):
    """The test was still waiting when its time was up; it has been cancelled."""


def within(limit_s: float) -> Callable[[AsyncTest[P, T]], Callable[P, Deferred[T]]]:
    """Cancel the decorated `async def` test after `limit_s` seconds and fail it with `TookTooLong`.

    Fails also when the test swallows the cancellation and returns a value: a late answer is no passed test.
    """

    def too_long(_result: object, _limit_s: float) -> NoReturn:
        raise TookTooLong(f"still waiting after {limit_s:g} s; cancelled")

    def decorate(test: AsyncTest[P, T]) -> Callable[P, Deferred[T]]:
        @functools.wraps(test)
        def limited(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
            from twisted.internet import reactor
            from twisted.internet.interfaces import IReactorTime

            running = Deferred.fromCoroutine(test(*args, **kwargs))
            return running.addTimeout(limit_s, IReactorTime(reactor), too_long)

        return limited

    return decorate
