"""The payments to be sent next, kept in memory so that a send needs no read of the journal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store
from gateway.payments.rows import lookup
from protocols.canon.outcome import State

ROWS_KEPT = 5_000
READ_AHEAD = 200
"""How many later payments are read together with one that is not in memory."""


class ReadyPayments:
    """The ready payments of one lane, at most ROWS_KEPT: those just accepted, and those read ahead.

    `next_sends` gives the payments that are due next, in their order.
    """

    def __init__(self, store: Store, next_sends: Callable[[int], Sequence[str]]) -> None:
        self._store = store
        self._next_sends = next_sends
        self._rows: OrderedDict[str, PaymentRow] = OrderedDict()
        self._cleared = 0

    @property
    def rows(self) -> tuple[PaymentRow, ...]:
        """The kept rows, oldest first."""
        return tuple(self._rows.values())

    def keep(self, row: PaymentRow) -> None:
        """Keep a payment as it was committed, if it is ready to be sent."""
        if row.life.state is not State.READY:
            return
        self._rows[row.payment] = row
        if len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)

    def kept(self, payment: str) -> PaymentRow | None:
        """The payment, if it is in memory. It is kept."""
        return self._rows.get(payment)

    def clear(self) -> None:
        """Forget all rows, because another node owns the lane."""
        self._rows.clear()
        self._cleared += 1

    async def take_payment(self, payment: str) -> PaymentRow | None:
        """Return the payment and forget it: from memory, or from the journal; None if there is none."""
        kept = self._rows.pop(payment, None)
        if kept is not None:
            return kept
        wanted = [payment, *(one for one in self._next_sends(READ_AHEAD) if one not in self._rows)]
        cleared = self._cleared
        found = await self._store.read(lambda conn: lookup.fetch_each(conn, wanted))
        for row in found:
            if row.payment != payment and cleared == self._cleared:
                self.keep(row)
        return next((row for row in found if row.payment == payment), None)
