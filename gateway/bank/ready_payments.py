"""Payments that were just accepted, kept in memory so that sending them needs no read of the journal."""

from __future__ import annotations

from collections import OrderedDict

from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Store
from gateway.journal.payments import lookup
from protocols.canon.outcome import State

ROWS_KEPT = 5_000


class ReadyPayments:
    """The ready payments of one lane, at most ROWS_KEPT; older ones are read from the journal again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows: OrderedDict[str, PaymentRow] = OrderedDict()

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """What is kept, oldest first."""
        return tuple(self._rows.values())

    def keep(self, row: PaymentRow) -> None:
        """Keep a payment that was just committed, if it is ready to be sent."""
        if row.life.state is not State.READY:
            return
        self._rows[row.payment] = row
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)

    def clear(self) -> None:
        """Forget them all: the lane is another node's."""
        self._rows.clear()

    async def take(self, payment: str) -> PaymentRow | None:
        """The payment: from memory, which then forgets it, or from the journal; None if there is none."""
        kept = self._rows.pop(payment, None)
        if kept is not None:
            return kept
        return await self._store.read(lambda conn: lookup.fetch(conn, payment))
