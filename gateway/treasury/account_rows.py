"""One account's payments, book rows and statement entries, as the matching reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from sqlalchemy import Connection, case, select

from gateway.core.hours import local
from gateway.core.policy import Route
from gateway.journal.commit import payment_rows
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.payments import accounts
from gateway.journal.sql import schema
from gateway.journal.sql.vaults import vault_of
from gateway.treasury import books
from gateway.treasury.books import BookEntry
from gateway.treasury.reconciliation.rows import MatchRow, plain_name
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.statement import Direction

_E, _P = schema.statement_entries.c, schema.payments.c
# Payments of which the bank may have booked something.
_BOOKABLE = (*accounts.UNCLEAR, State.SETTLED, State.RETURNED, State.REVERSED)
_REVERSAL = re.compile("冲正|抹账|冲销|冲回")


@dataclass(frozen=True, slots=True)
class AccountRows:
    """The rows of one account up to a day. `about` says of each what a person reads: voucher, text, order."""

    payments: tuple[MatchRow, ...]
    book: tuple[MatchRow, ...]
    lines: tuple[MatchRow, ...]
    about: Mapping[str, str]


def read(conn: Connection, route: Route, first: date, last: date) -> AccountRows:
    """The rows from the first day of the first book in force; `first` where there is none."""
    booked = books.entries(conn, route.account, last)
    begun = min((one.head.first for one in books.in_force(conn, route.account)), default=first)
    paid = _payments(conn, route, begun, last)
    lines, about = _lines(conn, route, begun, last)
    orders = {row.order.id for row in paid}
    about.update({f"payment:{row.payment}": f"{row.sender}:{row.order.id}" for row in paid})
    about.update({f"book:{one.id}": " ".join(filter(None, (one.voucher, one.settlement, one.text))) for one in booked})
    payments = tuple(_payment(row, route) for row in paid)
    return AccountRows(payments, tuple(_book_row(one, route, orders) for one in booked), tuple(lines), about)


def _payments(conn: Connection, route: Route, first: date, last: date) -> list[PaymentRow]:
    vault = vault_of(conn)
    own = case((_P.kind == Kind.COLLECTION.value, _P.creditor_idx), else_=_P.debtor_idx)
    statement = select(schema.payments).where(
        own == vault.blind(route.account), _P.state.in_([state.value for state in _BOOKABLE]),
        _P.first_write_ms.is_not(None),
    )  # fmt: skip
    found = [payment_rows.read(row, vault) for row in conn.execute(statement)]
    return [row for row in found if first <= _day(row, route) <= last]


def _day(row: PaymentRow, route: Route) -> date:
    return local(route.limits.hours, row.life.first_write_ms or row.accepted_ms).date()


def _payment(row: PaymentRow, route: Route) -> MatchRow:
    order = row.order
    codes = {f"reference:{row.bank_ref}", f"order:{order.id}"} | ({f"batch:{row.batch}"} if row.batch else set())
    serials = frozenset({f"serial:{row.bank_serial}"}) if row.bank_serial else frozenset[str]()
    direction = Direction.CREDIT if order.kind is Kind.COLLECTION else Direction.DEBIT
    return MatchRow(
        f"payment:{row.payment}", route.account, direction, order.amount.minor, order.amount.currency, _day(row, route),
        order.theirs.account.clear, plain_name(order.theirs.name.clear), frozenset(codes), serials,
    )  # fmt: skip


def _book_row(one: BookEntry, route: Route, orders: set[str]) -> MatchRow:
    named = {word for word in (one.reference, one.settlement) if word}
    codes = {f"order:{word}" for word in named & orders}
    numbers = {digits for word in named for digits in re.findall("[0-9]{4,}", word)}
    return MatchRow(
        f"book:{one.id}", route.account, one.direction, one.amount_minor, route.currency, one.day, one.party,
        plain_name(one.party_name), frozenset(codes), frozenset({f"serial:{one.settlement}"} if one.settlement else ()),
        frozenset(numbers),
    )  # fmt: skip


def _lines(conn: Connection, route: Route, first: date, last: date) -> tuple[list[MatchRow], dict[str, str]]:
    vault = vault_of(conn)
    statement = select(schema.statement_entries).where(
        _E.account_idx == vault.blind(route.account), _E.bank_date >= first.isoformat(),
        _E.bank_date <= last.isoformat(),
    ).order_by(_E.bank_date, _E.entry)  # fmt: skip
    lines, about = [], {}
    for row in conn.execute(statement):
        text = vault.open(row.body, b"statement_entries/" + row.line.encode()).decode()
        detail = accounts.detail_of(vault, row.line, row.detail)
        reference = detail.get("reference")
        serial = frozenset({f"serial:{row.bank_line_id}"}) if row.bank_line_id else frozenset[str]()
        line = MatchRow(
            f"line:{row.entry}", route.account, Direction(row.direction), row.amount_minor, row.currency,
            date.fromisoformat(row.bank_date), detail.get("party", ""), plain_name(detail.get("party_name", "")),
            frozenset({f"reference:{reference}"}) if reference else frozenset(), serial, text=text,
            reversal=bool(_REVERSAL.search(text)), fee=bool(detail.get("fee")),
        )  # fmt: skip
        lines.append(line)
        about[line.id] = " ".join(filter(None, (row.bank_line_id, text)))
    return lines, about


def as_shadows(rows: tuple[MatchRow, ...]) -> list[MatchRow]:
    """Book rows as the matching of payments sees them."""
    return [replace(row, shadow=True) for row in rows]


def month_start(last: date) -> date:
    """The first of the month before: where a reconciliation without a book begins."""
    return (last.replace(day=1) - timedelta(days=1)).replace(day=1)
