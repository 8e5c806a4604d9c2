"""Deletes the beginning of this node's audit chain up to a signed checkpoint, which stays in its place.

What is left is verified from there: the checkpoint states how many entries there were, the root of their tree and the
hash that the next entry continues. It was signed when those entries were there, and a witness may have it too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import delete, func, select

from gateway import log
from gateway.clock import Clock
from gateway.journal.checkpoints import checkpoints, merkle
from gateway.journal.checkpoints.checkpoints import BadCheckpoint, Checkpoint
from gateway.journal.commit import audit
from gateway.journal.commit.audit import AuditBase
from gateway.journal.commit.rows import Head
from gateway.journal.commit.store import Store, Tx
from gateway.journal.sql import schema
from protocols.erp.news import instant

AT_ONCE = 1_000
_READ = 20_000
_A = schema.audit.c
_log = log.get("journal.audit_purge")


class AuditPurge:
    """See the module. `days`: how long entries are kept; the newest checkpoint that is older is the new beginning."""

    def __init__(self, store: Store, clock: Clock, node: str, key: Ed25519PrivateKey, folder: Path, days: int) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._key = key
        self._folder = folder
        self._kept_ms = days * 86_400_000

    async def look(self) -> int:
        """Delete what may go. Returns how many entries. Raises BadCheckpoint if the chain is not what was signed."""
        point = self._newest_before(instant(self._clock.now_ms() - self._kept_ms))
        if point is None:
            return 0
        note, at = point
        base = await self._store.read(lambda conn: audit.bases(conn).get(self._node, AuditBase()))
        if at.size > base.size:
            tree, head = base.tree, Head(base.size, base.hash)
            while head.seq < at.size:
                leaves, head = await self._store.read(self._next(head, at.size))
                if not leaves:
                    raise BadCheckpoint(f"audit of {self._node}: entry {head.seq + 1} is missing; nothing is deleted")
                tree = merkle.grown(tree, leaves)
            if (merkle.root(tree), head.hash) != (at.root, at.hash):
                raise BadCheckpoint(f"audit of {self._node}: its first {at.size} entries are not those of the "
                                    f"checkpoint of {at.at}; nothing is deleted")  # fmt: skip
            base = AuditBase(at.size, at.hash, tree, note)
            fresh = base
            await self._store.write(lambda tx: audit.begin_after(tx, fresh))
        return await self._delete(base)

    def _next(self, head: Head, size: int) -> Callable[..., tuple[list[bytes], Head]]:
        most = min(_READ, size - head.seq)
        return lambda conn: checkpoints.entries_after(conn, self._node, head, most)

    def _newest_before(self, limit: str) -> tuple[str, Checkpoint] | None:
        found = None
        try:
            notes = checkpoints.kept(self._folder) if self._folder.is_dir() else []
        except OSError:
            return None
        for note in notes:
            try:
                at = checkpoints.opened(note, self._key.public_key())
            except BadCheckpoint:
                continue  # of an earlier key, or altered: such a one is no beginning
            mine = at.origin == checkpoints.origin_of(self._node) and at.at < limit
            if mine and (found is None or at.size > found[1].size):
                found = (note, at)
        return found

    async def _delete(self, base: AuditBase) -> int:
        gone = 0
        while some := await self._store.write(lambda tx: _some(tx, self._node, base.size)):
            gone += some
        if gone:
            _log.info("audit.purged", entries=gone, kept_after=base.size, action="their retention is over; a signed "
                      "checkpoint stands for them")  # fmt: skip
        return gone


def _some(tx: Tx, node: str, size: int) -> int:
    mine = (_A.node == node, _A.seq <= size)
    low = tx.fresh.execute(select(func.min(_A.seq)).where(*mine)).scalar()
    if low is None:
        return 0
    return int(tx.fresh.execute(delete(schema.audit).where(*mine, _A.seq < low + AT_ONCE)).rowcount)
