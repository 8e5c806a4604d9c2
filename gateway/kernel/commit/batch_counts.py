"""Counts the open items of batches within a group of units, so that a batch costs one statement and not one per
item."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select, update

from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row, run_write

BatchKey = tuple[str, str]
"""sender, batch"""
_B = schema.batches.c
_THIS = (_B.sender == bindparam("b_sender"), _B.batch == bindparam("b_batch"))
_OPEN = select(_B.open_items).where(*_THIS)
_COUNT = update(schema.batches).where(*_THIS).values(open_items=_B.open_items + bindparam("b_delta"))


@dataclass(slots=True)
class BatchCounts:
    """The number of open items of the batches that one group changes. `pending` are the changes that are not written
    yet.
    """

    open_items: dict[BatchKey, int] = field(default_factory=dict)
    pending: dict[BatchKey, int] = field(default_factory=dict)

    def change(self, conn: Connection, key: BatchKey, delta: int) -> int | None:
        """Add `delta` to a batch's number of open items, and return the new number; None if there is no such batch.

        The first change of a group is written at once: it locks the row, so no other node changes it meanwhile.
        """
        if key in self.open_items:
            self.open_items[key] += delta
            self.pending[key] = self.pending.get(key, 0) + delta
            return self.open_items[key]
        bound = {"b_sender": key[0], "b_batch": key[1]}
        if delta:
            run_write(conn, _COUNT, {**bound, "b_delta": delta})
        found = first_row(conn, _OPEN, bound)
        if found is None:
            return None
        if delta:
            self.open_items[key] = found.open_items
        return int(found.open_items)

    def write_pending(self, conn: Connection) -> None:
        """Write the pending changes."""
        for (sender, batch), delta in self.pending.items():
            run_write(conn, _COUNT, {"b_sender": sender, "b_batch": batch, "b_delta": delta})
        self.pending.clear()
