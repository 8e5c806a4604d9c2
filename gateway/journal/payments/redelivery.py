"""Commands that come again: was this very delivery answered before, and only its acknowledgement lost?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import select

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema

STOOD_STILL_MS = 1_000
_A = schema.audit.c


@dataclass(frozen=True, slots=True)
class Coming:
    """How a command came: marked by the broker as `redelivered` or not, and when, by this node's clock.

    The broker marks a second delivery, but not the first one: a node that stood still while the broker took its
    delivery back and gave it to another one finds its own unmarked one, and would answer after the other. An ERP that
    publishes the same words again wants to be answered again, though, however slow the journal is. What tells the two
    apart is when the other one answered: after this delivery came here, or before it was published.
    """

    redelivered: bool
    arrived_ms: int

    def doubtful(self, tx: Tx) -> bool:
        """Whether another delivery of this very message may have been answered: a look is worth its time."""
        return self.redelivered or tx.now_ms - self.arrived_ms > STOOD_STILL_MS

    def answered_by(self, tx: Tx, node: str, at_ms: int) -> bool:
        """Of a `doubtful` one: whether an answer that `node` gave to the same words at `at_ms` was given to it."""
        return self.redelivered or (node != tx.node and at_ms >= self.arrived_ms)

    def surely_answered_by(self, tx: Tx, node: str, at_ms: int) -> bool:
        """As `answered_by`, and that answer cannot have been one to an earlier publish of the same words."""
        return self.answered_by(tx, node, at_ms) and at_ms >= self.arrived_ms


def noted(tx: Tx, coming: Coming, key: str, entry: str) -> bool:
    """Whether the audit trail says this of the delivery `key`, the group under way included.

    To be asked in the unit that would answer it.
    """
    return any(coming.answered_by(tx, *note) for note in notes(tx, coming, key, entry))


def notes(tx: Tx, coming: Coming, key: str, entry: str) -> Iterator[tuple[str, int]]:
    """By which node, and when, the audit trail says this of the delivery `key`; of none that is not `doubtful`."""
    if not coming.doubtful(tx):
        return
    for note in tx.notes:
        if note.object_id == key and note.entry == entry:
            yield tx.node, note.at_ms
    found = select(_A.node, _A.at_ms).where(_A.object_id == key, _A.entry == entry)
    # Nothing of what the writer keeps back can be among these: that the orders of a group are remembered costs nothing.
    for row in tx.raw.execute(found):
        yield row.node, row.at_ms
