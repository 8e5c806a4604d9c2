"""What is kept of a body while it arrives: all of it, or, of one that is too large, its beginning and its hash.

A message comes in frames of at most 128 KiB. One that is larger than any command may be costs no more memory than a
small one: its bytes are counted and hashed as they come.
"""

from __future__ import annotations

from hashlib import sha256

from gateway.erp.amqp_types import CUT_BYTES, Cut


class Arriving:
    """One body of `size` bytes; up to `most_bytes` are kept whole."""

    def __init__(self, size: int, most_bytes: int) -> None:
        self._size = size
        self._seen = 0
        self._hash = sha256() if size > most_bytes else None

    def keep(self, part: bytes) -> bytes:
        """What is to be kept of the next part."""
        if self._hash is None:
            return part
        self._hash.update(part)
        kept = part[: max(CUT_BYTES - self._seen, 0)]
        self._seen += len(part)
        return kept

    def cut(self) -> Cut | None:
        """How the whole body was cut, if it was."""
        return None if self._hash is None else Cut(self._size, self._hash.hexdigest())
