"""Random values that a simulation can repeat."""

from __future__ import annotations

import random

from gateway.kernel.clock import Ulids


class SeededEntropy:
    """Repeatable random values for simulations: the same seed gives the same ids. Never for real keys or nonces."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)
        self._ulids = Ulids(self._source.randbytes)

    def ulid(self, now_ms: int) -> str:
        """A new ULID, the same in every run with this seed and these times."""
        return self._ulids.next(now_ms)

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._source.random()

    def bytes(self, n: int) -> bytes:
        """`n` bytes of the seeded sequence."""
        return self._source.randbytes(n)
