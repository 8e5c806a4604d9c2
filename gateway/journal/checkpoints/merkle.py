"""A Merkle tree over a log that only grows, as RFC 6962 hashes it, kept as its few perfect subtrees.

A *range* is a list of perfect subtrees, `(level, hash)`, the oldest first. The range of a whole log of n leaves has as
many as n has bits. That a longer log begins with a shorter one is proven by the shorter one's range, whose root must be
the known one, and the subtrees of what was added: together they must give the longer one's root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

Range = tuple[tuple[int, bytes], ...]
EMPTY = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two adjacent nodes."""
    return hashlib.sha256(b"\1" + left + right).digest()


def grown(range_: Range, leaves: Iterable[bytes]) -> Range:
    """The range of a whole log after these leaf hashes were added."""
    return joined(range_, [(0, one) for one in leaves])


def joined(range_: Range, added: Iterable[tuple[int, bytes]]) -> Range:
    """The range of a whole log after these perfect subtrees, in order and each at a multiple of its own size."""
    stack = list(range_)
    for level, hashed in added:
        while stack and stack[-1][0] == level:
            level, hashed = level + 1, node(stack.pop()[1], hashed)
        if stack and stack[-1][0] < level:
            raise ValueError("a subtree stands where it cannot")
        stack.append((level, hashed))
    return tuple(stack)


def size(range_: Range) -> int:
    """How many leaves a range has."""
    return sum(1 << level for level, _hashed in range_)


def root(range_: Range) -> bytes:
    """The root of a whole log."""
    if not range_:
        return EMPTY
    *others, (_level, hashed) = range_
    for _other, left in reversed(others):
        hashed = node(left, hashed)
    return hashed


def between(start: int, leaves: Sequence[bytes]) -> Range:
    """The perfect subtrees of these leaf hashes, the first of which is leaf `start` of its log, as few as can be."""
    added: list[tuple[int, bytes]] = []
    at, end = start, start + len(leaves)
    while at < end:
        level = 0
        while at % (2 << level) == 0 and at + (2 << level) <= end:
            level += 1
        some = leaves[at - start : at - start + (1 << level)]
        added.append((level, root(grown((), some))))
        at += 1 << level
    return tuple(added)
