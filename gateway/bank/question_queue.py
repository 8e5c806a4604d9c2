"""Questions that wait for a session: first in, first out; a sort that must wait does not delay the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.asking import Unavailable
from gateway.bank.login import Login
from gateway.clock import Clock
from protocols.bank import Context, Conversation

R = TypeVar("R")


@dataclass(slots=True)
class QueuedQuestion:
    """One question. `operation` is its sort; `answer` fires with the bank's answer."""

    operation: str
    conversation: Callable[[Context], Conversation[Any]]
    answer: Deferred[Any]

    def settle(self, result: Any) -> None:
        """Fire the answer unless the asker has stopped waiting."""
        settle(self.answer, result)


class QuestionQueue:
    """See the module."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[QueuedQuestion] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(
        self, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float
    ) -> Deferred[R]:
        """Queue a question for at most `max_wait_s` seconds. Fires with its answer, or fails with Unavailable."""
        answer: Deferred[R] = Deferred()
        self._waiting.append(QueuedQuestion(operation, conversation, answer))
        patience = self._clock.later(max_wait_s, settle, answer, unavailable("bank_silent"))
        return answer.addBoth(_no_longer, patience)

    def take(self, login: Login) -> QueuedQuestion | None:
        """Remove and return the first question that may be asked now; None if there is none."""
        self._waiting = deque(one for one in self._waiting if not one.answer.called)
        found = next((one for one in self._waiting if not login.wait_s(one.operation)), None)
        if found is not None:
            self._waiting.remove(found)
        return found

    def sorts(self) -> set[str]:
        """The sorts of the waiting questions."""
        return {one.operation for one in self._waiting}

    def refuse(self, reason: str) -> None:
        """Fail every waiting question with Unavailable for this reason."""
        waiting, self._waiting = self._waiting, deque()
        for one in waiting:
            one.settle(unavailable(reason))


def unavailable(reason: str, detail: str = "") -> Failure:
    """The failure of a question that brought no answer."""
    return Failure(Unavailable(reason, detail))


def settle(answer: Deferred[Any], result: Any) -> None:
    """Fire a question's answer unless its asker has stopped waiting."""
    if not answer.called:
        answer.callback(result)


def _no_longer(result: R, patience: IDelayedCall) -> R:
    """Cancel the timer: the asker has its answer, or gave up."""
    if patience.active():
        patience.cancel()
    return result
