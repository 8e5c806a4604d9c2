"""Randomness that does not depend on order: one seed and the same names always give the same result.

A simulated bank that is killed and started again, or that gets its payments in another order, decides the same about
each of them, so that a seed replays a whole campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class SeededChance:
    """Repeatable random values, each derived from a seed and names."""

    seed: str

    def roll(self, *names: str | int) -> float:
        """The random number for these names, from 0 (inclusive) to 1 (exclusive)."""
        return (int.from_bytes(self._drawn(8, *names), "big") >> 11) / (1 << 53)

    def hits(self, share: float, *names: str | int) -> bool:
        """Whether the random number for these names is below `share`. This holds for that share (of 1) of all names."""
        return share > 0.0 and self.roll(*names) < share

    def octets(self, count: int, *names: str | int) -> bytes:
        """`count` random bytes for these names."""
        return b"".join(self._drawn(64, *names, block) for block in range(-(-count // 64)))[:count]

    def _drawn(self, size: int, *names: str | int) -> bytes:
        return blake2b("|".join((self.seed, *map(str, names))).encode(), digest_size=size).digest()
