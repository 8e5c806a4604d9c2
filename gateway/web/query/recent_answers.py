"""Answers that all callers with the same scope share for some seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from gateway.call import Call
from gateway.control.server import VerbAnswer

_Key = tuple[str, str]


class RecentAnswers:
    """Keeps a verb's answers for `age_s` seconds, by the caller's scope and query.

    The age counts from the time of the request. While an answer is made, other requests for the same answer wait for
    it. Unmasked answers are never kept.
    """

    def __init__(self, monotonic_s: Callable[[], float], age_s: float) -> None:
        self._monotonic_s = monotonic_s
        self._age_s = age_s
        self._kept: dict[_Key, tuple[float, Any]] = {}
        self._waiting: dict[_Key, list[Deferred[Any]]] = {}

    def of(self, act: VerbAnswer) -> VerbAnswer:
        """Wrap a verb so that its answers are kept. The verb may depend only on scope and query of the call."""

        async def answered(call: Call) -> Any:
            if call.clear:
                return await act(call)
            key = (call.scope.text(), str(sorted(call.query.items())))
            now_s = self._monotonic_s()
            for old in [one for one, (at_s, _said) in self._kept.items() if now_s - at_s >= self._age_s]:
                del self._kept[old]
            if key in self._kept:
                return self._kept[key][1]
            if key in self._waiting:
                shared: Deferred[Any] = Deferred()
                self._waiting[key].append(shared)
                return await shared
            return await self._made(act, call, key, now_s)

        return answered

    async def _made(self, act: VerbAnswer, call: Call, key: _Key, now_s: float) -> Any:
        async def asked() -> Any:
            return await act(call)

        def told(result: Any) -> Any:
            waiting = self._waiting.pop(key)
            if isinstance(result, Failure):
                for shared in waiting:
                    shared.errback(result)
            else:
                self._kept[key] = now_s, result
                for shared in waiting:
                    shared.callback(result)
            return result

        self._waiting[key] = []
        return await Deferred.fromCoroutine(asked()).addBoth(told)
