"""Holds new passkeys that are not yet bound to a person, and challenges that browsers have to answer.

Both are kept in memory, for minutes. A page shows the code of a new passkey, and its person enters the code in a
session that the person's own key opened. The code depends on the public key, so that a page cannot substitute another
one.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections import OrderedDict

from gateway.people.rules.passkeys import RegisteredPasskey

CHALLENGE_MS, PENDING_MS = 120_000, 600_000
_MOST = 1_000
_CODE_CHARACTERS = 16


class PendingPasskeys:
    """Holds challenges, and passkeys that wait for their person: at most a thousand of each; the oldest are dropped.

    Times are of a monotonic clock.
    """

    def __init__(self) -> None:
        self._challenges: OrderedDict[bytes, tuple[str, int]] = OrderedDict()
        self._pending: OrderedDict[str, tuple[RegisteredPasskey, int]] = OrderedDict()

    def offer(self, challenge: bytes, purpose: str, now_ms: int, valid_ms: int = CHALLENGE_MS) -> None:
        """Remember a challenge and its purpose."""
        self._challenges[challenge] = (purpose, now_ms + valid_ms)
        while len(self._challenges) > _MOST:
            self._challenges.popitem(last=False)

    def use_once(self, challenge: bytes, purpose: str, now_ms: int) -> bool:
        """True if this challenge is open for this purpose. The challenge is used up by the call."""
        wanted, until_ms = self._challenges.pop(challenge, ("", 0))
        return wanted == purpose and now_ms < until_ms

    def keep(self, made: RegisteredPasskey, now_ms: int) -> str:
        """Keep a new passkey; returns its code."""
        code = code_of(made)
        self._pending[code] = (made, now_ms + PENDING_MS)
        while len(self._pending) > _MOST:
            self._pending.popitem(last=False)
        return code

    def claim(self, code: str, now_ms: int) -> RegisteredPasskey | None:
        """The passkey with this code. The code works once."""
        made, until_ms = self._pending.pop(plain(code), (None, 0))
        return made if now_ms < until_ms else None


def code_of(made: RegisteredPasskey) -> str:
    """The code of a passkey that people type: 80 bits of the hash of page, origin and public key."""
    key = made.passkey
    said = b"\n".join((made.page.value.encode(), made.party.origin.encode(), key.credential_id, key.public_key))
    return b32encode(hashlib.sha256(b"bankgw passkey 1\n" + said).digest()).decode()[:_CODE_CHARACTERS]


def plain(code: str) -> str:
    """A typed code in the form in which it is stored."""
    return code.upper().replace("-", "").replace(" ", "")


def grouped(code: str) -> str:
    """A code in groups of characters, for showing it."""
    return "-".join(code[at : at + 4] for at in range(0, len(code), 4))
