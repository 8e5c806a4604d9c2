"""Keeps the rows of one account in memory, and updates them to the present journal.

A few short queries find the days that have changed since; only the rows of these days are read and opened again. No
time stamps are compared, so that removed rows, or a node with a wrong clock, need no special treatment.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.policy import Route
from gateway.reconciliation.rows import account_rows, balance_tables, books
from gateway.reconciliation.rows.account_rows import BOOK, LINE, PAYMENT, AccountRows, AccountSpan, DaySum
from gateway.reconciliation.rows.books import BookEntry, BookRow
from gateway.reconciliation.rules.rows import MatchRow

_Part = tuple[str, date]


@dataclass(slots=True)
class KeptRows:
    """The rows of an account's span. `read` counts the rows that were read and opened, for measurements."""

    payments: dict[str, MatchRow] = field(default_factory=dict)
    book: dict[str, MatchRow] = field(default_factory=dict)
    lines: dict[str, MatchRow] = field(default_factory=dict)
    read: int = 0
    _about: dict[str, str] = field(default_factory=dict)
    _line_days: dict[str, DaySum] = field(default_factory=dict)
    _payment_days: dict[int, DaySum] = field(default_factory=dict)
    _of_day: dict[str | int, list[str]] = field(default_factory=dict)
    _payers: dict[int, frozenset[str]] = field(default_factory=dict)
    _parts: dict[_Part, list[str]] = field(default_factory=dict)
    _seen: dict[str, tuple[str, int]] = field(default_factory=dict)
    _orders: dict[str, dict[str, str]] = field(default_factory=dict)
    _words: dict[str, Collection[str]] = field(default_factory=dict)
    _naming: dict[str, set[str]] = field(default_factory=dict)
    _before: dict[str, MatchRow | None] = field(default_factory=dict)
    _named: set[str] = field(default_factory=set)

    def refresh(self, conn: Connection, route: Route, span: AccountSpan, in_force: Iterable[BookRow]) -> set[str]:
        """Read the changes; returns the ids of the rows that came, went or changed."""
        self._refresh_lines(conn, route, span)
        self._refresh_payments(conn, route, span)
        self._refresh_book(conn, route, span, in_force)
        changed = {id for id, row in self._before.items() if self.get(id) != row}
        self._before.clear()
        return changed

    def get(self, id: str) -> MatchRow | None:
        """The row with that id."""
        return self._side(id).get(id)

    def rows(self, conn: Connection, route: Route, first: date) -> AccountRows:
        """All rows, as if they were read anew. Later changes do not appear in the result."""
        approved = balance_tables.approvals(conn, route.account)
        late = {id for id, seen in self._seen.items() if account_rows.is_late(approved, *seen)} if approved else ()
        return AccountRows(
            first,
            tuple(self.payments.values()),
            tuple(self.book.values()),
            tuple(self.lines.values()),
            dict(self._about),
            frozenset(late),
            frozenset[str]().union(*self._payers.values()),
        )

    def _refresh_lines(self, conn: Connection, route: Route, span: AccountSpan) -> None:
        now = account_rows.line_days(conn, route, span)
        changed = _differing(self._line_days, now)
        for day in changed:
            self._drop_all(self._of_day.pop(day, ()))
        for row in account_rows.lines(conn, route, span, [day for day in changed if day in now]) if changed else ():
            line, about = account_rows.line_row(conn, row, route)
            self._put(line, about)
            self._seen[line.id] = (row.bank_date, row.seen_ms)
            self._of_day.setdefault(row.bank_date, []).append(line.id)
        self._line_days = now

    def _refresh_payments(self, conn: Connection, route: Route, span: AccountSpan) -> None:
        now = account_rows.payment_days(conn, route, span)
        changed = _differing(self._payment_days, now)
        for day in changed:
            self._payers.pop(day, None)
            self._drop_all(self._of_day.pop(day, ()))
        by_day: dict[int, list[PaymentRow]] = {}
        for row in account_rows.payments(conn, route, span, [day for day in changed if day in now]) if changed else ():
            by_day.setdefault((row.life.first_write_ms or 0) // account_rows.DAY_MS, []).append(row)
        for day, paid in by_day.items():
            self._payers[day] = account_rows.payers(conn, paid)
            for row in paid:
                made = account_rows.payment_row(row, route)
                self._put(made, account_rows.about_payment(row))
                self._of_day.setdefault(day, []).append(made.id)
                self._words[made.id] = account_rows.order_words(row)
                for word in self._words[made.id]:
                    self._orders.setdefault(word, {})[made.id] = account_rows.order_code(row)
                    self._named.add(word)
        self._payment_days = now

    def _refresh_book(self, conn: Connection, route: Route, span: AccountSpan, in_force: Iterable[BookRow]) -> None:
        wanted = {(one.book, min(one.head.last, span.last)) for one in in_force if one.head.first <= span.last}
        for part in self._parts.keys() - wanted:
            self._drop_all(self._parts.pop(part))
        for part in sorted(wanted - self._parts.keys()):
            ids = self._parts.setdefault(part, [])
            for entry in books.rows_of(conn, *part):
                made = self._book_row(entry, route)
                self._put(made, account_rows.about_book_row(entry))
                ids.append(made.id)
        # When an order came or went, the codes of the book rows that name it change.
        for id in {id for word in self._named for id in self._naming.get(word, ())}:
            row = self.book[id]
            codes = frozenset(code for word in self._words[id] for code in self._orders.get(word, {}).values())
            if codes != row.codes:
                self._before.setdefault(id, row)
                self.book[id] = replace(row, codes=codes)
        self._named.clear()

    def _book_row(self, entry: BookEntry, route: Route) -> MatchRow:
        words = account_rows.book_words(entry)
        row = account_rows.book_row(entry, route, {word: self._orders.get(word, {}).values() for word in words})
        self._words[row.id] = words
        for word in words:
            self._naming.setdefault(word, set()).add(row.id)
        return row

    def _put(self, row: MatchRow, about: str) -> None:
        side = self._side(row.id)
        self._before.setdefault(row.id, side.get(row.id))
        side[row.id], self._about[row.id] = row, about
        self.read += 1

    def _drop_all(self, ids: Iterable[str]) -> None:
        for id in ids:
            side = self._side(id)
            self._before.setdefault(id, side.get(id))
            side.pop(id, None)
            self._about.pop(id, None)
            self._seen.pop(id, None)
            for word in self._words.pop(id, ()):
                if id.startswith(PAYMENT):
                    self._orders[word].pop(id, None)
                    self._named.add(word)
                else:
                    self._naming[word].discard(id)

    def _side(self, id: str) -> dict[str, MatchRow]:
        if id.startswith(LINE):
            return self.lines
        assert id.startswith((PAYMENT, BOOK)), "the ids of rows"
        return self.payments if id.startswith(PAYMENT) else self.book


def _differing(before: dict[Any, DaySum], now: dict[Any, DaySum]) -> list[Any]:
    return sorted(day for day in before.keys() | now.keys() if before.get(day) != now.get(day))
