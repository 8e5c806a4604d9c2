"""Reads one account's payments, book rows and statement entries in the form that the matching takes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Connection, and_, func, select

from gateway.kernel.commit import payment_rows
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows.own_accounts import own_payments
from gateway.reconciliation.rows import balance_tables, books
from gateway.reconciliation.rows.books import BookEntry, BookRow
from gateway.reconciliation.rules.rows import BATCH, MatchRow, plain_name
from gateway.register.match_terms import AccountTerms
from gateway.statements.rows import accounts
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.statement import Direction

_A, _Q = schema.approvals.c, schema.approval_requests.c
_E, _P = schema.statement_entries.c, schema.payments.c
_DAY = timedelta(days=1)
# Payments of which the bank may have booked something.
_BOOKABLE = (*accounts.UNCLEAR, State.SETTLED, State.RETURNED, State.REVERSED)
_BOOKED = and_(_P.state.in_([state.value for state in _BOOKABLE]), _P.first_write_ms.is_not(None))
DAY_MS = 86_400_000
_REVERSAL = re.compile("冲正|抹账|冲销|冲回")


PAYMENT, BOOK, LINE = "payment:", "book:", "line:"


@dataclass(frozen=True, slots=True)
class AccountRows:
    """The rows of one account from `first` up to a day. `about` has the text of each row for a person: voucher, text,
    order.

    The rows before `first` are included because later rows may belong to them; no result is reported about them. `late`
    are entries of an approved month that were not there when it was approved. `payers` are the persons who made or
    approved these payments.
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
        """All rows of both sides by their id."""
        return {row.id: row for row in (*self.payments, *self.book, *self.lines)}


@dataclass(frozen=True, slots=True)
class AccountSpan:
    """The days of a reconciliation: it reports `first` to `last`, and rows from `begun` on are candidates."""

    begun: date
    first: date
    last: date


def span_of(in_force: Iterable[BookRow], last: date, terms: AccountTerms) -> AccountSpan:
    """The span from the first day of the first book in force; without a book, from the month before `last`."""
    first = min((one.head.first for one in in_force if one.head.first <= last), default=month_start(last))
    return AccountSpan(first - timedelta(days=max(terms.payments.far_days, terms.book.far_days)), first, last)


def rows_of_span(conn: Connection, route: Route, span: AccountSpan) -> AccountRows:
    """All rows of the span."""
    found = payments(conn, route, span), books.entries(conn, route.account, span.last), lines(conn, route, span)
    return _rows(conn, route, span.first, found)


def named(conn: Connection, route: Route, ids: Collection[str]) -> AccountRows:
    """The rows with these ids that still exist, of any day."""

    def keys(prefix: str) -> list[str]:
        return sorted(id.removeprefix(prefix) for id in ids if id.startswith(prefix))

    account = _E.account_idx == vault_of(conn).blind(route.account)
    paid = [row for some in accounts.pieces(keys(PAYMENT)) for row in _payments(conn, route, _P.payment.in_(some))]
    booked = [one for some in accounts.pieces(keys(BOOK)) for one in books.entries_of(conn, route.account, some)]
    lines = [row for some in accounts.pieces(keys(LINE)) for row in _lines(conn, and_(account, _E.entry.in_(some)))]
    return _rows(conn, route, date.min, (paid, booked, lines))


def payments(
    conn: Connection, route: Route, span: AccountSpan, days: Collection[int] | None = None
) -> list[PaymentRow]:
    """The payments of a span; with `days`, those of these days of UTC (see `payment_days`)."""
    within = _P.first_write_ms.between(_start_ms(span.begun, route), _start_ms(span.last + _DAY, route) - 1)
    if days is None:
        return _payments(conn, route, within)
    found: list[PaymentRow] = []
    for start, end in _runs(days):
        found += _payments(conn, route, and_(within, _P.first_write_ms.between(start * DAY_MS, end * DAY_MS - 1)))
    return found


def _runs(days: Collection[int]) -> list[tuple[int, int]]:
    """Days as half-open runs of neighbours."""
    found: list[tuple[int, int]] = []
    for day in sorted(days):
        if found and found[-1][1] == day:
            found[-1] = found[-1][0], day + 1
        else:
            found.append((day, day + 1))
    return found


