"""A Merkle tree over an append-only log (hashes as in RFC 6962), stored as its perfect subtrees.

A *range* is a list of perfect subtrees, `(level, hash)`, oldest first. The range of a log of n leaves has one subtree
per one-bit of n. To prove that a log extends a shorter one, give the shorter log's range, whose root is known, and the
subtrees of the added leaves: together they must give the longer log's root.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

Range = tuple[tuple[int, bytes], ...]
EMPTY = hashlib.sha256(b"").digest()


def leaf(data: bytes) -> bytes:
    """The Merkle leaf hash of one log entry."""
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of a tree node over the hashes of its two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def grown(range_: Range, leaves: Iterable[bytes]) -> Range:
    """The range of a log after these leaf hashes were added."""
    return joined(range_, [(0, one) for one in leaves])


def joined(range_: Range, added: Iterable[tuple[int, bytes]]) -> Range:
    """The range of a log after these perfect subtrees were added, in order, each at a multiple of its own size."""
    stack = list(range_)
    for level, hashed in added:
        while stack and stack[-1][0] == level:
            level, hashed = level + 1, node(stack.pop()[1], hashed)
        if stack and stack[-1][0] < level:
            raise ValueError("a subtree has a place where the tree cannot have it")
        stack.append((level, hashed))
    return tuple(stack)


def size(range_: Range) -> int:
    """The number of leaves that a range covers."""
    return sum(1 << level for level, _hashed in range_)


def root(range_: Range) -> bytes:
    """The root hash of the tree that a range stands for."""
    if not range_:
        return EMPTY
    *others, (_level, hashed) = range_
    for _other, left in reversed(others):
        hashed = node(left, hashed)
    return hashed


def between(start: int, leaves: Sequence[bytes]) -> Range:
    """The smallest number of perfect subtrees that cover these leaf hashes; `start` is the position of the first leaf
    in its log.
    """
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
