"""Assembly of a message body from frames: all of it, or only the beginning and the hash of one that is too large.

A message arrives in frames of at most 128 KiB. A body that exceeds the largest allowed command takes little memory: its
bytes are counted and hashed as they arrive.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.kernel.deliveries import CUT_BYTES, CutBody


class PartialBody:
    """Assembles one body of `size` bytes from its parts; a body of up to `most_bytes` is kept whole."""

    def __init__(self, size: int, most_bytes: int) -> None:
        self._size = size
        self._seen = 0
        self._hash = sha256() if size > most_bytes else None

    def keep(self, part: bytes) -> bytes:
        """Take the next part; returns those of its bytes that are kept."""
        if self._hash is None:
            return part
        self._hash.update(part)
        kept = part[: max(CUT_BYTES - self._seen, 0)]
        self._seen += len(part)
        return kept

    def cut(self) -> CutBody | None:
        """The size and hash of a body that was too large to be kept whole; None for any other body."""
        return None if self._hash is None else CutBody(self._size, self._hash.hexdigest())
