"""Deletes the beginning of this node's audit chain up to a signed checkpoint, which stays in its place.

The rest is verified from there: the checkpoint states the number of earlier entries, the root of their tree, and the
hash that the next entry continues. The checkpoint was signed while those entries existed, and a witness may have it
too.

A checkpoint alone does not prove how old entries are, because its date is that of a clock that may have been wrong. So
every entry up to it must be past its retention by its own date, and older than each payment that is still kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, delete, func, select

from gateway.kernel import log
from gateway.kernel.checkpoints import checkpoints, merkle
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint, Checkpoint
from gateway.kernel.clock import ulid_ms
from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.audit import AuditBase
from gateway.kernel.commit.rows import Head
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.retention_clock import BELIEVED_FROM_MS
from gateway.kernel.sql import schema
from protocols.erp.news import instant

AT_ONCE = 1_000
FILES_MOST = 12
"""How many months of checkpoints one run reads, the newest ones that are old enough."""
_TAIL_BYTES = 65_536
_READ = 20_000
_A, _P = schema.audit.c, schema.payments.c
_log = log.get("journal.audit_purge")


@dataclass(frozen=True, slots=True)
class _Goal:
    """The new beginning of an audit chain: a checkpoint and its signed note. Entries from `limit_ms` on must stay."""

    note: str
    at: Checkpoint
    limit_ms: int


class AuditPurge:
    """Deletes old entries of this node's audit chain, up to a signed checkpoint. Entries are kept for `days` days, and
    up to the end of that month.
    """

    def __init__(self, store: Store, node: str, key: Ed25519PrivateKey, folder: Path, days: int) -> None:
        self._store = store
        self._node = node
        self._key = key
        self._folder = folder
        self._kept_ms = days * 86_400_000
        self._refused = ""

    async def purge_once(self, now_ms: int) -> int:
        """Delete the audit entries before the newest usable checkpoint, and return their number. Raises BadCheckpoint
        if the chain is not the one that was signed.
        """
        # The notes are read in the reader's thread, too.
        goal, base = await self._store.read(lambda conn: (self._goal(conn, now_ms), _base(conn, self._node)))
        if goal is not None and goal.at.size > base.size and goal.note != self._refused:
            fresh = await self._checked(goal, base)
            if fresh is None:
                self._refused = goal.note
            else:
                base = fresh
                await self._store.write(lambda tx: _begin(tx, base))
        return await self._delete(base)

    def _goal(self, conn: Connection, now_ms: int) -> _Goal | None:
        limit_ms = min(now_ms - self._kept_ms, _oldest_kept_ms(conn, now_ms))
        try:
            found = next(self._old(limit_ms), None)
        except OSError as error:
            _log.warning("audit.not_purged", error=str(error), action="no entry is deleted; make the folder readable")
            return None
        return None if found is None else _Goal(*found, limit_ms)

    def _old(self, limit_ms: int) -> Iterator[tuple[str, Checkpoint]]:
        """This node's checkpoints of months that had ended at `limit_ms`, the newest first."""
        limit, first = instant(limit_ms), instant(BELIEVED_FROM_MS)
        months = sorted(file for file in self._folder.glob("*.txt") if re.fullmatch(r"\d{4}-\d\d", file.stem))
        old = [file for file in months if first[:7] <= file.stem < limit[:7]]
        for file in reversed(old[-FILES_MOST:]):
            for note in reversed(checkpoints.split(_tail(file))):
                try:
                    at = checkpoints.opened(note, self._key.public_key())
                except BadCheckpoint:
                    continue  # the note of an earlier key, or one that was cut or altered
                if at.origin == checkpoints.origin_of(self._node) and first <= at.at < limit:
                    yield note, at

    async def _checked(self, goal: _Goal, base: AuditBase) -> AuditBase | None:
        """Read the chain again up to the checkpoint. None if an entry is too young to be deleted, even if the
        checkpoint's date is old.
        """
        tree, head, at = base.tree, Head(base.size, base.hash), goal.at
        while head.seq < at.size:
            piece = await self._store.read(partial(_piece, node=self._node, head=head, size=at.size))
            if not piece.leaves:
                raise BadCheckpoint(f"audit of {self._node}: entry {head.seq + 1} is missing; nothing is deleted")
            if piece.newest_ms >= goal.limit_ms:
                _log.warning(
                    "audit.not_purged",
                    checkpoint=at.at,
                    entries=at.size,
                    newest=instant(piece.newest_ms),
                    action="no entry up to this checkpoint is deleted, because one has a later time than the "
                    "checkpoint: a clock was wrong",
                )
                return None
            tree, head = merkle.grown(tree, piece.leaves), piece.head
        if (merkle.root(tree), head.hash) != (at.root, at.hash):
            raise BadCheckpoint(
                f"audit of {self._node}: its first {at.size} entries are not those of the "
                f"checkpoint of {at.at}; nothing is deleted"
            )
        return AuditBase(at.size, at.hash, tree, goal.note)

    async def _delete(self, base: AuditBase) -> int:
        gone = 0
        # Read first, because a unit that finds nothing to delete would still cost a commit.
        while await self._store.read(lambda conn: _lowest(conn, self._node, base.size)) is not None:
            gone += await self._store.write(lambda tx: _some(tx, self._node, base.size))
        if gone:
            _log.info(
                "audit.purged",
                entries=gone,
                kept_after=base.size,
                action="their retention is over; a signed checkpoint stands for them",
            )
        return gone


def _begin(tx: Tx, base: AuditBase) -> None:
    """Let the chain begin after `base`, and record again the register versions that the deleted entries recorded."""
    registers.carry(tx, base.size)
    audit.begin_after(tx, base)


@dataclass(frozen=True, slots=True)
class _Piece:
    leaves: list[bytes]
    head: Head
    newest_ms: int


def _piece(conn: Connection, node: str, head: Head, size: int) -> _Piece:
    leaves, end = checkpoints.entries_after(conn, node, head, min(_READ, size - head.seq))
    newest = select(func.max(_A.at_ms)).where(_A.node == node, _A.seq > head.seq, _A.seq <= end.seq)
    return _Piece(leaves, end, conn.execute(newest).scalar() or 0)


def _base(conn: Connection, node: str) -> AuditBase:
    return audit.bases(conn).get(node, AuditBase())


def _oldest_kept_ms(conn: Connection, now_ms: int) -> int:
    """The time at which the oldest payment that is still kept was accepted. Audit entries from that time on stay. The
    time is read from the payment's key, which is a ULID.
    """
    row = conn.execute(select(_P.payment, _P.accepted_ms).order_by(_P.payment).limit(1)).first()
    return now_ms if row is None else min(row.accepted_ms, ulid_ms(row.payment))


def _tail(file: Path) -> str:
    """The last notes in a month's file of checkpoints. A month may have many notes; the last ones suffice."""
    with file.open("rb") as opened:
        opened.seek(max(0, os.fstat(opened.fileno()).st_size - _TAIL_BYTES))
        return opened.read().decode("utf-8", "replace")


def _lowest(conn: Connection, node: str, size: int) -> int | None:
    return conn.execute(select(func.min(_A.seq)).where(_A.node == node, _A.seq <= size)).scalar()


def _some(tx: Tx, node: str, size: int) -> int:
    low = _lowest(tx.fresh, node, size)
    if low is None:
        return 0
    mine = (_A.node == node, _A.seq <= size, _A.seq < low + AT_ONCE)
    return int(tx.fresh.execute(delete(schema.audit).where(*mine)).rowcount)
