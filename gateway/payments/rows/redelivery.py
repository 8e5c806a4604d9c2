"""Redelivered commands: whether a delivery was answered before and only its acknowledgement was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import bindparam, select

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import rows

STOOD_STILL_MS = 1_000
_A = schema.audit.c
_NOTES = select(_A.node, _A.at_ms).where(_A.object_id == bindparam("b_object"), _A.entry == bindparam("b_entry"))


@dataclass(frozen=True, slots=True)
class Redelivery:
    """How a command arrived: whether the broker marked it `redelivered`, and the time by this node's clock.

    The broker marks a second delivery, but not the first. A node that was suspended while the broker gave its delivery
    to another node still holds the unmarked one and would answer it a second time. An ERP that publishes the same
    command again, however, expects a second answer. The two cases differ in when the other node answered: after this
    delivery arrived here, or before the command was published again.
    """

    redelivered: bool
    arrived_ms: int

    def doubtful(self, tx: Tx) -> bool:
        """True if the audit trail must be checked: another delivery of this message may have been answered."""
        return self.redelivered or tx.now_ms - self.arrived_ms > STOOD_STILL_MS

    def answered_by(self, tx: Tx, node: str, at_ms: int) -> bool:
        """For a `doubtful` delivery: True if the answer that `node` gave to the same command at `at_ms` was for this
        message."""
        return self.redelivered or (node != tx.node and at_ms >= self.arrived_ms)

    def surely_answered_by(self, tx: Tx, node: str, at_ms: int) -> bool:
        """As `answered_by`, and the answer cannot belong to an earlier publish of the same command."""
        return self.answered_by(tx, node, at_ms) and at_ms >= self.arrived_ms


def noted(tx: Tx, coming: Redelivery, key: str, entry: str) -> bool:
    """True if the audit trail, including the present group, has this entry for the delivery `key`.

    Call it in the unit that would answer the delivery.
    """
    return any(coming.answered_by(tx, *note) for note in notes(tx, coming, key, entry))


def notes(tx: Tx, coming: Redelivery, key: str, entry: str) -> Iterator[tuple[str, int]]:
    """The node and time of each audit entry of this kind for the delivery `key`; none unless the delivery is
    `doubtful`."""
    if not coming.doubtful(tx):
        return
    for note in tx.notes:
        if note.object_id == key and note.entry == entry:
            yield tx.node, note.at_ms
    # `raw` suffices: none of the rows that are still pending can be among these.
    for row in rows(tx.raw, _NOTES, {"b_object": key, "b_entry": entry}):
        yield row.node, row.at_ms
