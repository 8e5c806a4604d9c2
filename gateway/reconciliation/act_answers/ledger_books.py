"""Handlers of the acts about the ERP's book: it arrives in portions, and comes into force once its totals agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.act_ports import Accounts
from gateway.call import Call, answers
from gateway.kernel.commit.store import Store, Tx
from gateway.people.rows.persons import No
from gateway.reconciliation.act_answers import ledger_fields
from gateway.reconciliation.act_answers.ledger_fields import LOOKS, changing
from gateway.reconciliation.acts import NamedAccount, NamedBook, WithdrawBook
from gateway.reconciliation.rows import books
from gateway.reconciliation.rows.books import BookRow, JudgedBook
from gateway.statements.act_answers.account_fields import or_refused, own_account, rows
from protocols.canon.money import Money


@dataclass(frozen=True, slots=True)
class BookAnswers:
    """Answers the acts about books."""

    store: Store
    accounts: Accounts

    @answers("books.begin")
    async def begin(self, call: Call, params: NamedAccount) -> Any:
        """Open a book, with its period, balances and totals."""
        head = ledger_fields.book_head(call, own_account(self.accounts, call))
        made = await self.store.write(lambda tx: books.begin(tx, head, call.peer.actor))
        return _book(or_refused(call, made))

    @answers("books.rows")
    async def rows(self, call: Call, params: NamedBook) -> Any:
        """Add rows to a book that is arriving."""
        route, key = own_account(self.accounts, call), params.book
        entries = rows(call, lambda one, place: ledger_fields.book_entry(one, place, route.currency))
        said = await self.store.write(lambda tx: books.add(tx, route.account, key, entries))
        or_refused(call, said)
        return {"book": key, "rows": len(entries)}

    @answers("books.close")
    async def close(self, call: Call, params: NamedBook) -> Any:
        """Put a book in force, if its totals agree. The rows are added up outside of the unit that writes."""
        route, key, store = own_account(self.accounts, call), params.book, self.store
        for _ in range(LOOKS):
            judged = or_refused(call, await store.read(lambda conn: books.judge(conn, route.account, key)))

            def close_book(tx: Tx, judged: JudgedBook = judged) -> BookRow | No | None:
                return books.close(tx, judged, call.peer.actor)

            made = await store.write(close_book)
            if made is not None:
                return _book(or_refused(call, made))
        return or_refused(call, changing())

    @answers("books.withdraw")
    async def withdraw(self, call: Call, params: WithdrawBook) -> Any:
        """Take a book out of force."""
        route, key, reason = own_account(self.accounts, call), params.book, params.reason
        made = await self.store.write(lambda tx: books.withdraw(tx, route.account, key, reason, call.peer.actor))
        return _book(or_refused(call, made))


def _book(one: BookRow) -> dict[str, Any]:
    head = one.head
    return {
        "book": one.book,
        "state": one.state,
        "from": head.first.isoformat(),
        "to": head.last.isoformat(),
        "opening": str(Money(head.opening_minor, head.currency)),
        "closing": str(Money(head.closing_minor, head.currency)),
    }
