"""The port through which a part of the gateway puts a question to a bank, without importing the lane."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

from protocols.bank import Bank, Context, Conversation
from protocols.canon.query import DirectoryQuestion
from protocols.canon.statement import Branch

R = TypeVar("R")


class Unavailable(Exception):  # noqa: N818 - an outcome for whoever asked
    """A question could not be answered: `reason` is a slug. It may be asked again."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


class AskBank(Protocol):
    """The function that puts a question to the bank behind a lane, such as `Lane.ask`."""

    def __call__(
        self, lane: str, operation: str, conversation: Callable[[Context], Conversation[R]], max_wait_s: float
    ) -> Deferred[R]:
        """Put a question to the lane's bank. Fires with the answer, or fails with Unavailable or
        kit.errors.ProtocolError.
        """


async def branches(
    ask: AskBank,
    lane: str,
    bank: Bank,
    name: str = "",
    cnaps: str | None = None,
    *,
    most: int = 200,
    max_wait_s: float = 60.0,
) -> tuple[Branch, ...]:
    """Up to `most` branches of the bank's own directory (联行号), looked up by a name or by a number.

    `max_wait_s` is for each of its pages. Raises Unavailable (reason "unsupported" where the bank has no directory)
    and kit.errors.ProtocolError.
    """
    put = bank.questions.directory
    if put is None:
        raise Unavailable("unsupported", f"{bank.profile.name} has no directory of branches")
    found: list[Branch] = []
    at: str | None = None
    while True:
        page = await ask(lane, "directory", partial(put, DirectoryQuestion(name, cnaps, at)), max_wait_s)
        found += page.branches
        if page.cursor is None or page.cursor == at or len(found) >= most:
            return tuple(found[:most])
        at = page.cursor
