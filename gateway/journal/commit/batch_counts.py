"""How many items of a batch are open still, as one group changes that: a statement a batch, not one an item."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, select, update

from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row, write

BatchKey = tuple[str, str]
"""sender, batch"""
_B = schema.batches.c
_THIS = (_B.sender == bindparam("b_sender"), _B.batch == bindparam("b_batch"))
_OPEN = select(_B.open_items).where(*_THIS)
_COUNT = update(schema.batches).where(*_THIS).values(open_items=_B.open_items + bindparam("b_delta"))


@dataclass(slots=True)
class BatchCounts:
    """The open items of the batches that one group changes; `pending` is what the database does not have yet."""

    open_items: dict[BatchKey, int] = field(default_factory=dict)
    pending: dict[BatchKey, int] = field(default_factory=dict)

    def change(self, conn: Connection, key: BatchKey, delta: int) -> int | None:
        """Count `delta` more open items; returns how many are open then, None if there is no such batch.

        The first change of a group is written at once: it locks the row, so no other node changes it meanwhile.
        """
        if key in self.open_items:
            self.open_items[key] += delta
            self.pending[key] = self.pending.get(key, 0) + delta
            return self.open_items[key]
        bound = {"b_sender": key[0], "b_batch": key[1]}
        if delta:
            write(conn, _COUNT, {**bound, "b_delta": delta})
        found = first_row(conn, _OPEN, bound)
        if found is None:
            return None
        if delta:
            self.open_items[key] = found.open_items
        return int(found.open_items)

    def write(self, conn: Connection) -> None:
        """Write what is pending."""
        for (sender, batch), delta in self.pending.items():
            write(conn, _COUNT, {"b_sender": sender, "b_batch": batch, "b_delta": delta})
        self.pending.clear()
