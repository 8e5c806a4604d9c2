"""The text that a person's key signs to open a session. Its form differs from that of every decision, so that its
signature never serves as one.
"""

from __future__ import annotations

import hashlib

_DOMAIN = b"bankgw sign-in 1"


def text(node: str, person: str, uid: int, challenge: str) -> str:
    """The text to sign for one challenge of one node."""
    return f"{_DOMAIN.decode()}\nnode: {node}\nperson: {person}\nuid: {uid}\nchallenge: {challenge}\n"


def to_sign(words: str) -> bytes:
    """The bytes to sign for a sign-in text."""
    return _DOMAIN + b"\n" + hashlib.sha256(words.encode()).hexdigest().encode()
