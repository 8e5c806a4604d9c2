"""What a person's key signs to open a session: a text of its own form, which never serves as a decision."""

from __future__ import annotations

import hashlib

_DOMAIN = b"bankgw sign-in 1"


def text(node: str, person: str, uid: int, challenge: str) -> str:
    """The text for one challenge of one node."""
    return f"{_DOMAIN.decode()}\nnode: {node}\nperson: {person}\nuid: {uid}\nchallenge: {challenge}\n"


def to_sign(words: str) -> bytes:
    """The bytes to sign for a text."""
    return _DOMAIN + b"\n" + hashlib.sha256(words.encode()).hexdigest().encode()
