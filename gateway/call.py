"""A request to the daemon as the handler of an act gets it, and the decorator that marks a handler.

The control server makes a `Call` of each request. A handler is in the room of its subject and is marked with the code
of its act; it answers the call or raises `Denied`. So a subject needs neither the server nor the register of acts.
"""

from __future__ import annotations

import pwd
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.people.rules.scopes import WHOLE, Scope

_CODE = "act_code"
NOBODY = 65_534
"""Whom the kernel names when the peer's user does not exist in our user namespace."""
Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """The process that connected, by its user; or a person in a browser, whose name in the audit trail is `web`."""

    uid: int
    web: str = ""

    @property
    def actor(self) -> str:
        """The name in the audit trail for its acts: `uid:root`, or the number of a user without a name."""
        if self.web:
            return self.web
        try:
            return f"uid:{pwd.getpwuid(self.uid).pw_name}"
        except KeyError:
            return f"uid:{self.uid}"


class Denied(Exception):  # noqa: N818 - an answer, not a fault
    """The request is refused with this HTTP status; nothing was changed."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its caller, the parts of the path, the query, and the JSON body.

    `person` is the enrolled person who asks, None for root and the daemon's own user; the answer covers only own
    accounts inside `scope`. gateway.control.access sets both. `token` is the session that a web page presents.
    """

    peer: PeerCredentials
    owner: int
    parts: tuple[str, ...]
    query: Mapping[str, str]
    body: Mapping[str, Any]
    scope: Scope = WHOLE
    person: str | None = None
    token: str = ""

    def text(self, name: str) -> str:
        """A required text of the body."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value.strip():
            raise Denied(400, "missing", f"`{name}` is missing; give it as text: it is kept in the audit trail")
        return value.strip()[:500]

    def number(self, name: str, default: float, most: float) -> float:
        """A number of the query or the body, within limits."""
        given = self.query.get(name, self.body.get(name, default))
        try:
            value = float(given)
        except (TypeError, ValueError):
            raise Denied(400, "bad_number", f"`{name}` must be a number") from None
        if not 0 < value <= most:
            raise Denied(400, "bad_number", f"`{name}` must be more than 0 and at most {most:g}")
        return value

    @property
    def clear(self) -> bool:
        """True if the caller asks for unmasked data, which only root and the daemon's own user may do."""
        if self.query.get("clear", "0") in ("0", ""):
            return False
        if self.peer.uid not in (0, self.owner):
            raise Denied(403, "not_allowed", "only root and the daemon's own user may see unmasked data")
        return True


PlainAnswer = Callable[[Call], Awaitable[Any]]
TypedAnswer = Callable[[Call, Any], Awaitable[Any]]
ActAnswers = Mapping[str, PlainAnswer | TypedAnswer]
"""What answers each act, by the act's code. The answer of an act with parameters takes them beside the call."""


def answers(code: str) -> Callable[[Method], Method]:
    """Marks the method that answers the act with this code."""

    def mark(method: Method) -> Method:
        setattr(method, _CODE, code)
        return method

    return mark


def answers_of(*groups: object) -> ActAnswers:
    """The answers of these objects' marked methods, by the codes of their acts."""
    found: dict[str, PlainAnswer | TypedAnswer] = {}
    for group in groups:
        for name in dir(type(group)):
            code = getattr(getattr(type(group), name), _CODE, None)
            if code is not None:
                assert code not in found, f"{code} is answered twice"
                found[code] = getattr(group, name)
    return found
