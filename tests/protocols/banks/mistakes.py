"""Mistakes of a bank's clients, and requests at the edge of what a bank takes.

A bank's test folder has `client_mistakes.py` with `side`, `mistakes` and `corners`, by the author of its twin's rules, and
`page_mistakes.py` with `mistakes` by somebody who read the bank's page and not those rules. `every/test_client_mistakes.py`
plays them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.simbank.ledger import Ledger
from protocols.judge import RuleKind
from protocols.twin import Answer, Twin


@dataclass(frozen=True, slots=True)
class Mistake:
    """A request that the bank must refuse.

    `request` gives its framed bytes. `place` is part of the place that a finding must name; `rule` is the kind of rule, if
    it is known; `code` the bank's code, where the page has one. `before`: requests that the side answers first.
    """

    name: str
    request: Callable[[], bytes]
    place: str
    rule: RuleKind | None = None
    code: str = ""
    port: str = "business"
    before: tuple[Callable[[], bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Corner:
    """A request that the bank must take: for example the longest, the shortest, one with full-width characters, or one
    with GB18030 characters."""

    name: str
    request: Callable[[], bytes]
    books: int = 1
    """How many instructions it books."""
    port: str = "business"


@dataclass(slots=True)
class Side:
    """A bank's side with its books and one connection, in the form in which any client meets it."""

    twin: Twin
    ledger: Ledger
    connection: dict[str, str] = field(default_factory=dict)

    def answer(self, request: bytes, port: str = "business") -> Answer:
        """The answer to whole framed bytes. Raises ProtocolError where the bank closes without one."""
        [frame] = self.twin.requests(port).feed(request)
        return self.twin.answer(port, frame, self.ledger, self.connection)


class ClientMistakes(Protocol):
    """The content of a bank's `client_mistakes.py`."""

    def side(self) -> Side:
        """A new bank's side, signed on if this bank has sessions."""

    def mistakes(self) -> tuple[Mistake, ...]:
        """At least twenty mistakes."""

    def corners(self) -> tuple[Corner, ...]:
        """Requests at the edge of what is allowed."""
