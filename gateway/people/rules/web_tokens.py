"""The session of a person in a browser: a text that only a holder of the vault's key can write, and its limits.

The process that carries the text (the console, the approval page) can read it. The text names a person, the page that
it is for, and its beginning, and ends by itself. It decides nothing about money: that needs a signature.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum

from gateway.people.rules.sessions import SessionLimits

_DOMAIN = b"bankgw web session 2\n"
_LONGEST = 1_000
PROVEN_MS = 5 * 60_000
"""For this long after a person showed a factor, an export needs no further one."""
Mac = Callable[[bytes], bytes]
"""A MAC under the vault's key."""


class WebPage(StrEnum):
    """The page that a session is for: the console reads; the approval page shows the text that is signed."""

    CONSOLE = "console"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class WebSession:
    """A person signed in from a browser. Times are milliseconds of UTC; `nonce` distinguishes sessions. `proved_ms`:
    when the person last showed a passkey, or password and one-time code; 0 for never.
    """

    person: str
    page: WebPage
    factor: str
    began_ms: int
    seen_ms: int
    nonce: str
    proved_ms: int = 0

    def ends_ms(self, limits: SessionLimits) -> int:
        """When the session ends if it is not renewed."""
        return min(self.seen_ms + limits.idle_ms, self.began_ms + limits.absolute_ms)

    def proven(self, now_ms: int) -> bool:
        """True if the person showed a factor recently enough."""
        return 0 <= now_ms - self.proved_ms < PROVEN_MS


def encode(session: WebSession, mac: Mac) -> str:
    """The session as text with a MAC."""
    octets = json.dumps(list(asdict(session).values()), separators=(",", ":")).encode()
    return f"{urlsafe_b64encode(octets).decode()}.{urlsafe_b64encode(mac(_DOMAIN + octets)).decode()}"


def decode(text: str, mac: Mac, now_ms: int, limits: SessionLimits) -> WebSession | None:
    """The session of a text that was written with this key and has not ended; else None."""
    if not 0 < len(text) <= _LONGEST or not text.isascii():
        return None
    said, _dot, proof = text.partition(".")
    try:
        octets, given = urlsafe_b64decode(said), urlsafe_b64decode(proof)
    except ValueError:
        return None
    if not hmac.compare_digest(mac(_DOMAIN + octets), given):
        return None
    person, page, *more = json.loads(octets)
    session = WebSession(person, WebPage(page), *more)
    # A clock that was set back must not lengthen a session.
    return session if session.seen_ms - limits.idle_ms <= now_ms < session.ends_ms(limits) else None


def claims(text: str) -> WebSession | None:
    """The content of a session's text without a check of its MAC, for a page that only needs to know when to renew."""
    try:
        return WebSession(*json.loads(urlsafe_b64decode(text.partition(".")[0])))
    except (ValueError, TypeError):
        return None