def lines(conn: Connection, route: Route, span: AccountSpan, days: Collection[str] | None = None) -> list[Any]:
    """The table's rows of a span's entries; with `days`, those of these bank dates."""
    account = _E.account_idx == vault_of(conn).blind(route.account)
    if days is None:
        dated = _E.bank_date.between(span.begun.isoformat(), span.last.isoformat())
        return list(_lines(conn, and_(account, dated)))
    return [
        row for some in accounts.pieces(sorted(days)) for row in _lines(conn, and_(account, _E.bank_date.in_(some)))
    ]


DaySum = tuple[int | str, ...]
"""A value that differs once a row of the day has come, gone or changed."""


def payment_days(conn: Connection, route: Route, span: AccountSpan) -> dict[int, DaySum]:
    """The span's payments by day of UTC: how many, and a hash over their keys and versions. Nothing sealed is read.

    A sum of versions is not enough: if one payment arrived and another one failed, the sum could stay the same.
    """
    within = _P.first_write_ms.between(_start_ms(span.begun, route), _start_ms(span.last + _DAY, route) - 1)
    there: dict[int, set[tuple[str, int]]] = {}
    for own in own_payments([vault_of(conn).blind(route.account)]):
        statement = select(_P.first_write_ms, _P.payment, _P.version).where(own, within, _BOOKED)
        for at_ms, payment, version in conn.execute(statement):
            there.setdefault(at_ms // DAY_MS, set()).add((payment, version))
    return {day: (len(some), hash(frozenset(some))) for day, some in there.items()}


def line_days(conn: Connection, route: Route, span: AccountSpan) -> dict[str, DaySum]:
    """The span's entries by bank date: how many, how many with details, and the newest. Entries are never changed."""
    index = vault_of(conn).blind(route.account)
    statement = (
        select(_E.bank_date, func.count(), func.count(_E.detail), func.max(_E.entry))
        .where(_E.account_idx == index, _E.bank_date.between(span.begun.isoformat(), span.last.isoformat()))
        .group_by(_E.bank_date)
    )
    return {row[0]: (int(row[1]), int(row[2]), row[3]) for row in conn.execute(statement)}


_Found = tuple[Sequence[PaymentRow], Sequence[BookEntry], Sequence[Any]]


def _rows(conn: Connection, route: Route, first: date, found: _Found) -> AccountRows:
    paid, booked, entries = found
    about = {f"{PAYMENT}{row.payment}": about_payment(row) for row in paid}
    about.update({f"{BOOK}{one.id}": about_book_row(one) for one in booked})
    orders: dict[str, set[str]] = {}
    for row in paid:
        for word in order_words(row):
            orders.setdefault(word, set()).add(order_code(row))
    lines, late, approved = [], set[str](), balance_tables.approvals(conn, route.account)
    for row in entries:
        line, about[f"{LINE}{row.entry}"] = line_row(conn, row, route)
        lines.append(line)
        if is_late(approved, row.bank_date, row.seen_ms):
            late.add(line.id)
    return AccountRows(
        first,
        tuple(payment_row(row, route) for row in paid),
        tuple(book_row(one, route, orders) for one in booked),
        tuple(lines),
        about,
        frozenset(late),
        payers(conn, paid),
    )


def is_late(approved: Mapping[str, int], bank_date: str, seen_ms: int) -> bool:
    """True if the entry was first seen after its month was approved. `approved` has the time of approval by month."""
    if not approved or bank_date[:7] > max(approved):
        return False
    return seen_ms > approved.get(bank_date[:7], max(approved.values()))


def _payments(conn: Connection, route: Route, where: ColumnElement[bool]) -> list[PaymentRow]:
    vault = vault_of(conn)
    return [
        payment_rows.decode_row(row, vault)
        for own in own_payments([vault.blind(route.account)])
        for row in conn.execute(select(schema.payments).where(where, own, _BOOKED))
    ]


def payers(conn: Connection, paid: Sequence[PaymentRow]) -> frozenset[str]:
    """The persons who made or approved one of these payments; makers have the names that the senders use."""
    found = {row.order.maker for row in paid if row.order.maker is not None}
    for sender in {row.sender for row in paid}:
        subjects = {word for row in paid if row.sender == sender for word in (row.order.id, row.batch) if word}
        for some in accounts.pieces(sorted(subjects)):
            found.update(
                conn.execute(
                    select(_A.person)
                    .join(schema.approval_requests, _Q.request == _A.request)
                    .where(_Q.sender == sender, _Q.subject.in_(some))
                ).scalars()
            )
    return frozenset(found)


def _start_ms(day: date, route: Route) -> int:
    return int(datetime.combine(day, time(0, 0), ZoneInfo(route.limits.hours.zone)).timestamp() * 1000)


def _day(row: PaymentRow, route: Route) -> date:
    return local(route.limits.hours, row.life.first_write_ms or row.accepted_ms).date()


def order_words(row: PaymentRow) -> tuple[str, str]:
    """The words of a book row's text that may name a payment's order."""
    return row.order.id, f"{row.sender}:{row.order.id}"


def order_code(row: PaymentRow) -> str:
    """The reconciliation code that stands for a payment's order: sender and id, because two senders may use the same
    id."""
    return f"order:{row.sender}:{row.order.id}"


def about_payment(row: PaymentRow) -> str:
    """The text about a payment for a person."""
    return f"{row.sender}:{row.order.id}"


def payment_row(row: PaymentRow, route: Route) -> MatchRow:
    """A payment in the form of the matching."""
    order = row.order
    codes = {f"reference:{row.bank_ref}", order_code(row)}
    if row.batch:
        codes.add(f"{BATCH}{row.sender}:{row.batch}")
    serials = frozenset({f"serial:{row.bank_serial}"}) if row.bank_serial else frozenset[str]()
    direction = Direction.CREDIT if order.kind is Kind.COLLECTION else Direction.DEBIT
    return MatchRow(
        f"{PAYMENT}{row.payment}",
        route.account,
        direction,
        order.amount.minor,
        order.amount.currency,
        _day(row, route),
        order.theirs.account.clear,
        plain_name(order.theirs.name.clear),
        frozenset(codes),
        serials,
    )


def about_book_row(one: BookEntry) -> str:
    """The text about a book row for a person."""
    return " ".join(filter(None, (one.voucher, one.settlement, one.text)))


def book_words(one: BookEntry) -> frozenset[str]:
    """The words of a book row that may name an order."""
    return frozenset(word for word in (one.reference, one.settlement) if word)


def book_row(one: BookEntry, route: Route, orders: Mapping[str, Iterable[str]]) -> MatchRow:
    """A book row in the form of the matching. `orders` has the codes of the orders that a word names."""
    words = book_words(one)
    codes = frozenset[str]().union(*(orders.get(word, ()) for word in words))
    numbers = {digits for word in words for digits in re.findall("[0-9]{4,}", word)}
    return MatchRow(
        f"{BOOK}{one.id}",
        route.account,
        one.direction,
        one.amount_minor,
        route.currency,
        one.day,
        one.party,
        plain_name(one.party_name),
        codes,
        frozenset({f"serial:{one.settlement}"} if one.settlement else ()),
        frozenset(numbers),
    )


def _lines(conn: Connection, where: ColumnElement[bool]) -> Sequence[Any]:
    return conn.execute(select(schema.statement_entries).where(where).order_by(_E.bank_date, _E.entry)).all()


def line_row(conn: Connection, row: Any, route: Route) -> tuple[MatchRow, str]:
    """An entry in the form of the matching, and its text for a person."""
    vault = vault_of(conn)
    text = vault.open(row.body, b"statement_entries/" + row.line.encode()).decode()
    detail = accounts.detail_of(vault, row.line, row.detail)
    reference = detail.get("reference")
    serial = frozenset({f"serial:{row.bank_line_id}"}) if row.bank_line_id else frozenset[str]()
    return MatchRow(
        f"{LINE}{row.entry}",
        route.account,
        Direction(row.direction),
        row.amount_minor,
        row.currency,
        date.fromisoformat(row.bank_date),
        detail.get("party", ""),
        plain_name(detail.get("party_name", "")),
        frozenset({f"reference:{reference}"}) if reference else frozenset(),
        serial,
        text=text,
        reversal=bool(detail.get("reversal")) or bool(_REVERSAL.search(text)),
        fee=bool(detail.get("fee")),
    ), " ".join(filter(None, (row.bank_line_id, text)))


def as_shadows(rows: tuple[MatchRow, ...]) -> list[MatchRow]:
    """Book rows for the matching of payments, where they only count as rivals of a payment's match."""
    return [replace(row, shadow=True) for row in rows]


def month_start(last: date) -> date:
    """The first of the month before: where a reconciliation without a book begins."""
    return (last.replace(day=1) - timedelta(days=1)).replace(day=1)
