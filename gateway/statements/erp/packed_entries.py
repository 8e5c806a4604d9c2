"""Statement entries compressed in memory: packed in blocks, read one page at a time.

An entry takes about 1,000 bytes as an object and about 60 packed, so a day of 100,000 entries takes 6 MB, not 100.
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
    """Entries in the order they were added. Only data packed by this process is unpickled."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._rest: list[Line] = []

    def __len__(self) -> int:
        return len(self._blocks) * BLOCK + len(self._rest)

    @property
    def size(self) -> int:
        """The size of the packed blocks in bytes."""
        return sum(map(len, self._blocks))

    def add(self, lines: Sequence[Line]) -> None:
        """Append entries."""
        self._rest += lines
        while len(self._rest) >= BLOCK:
            block, self._rest = self._rest[:BLOCK], self._rest[BLOCK:]
            self._blocks.append(zlib.compress(pickle.dumps(block), _QUICKLY))

    def page(self, start: int, count: int) -> tuple[Line, ...]:
        """Up to `count` entries, starting at index `start`."""
        first, last = start // BLOCK, (start + count - 1) // BLOCK
        found: list[Line] = []
        for block in self._blocks[first : last + 1]:
            found += pickle.loads(zlib.decompress(block))
        if last >= len(self._blocks):
            found += self._rest
        skipped = start - min(first, len(self._blocks)) * BLOCK
        return tuple(found[skipped : skipped + count])
