"""How a part that holds a question reaches the lane that can put it, without knowing what a lane is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from protocols.bank import Context, Conversation

R = TypeVar("R")


class Unavailable(Exception):  # noqa: N818 - an outcome for whoever asked
    """A question could not be answered: `reason` is a slug. It may be asked again."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class Asker(Protocol):
    """Puts a question to the bank behind a lane."""

    def __call__(
        self, lane: str, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float
    ) -> Deferred[R]:
        """Fires with the bank's answer, or fails with Unavailable or kit.errors.ProtocolError."""
