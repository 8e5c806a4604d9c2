"""The ERP's book in the control API: it arrives in portions, and counts once its totals agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.control import ledger_fields
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.ledger_fields import LOOKS, ROWS_BYTES, changing, or_refused, own_account
from gateway.control.server import Call, Verb
from gateway.journal.commit.store import Tx
from gateway.journal.people.persons import No
from gateway.treasury import books
from gateway.treasury.books import BookRow, JudgedBook
from protocols.canon.money import Money


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about books."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("POST", f"/reconciliation/{one}/books", acts.begin),
        Verb("POST", f"/reconciliation/{one}/books/{one}/rows", acts.rows, most_bytes=ROWS_BYTES),
        Verb("POST", f"/reconciliation/{one}/books/{one}/close", acts.close),
        Verb("POST", f"/reconciliation/{one}/books/{one}/withdraw", acts.withdraw),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def begin(self, call: Call) -> Any:
        """Open a book: its period, balances and totals."""
        head = ledger_fields.book_head(call, own_account(self._daemon_handle, call))
        made = await self._daemon_handle.store.write(lambda tx: books.begin(tx, head, call.peer.actor))
        return _book(or_refused(call, made))

    async def rows(self, call: Call) -> Any:
        """Rows of a book that arrives."""
        route, key = own_account(self._daemon_handle, call), call.parts[1]
        entries = ledger_fields.rows(call, lambda one, place: ledger_fields.book_entry(one, place, route.currency))
        said = await self._daemon_handle.store.write(lambda tx: books.add(tx, route.account, key, entries))
        or_refused(call, said)
        return {"book": key, "rows": len(entries)}

    async def close(self, call: Call) -> Any:
        """Put a book in force, if its totals agree. They are added up outside of the unit that writes."""
        route, key, store = own_account(self._daemon_handle, call), call.parts[1], self._daemon_handle.store
        for _ in range(LOOKS):
            judged = or_refused(call, await store.read(lambda conn: books.judge(conn, route.account, key)))

            def unit(tx: Tx, judged: JudgedBook = judged) -> BookRow | No | None:
                return books.close(tx, judged, call.peer.actor)

            made = await store.write(unit)
            if made is not None:
                return _book(or_refused(call, made))
        return or_refused(call, changing())

    async def withdraw(self, call: Call) -> Any:
        """Take a book out of force."""
        route, key, reason = own_account(self._daemon_handle, call), call.parts[1], call.text("reason")
        made = await self._daemon_handle.store.write(
            lambda tx: books.withdraw(tx, route.account, key, reason, call.peer.actor)
        )
        return _book(or_refused(call, made))


def _book(one: BookRow) -> dict[str, Any]:
    head = one.head
    return {"book": one.book, "state": one.state, "from": head.first.isoformat(), "to": head.last.isoformat(),
            "opening": str(Money(head.opening_minor, head.currency)),
            "closing": str(Money(head.closing_minor, head.currency))}  # fmt: skip
