"""Questions that wait for a session, first in, first out. A sort of question that must wait does not delay the others.

Background questions (the watching of accounts) are those whose answers nobody waits for. They begin when no payment and
no other question can begin, and take a small share of the bank's pace. If payments never pause, one background question
begins each `BACKGROUND_TURN_S`, because entries show the results of payments in doubt and must not stay unread for
hours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.bank.login import Login
from gateway.kernel.asking import Unavailable
from gateway.kernel.clock import Clock
from protocols.bank import Context, Conversation

R = TypeVar("R")

BACKGROUND_TURN_S = 30.0


@dataclass(frozen=True, slots=True)
class Background(Generic[R]):
    """A function that begins a conversation in the background, whose answer nobody waits for."""

    conversation: Callable[[Context], Conversation[R]]

    def __call__(self, context: Context) -> Conversation[R]:
        """Begin the conversation."""
        return self.conversation(context)


@dataclass(slots=True)
class QueuedQuestion:
    """A question that has waited since `since_s`. `operation` is its sort; `answer` fires with the bank's answer."""

    operation: str
    conversation: Callable[[Context], Conversation[Any]]
    answer: Deferred[Any]
    background: bool
    since_s: float

    def settle(self, result: Any) -> None:
        """Fire the answer, unless the asker has stopped waiting."""
        settle(self.answer, result)


class QuestionQueue:
    """The questions that wait for a free session, first in, first out. A delayed sort does not delay the others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: deque[QueuedQuestion] = deque()
        self._background_s = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float) -> Deferred[R]:
        """Queue a question for at most `max_wait_s` seconds. Fires with its answer, or fails with Unavailable."""
        answer: Deferred[R] = Deferred()
        background, since_s = isinstance(conversation, Background), self._clock.monotonic_s()
        self._waiting.append(QueuedQuestion(operation, conversation, answer, background, since_s))
        patience = self._clock.later(max_wait_s, settle, answer, unavailable("bank_silent"))
        return answer.addBoth(_no_longer, patience)

    def take_before_payments(self, login: Login) -> QueuedQuestion | None:
        """Remove and return the first question that goes before payments and may be asked now; None if there is none.

        A background question is returned only if none has begun for `BACKGROUND_TURN_S`.
        """
        if not self._waiting:
            return None
        found = self._first(login, background=False)
        if found is None and self._is_turn:
            return self.take_background(login)
        return found

    def take_background(self, login: Login) -> QueuedQuestion | None:
        """Remove and return the first background question that may be asked now; None if there is none."""
        found = self._first(login, background=True)
        if found is not None:
            self._background_s = self._clock.monotonic_s()
        return found

    @property
    def has_background(self) -> bool:
        """True if a background question waits."""
        return any(one.background and not one.answer.called for one in self._waiting)

    @property
    def _is_turn(self) -> bool:
        """True if the first background question has waited for its turn and no other has begun since."""
        before_s = self._clock.monotonic_s() - BACKGROUND_TURN_S
        first = next((one for one in self._waiting if one.background), None)
        return first is not None and max(first.since_s, self._background_s) <= before_s

    def _first(self, login: Login, *, background: bool) -> QueuedQuestion | None:
        self._waiting = deque(one for one in self._waiting if not one.answer.called)
        found = next(
            (
                one
                for one in self._waiting
                if one.background is background and not login.wait_s(one.operation, background=background)
            ),
            None,
        )
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
    """The failure of a question that got no answer."""
    return Failure(Unavailable(reason, detail))


def settle(answer: Deferred[Any], result: Any) -> None:
    """Fire a question's answer, unless its asker has stopped waiting."""
    if not answer.called:
        answer.callback(result)


def _no_longer(result: R, patience: IDelayedCall) -> R:
    """Cancel a question's timer, because the asker has the answer or has stopped waiting; returns the result."""
    if patience.active():
        patience.cancel()
    return result
