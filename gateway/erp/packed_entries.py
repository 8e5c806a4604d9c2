"""Many entries of an account in little memory: packed in blocks, taken out a page at a time.

An entry as an object takes about 1,000 bytes, packed about 60; a day of 100,000 entries is 6 MB and not 100.
"""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Sequence

from protocols.canon.statement import Line

BLOCK = 100
"""Packing a block takes about a millisecond of the reactor's thread."""
_QUICKLY = 1


class PackedLines:
    """Entries in the order in which they were added. Nothing but this process's own memory is unpickled."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rest: list[Line] = []

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + len(self._rest)

    @property
    def size(self) -> int:
        """Bytes of the packed blocks."""
        return sum(map(len, self._blocks))

    def add(self, lines: Sequence[Line]) -> None:
        """Put these after the others."""
        self._rest += lines
        while len(self._rest) >= BLOCK:
            block, self._rest = self._rest[:BLOCK], self._rest[BLOCK:]
            self._blocks.append(zlib.compress(pickle.dumps(block), _QUICKLY))

    def page(self, start: int, count: int) -> tuple[Line, ...]:
        """Up to `count` entries from the number `start`, counted from 0."""
        first, last = start // BLOCK, (start + count - 1) // BLOCK
        found: list[Line] = []
        for block in self._blocks[first : last + 1]:
            found += pickle.loads(zlib.decompress(block))
        if last >= len(self._blocks):
            found += self._rest
        skipped = start - min(first, len(self._blocks)) * BLOCK
        return tuple(found[skipped : skipped + count])
