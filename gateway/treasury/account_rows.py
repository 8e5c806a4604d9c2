"""One account's payments, book rows and statement entries, as the matching reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, case, select

from gateway.core.hours import local
from gateway.core.policy import Route
from gateway.journal.commit import payment_rows
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.payments import accounts
from gateway.journal.sql import schema
from gateway.journal.sql.vaults import vault_of
from gateway.treasury import balance_tables, books
from gateway.treasury.books import BookEntry
from gateway.treasury.reconciliation.rows import BATCH, AccountTerms, MatchRow, plain_name
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.statement import Direction

_A, _Q = schema.approvals.c, schema.approval_requests.c
_E, _P = schema.statement_entries.c, schema.payments.c
_DAY = timedelta(days=1)
# Payments of which the bank may have booked something.
_BOOKABLE = (*accounts.UNCLEAR, State.SETTLED, State.RETURNED, State.REVERSED)
_REVERSAL = re.compile("冲正|抹账|冲销|冲回")


_PAYMENT, _BOOK, _LINE = "payment:", "book:", "line:"


@dataclass(frozen=True, slots=True)
class AccountRows:
    """The rows of one account from `first` up to a day. `about` says of each what a person reads: voucher, text, order.

    The rows before `first` are there because those near it may belong to them; nothing is said about them. `late` are
    entries of an approved month that were not there when it was approved. `payers` are the persons who made or approved
    these payments.
    """

    first: date
    payments: tuple[MatchRow, ...]
    book: tuple[MatchRow, ...]
    lines: tuple[MatchRow, ...]
    about: Mapping[str, str]
    late: frozenset[str] = frozenset()
    payers: frozenset[str] = frozenset()

    @property
    def by_id(self) -> dict[str, MatchRow]:
        """All rows."""
        return {row.id: row for row in (*self.payments, *self.book, *self.lines)}


def read(conn: Connection, route: Route, last: date, terms: AccountTerms) -> AccountRows:
    """The rows from the first day of the first book in force; from the month before `last` where there is none."""
    first = min((one.head.first for one in books.in_force(conn, route.account) if one.head.first <= last),
                default=month_start(last))  # fmt: skip
    begun = first - timedelta(days=max(terms.payments.far_days, terms.book.far_days))
    account = _E.account_idx == vault_of(conn).blind(route.account)
    dated = and_(account, _E.bank_date >= begun.isoformat(), _E.bank_date <= last.isoformat())
    paid = _payments(conn, route, _P.first_write_ms.between(_start_ms(begun, route), _start_ms(last + _DAY, route) - 1))
    return _rows(conn, route, first, (paid, books.entries(conn, route.account, last), _lines(conn, dated)))


def named(conn: Connection, route: Route, ids: Collection[str]) -> AccountRows:
    """The rows of these ids that are still there, whatever their day."""
    def keys(prefix: str) -> list[str]:
        return sorted(id.removeprefix(prefix) for id in ids if id.startswith(prefix))

    account = _E.account_idx == vault_of(conn).blind(route.account)
    paid = [row for some in accounts.pieces(keys(_PAYMENT)) for row in _payments(conn, route, _P.payment.in_(some))]
    booked = [one for some in accounts.pieces(keys(_BOOK)) for one in books.entries_of(conn, route.account, some)]
    lines = [row for some in accounts.pieces(keys(_LINE)) for row in _lines(conn, and_(account, _E.entry.in_(some)))]
    return _rows(conn, route, date.min, (paid, booked, lines))


_Found = tuple[Sequence[PaymentRow], Sequence[BookEntry], Sequence[Any]]


def _rows(conn: Connection, route: Route, first: date, found: _Found) -> AccountRows:
    paid, booked, entries = found
    about = {f"{_PAYMENT}{row.payment}": f"{row.sender}:{row.order.id}" for row in paid}
    for one in booked:
        about[f"{_BOOK}{one.id}"] = " ".join(filter(None, (one.voucher, one.settlement, one.text)))
    orders: dict[str, set[str]] = {}
    for row in paid:
        for word in (row.order.id, f"{row.sender}:{row.order.id}"):
            orders.setdefault(word, set()).add(_order_code(row))
    lines, late, approved = [], set[str](), balance_tables.approvals(conn, route.account)
    latest_ms = max(approved.values(), default=0)
    for row in entries:
        line, text = _line(conn, row, route)
        lines.append(line)
        about[line.id] = " ".join(filter(None, (row.bank_line_id, text)))
        if row.bank_date[:7] <= max(approved, default="") and row.seen_ms > approved.get(row.bank_date[:7], latest_ms):
            late.add(line.id)
    return AccountRows(
        first, tuple(_payment(row, route) for row in paid), tuple(_book_row(one, route, orders) for one in booked),
        tuple(lines), about, frozenset(late), payers(conn, paid),
    )  # fmt: skip


def _payments(conn: Connection, route: Route, where: ColumnElement[bool]) -> list[PaymentRow]:
    vault = vault_of(conn)
    own = case((_P.kind == Kind.COLLECTION.value, _P.creditor_idx), else_=_P.debtor_idx)
    statement = select(schema.payments).where(
        where, own == vault.blind(route.account), _P.state.in_([state.value for state in _BOOKABLE]),
        _P.first_write_ms.is_not(None),
    )  # fmt: skip
    return [payment_rows.read(row, vault) for row in conn.execute(statement)]


def payers(conn: Connection, paid: Sequence[PaymentRow]) -> frozenset[str]:
    """The persons who made these payments, by the word of their senders, or approved one of them."""
    found = {row.order.maker for row in paid if row.order.maker is not None}
    for sender in {row.sender for row in paid}:
        subjects = {word for row in paid if row.sender == sender for word in (row.order.id, row.batch) if word}
        for some in accounts.pieces(sorted(subjects)):
            found.update(conn.execute(
                select(_A.person).join(schema.approval_requests, _Q.request == _A.request)
                .where(_Q.sender == sender, _Q.subject.in_(some))
            ).scalars())  # fmt: skip
    return frozenset(found)


def _start_ms(day: date, route: Route) -> int:
    return int(datetime.combine(day, time(0, 0), ZoneInfo(route.limits.hours.zone)).timestamp() * 1000)


def _day(row: PaymentRow, route: Route) -> date:
    return local(route.limits.hours, row.life.first_write_ms or row.accepted_ms).date()


def _order_code(row: PaymentRow) -> str:
    # Two senders may use the same id.
    return f"order:{row.sender}:{row.order.id}"


def _payment(row: PaymentRow, route: Route) -> MatchRow:
    order = row.order
    codes = {f"reference:{row.bank_ref}", _order_code(row)}
    if row.batch:
        codes.add(f"{BATCH}{row.sender}:{row.batch}")
    serials = frozenset({f"serial:{row.bank_serial}"}) if row.bank_serial else frozenset[str]()
    direction = Direction.CREDIT if order.kind is Kind.COLLECTION else Direction.DEBIT
    return MatchRow(
        f"{_PAYMENT}{row.payment}", route.account, direction, order.amount.minor, order.amount.currency,
        _day(row, route), order.theirs.account.clear, plain_name(order.theirs.name.clear), frozenset(codes), serials,
    )  # fmt: skip


def _book_row(one: BookEntry, route: Route, orders: Mapping[str, set[str]]) -> MatchRow:
    words = {word for word in (one.reference, one.settlement) if word}
    codes = frozenset[str]().union(*(orders.get(word, ()) for word in words))
    numbers = {digits for word in words for digits in re.findall("[0-9]{4,}", word)}
    return MatchRow(
        f"{_BOOK}{one.id}", route.account, one.direction, one.amount_minor, route.currency, one.day, one.party,
        plain_name(one.party_name), codes, frozenset({f"serial:{one.settlement}"} if one.settlement else ()),
        frozenset(numbers),
    )  # fmt: skip


def _lines(conn: Connection, where: ColumnElement[bool]) -> Sequence[Any]:
    return conn.execute(select(schema.statement_entries).where(where).order_by(_E.bank_date, _E.entry)).all()


def _line(conn: Connection, row: Any, route: Route) -> tuple[MatchRow, str]:
    """An entry, and its text."""
    vault = vault_of(conn)
    text = vault.open(row.body, b"statement_entries/" + row.line.encode()).decode()
    detail = accounts.detail_of(vault, row.line, row.detail)
    reference = detail.get("reference")
    serial = frozenset({f"serial:{row.bank_line_id}"}) if row.bank_line_id else frozenset[str]()
    return MatchRow(
        f"{_LINE}{row.entry}", route.account, Direction(row.direction), row.amount_minor, row.currency,
        date.fromisoformat(row.bank_date), detail.get("party", ""), plain_name(detail.get("party_name", "")),
        frozenset({f"reference:{reference}"}) if reference else frozenset(), serial, text=text,
        reversal=bool(_REVERSAL.search(text)), fee=bool(detail.get("fee")),
    ), text  # fmt: skip


def as_shadows(rows: tuple[MatchRow, ...]) -> list[MatchRow]:
    """Book rows as the matching of payments sees them."""
    return [replace(row, shadow=True) for row in rows]


def month_start(last: date) -> date:
    """The first of the month before: where a reconciliation without a book begins."""
    return (last.replace(day=1) - timedelta(days=1)).replace(day=1)
