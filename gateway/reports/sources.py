"""The rows of each report, read from the journal page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, and_, func, or_, select

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters
from gateway.payments.rows.own_accounts import own_payments
from gateway.people.rules.scopes import Scope
from gateway.register.match_terms import DEFAULT_ACCOUNT_TERMS, AccountTerms
from gateway.reports.table import TableRow
from gateway.statements.rows import accounts
from gateway.statements.rules.statement_jobs import statement_job
from protocols.canon.money import Money
from protocols.canon.outcome import STATE_TABLE, State
from protocols.canon.statement import Direction

PAGE_ROWS = 2_000
NOT_SENT_YET = (State.ACCEPTED, State.HELD, State.READY)
_E = schema.statement_entries.c
_P = schema.payments.c
_J = schema.jobs.c


class TextShown(Protocol):
    """Writes a bank's or an ERP's text, masked or not."""

    def __call__(self, text: str, *names: str) -> str:
        """The text; `names` are the names that may be in it and have to be masked."""


@dataclass(frozen=True, slots=True)
class ReportQuestion:
    """The subject of a report: own accounts, and days in a zone, both ends included.

    `shown`, `name_shown` and `text_shown` write account numbers, names and texts, masked or not.

    `scope` is the scope of the person who asks; `watched` are the accounts whose statements are expected.
    `certificates` have the time in seconds when they end, by bank and role. `most_rows` is how many rows are read for a
    page.
    """

    routes: Sequence[Route]
    scope: Scope
    first: date
    last: date
    zone: ZoneInfo
    now_ms: int
    shown: Callable[[str], str]
    name_shown: Callable[[str], str]
    text_shown: TextShown
    watched: frozenset[str] = frozenset()
    bank: str | None = None
    terms: AccountTerms = DEFAULT_ACCOUNT_TERMS
    certificates: Mapping[tuple[str, str], float] = field(default_factory=dict)
    most_rows: int = PAGE_ROWS

    @property
    def from_ms(self) -> int:
        """The period's first millisecond."""
        return _start_ms(self.first, self.zone)

    @property
    def before_ms(self) -> int:
        """The first millisecond after the period."""
        return _start_ms(self.last + timedelta(days=1), self.zone)

    def moment(self, at_ms: int | None) -> str | None:
        """A moment as local time."""
        if at_ms is None:
            return None
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Some rows; `after` asks for the next ones, None if these were the last."""

    rows: list[TableRow]
    after: str | None = None


RowSource = Callable[[Connection, ReportQuestion, str | None], ReportPage]


def balances(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row an own account, with the last balance from the bank."""
    rows: list[TableRow] = []
    heard_of = accounts.balances_of(conn, [route.account for route in asked.routes])
    for route in asked.routes:
        told = heard_of.get(route.account)
        balance = told.balance if told is not None and told.currency == route.currency else None
        as_of = None if balance is None else balance.as_of
        heard = None if told is None else asked.moment(told.seen_ms)
        rows.append(
            {
                **account_row(route, asked),
                "book": None if balance is None else _minor(balance.book),
                "available": None if balance is None else _minor(balance.available),
                "frozen": None if balance is None else _minor(balance.frozen),
                "as_of": heard if as_of is None else asked.moment(int(as_of.timestamp() * 1000)),
                "note": _note(route, asked, told is not None),
            }
        )
    return ReportPage(rows)


def positions(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row for each company, bank and currency: the sum of the last stated balances. Amounts not sent yet, and
    amounts in doubt, have columns of their own."""
    numbers = [route.account for route in asked.routes]
    waiting, doubtful = accounts.unclear(conn, numbers, NOT_SENT_YET), accounts.unclear(conn, numbers)
    told = accounts.balances_of(conn, numbers)
    sums: dict[tuple[str, str, str], dict[str, int]] = {}
    oldest: dict[tuple[str, str, str], int] = {}
    for route in asked.routes:
        key = route.company, route.bank, route.currency
        one = sums.setdefault(key, dict.fromkeys(("accounts", "heard", "under_way", "in_doubt"), 0))
        one["accounts"] += 1
        one["under_way"] += waiting.get(route.account, (0, 0))[1]
        one["in_doubt"] += doubtful.get(route.account, (0, 0))[1]
        kept = told.get(route.account)
        if kept is None or kept.currency != route.currency:
            continue
        one["heard"] += 1
        oldest[key] = min(oldest.get(key, kept.seen_ms), kept.seen_ms)
        for name, money in (("book", kept.balance.book), ("available", kept.balance.available)):
            if money is not None:
                one[name] = one.get(name, 0) + money.minor
    return ReportPage(
        [
            {
                "company": company,
                "bank": bank,
                "currency": currency,
                **one,
                "as_of": asked.moment(oldest.get((company, bank, currency))),
            }
            for (company, bank, currency), one in sums.items()
        ]
    )


def daily(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row an own account for the last day of the period: opening, in, out, closing, not sent yet, in doubt."""
    numbers = [route.account for route in asked.routes]
    waiting = accounts.unclear(conn, numbers, NOT_SENT_YET)
    doubtful = accounts.unclear(conn, numbers)
    moved, told = _moved(conn, numbers, asked.last), accounts.balances_of(conn, numbers)
    closings = accounts.closings_of(conn, numbers, asked.last)
    openings = accounts.closings_of(conn, numbers, asked.last - timedelta(days=1))
    is_today = asked.last == datetime.fromtimestamp(asked.now_ms / 1000, UTC).astimezone(asked.zone).date()
    rows: list[TableRow] = []
    for route in asked.routes:
        closing, note = closings.get(route.account), ""
        if closing is None and is_today and (last := told.get(route.account)) is not None:
            closing = last.balance.book if last.currency == route.currency else None
        if closing is None:
            note = "not closed" if route.account in asked.watched else "not watched"
        opening = openings.get(route.account)
        credits_, credit = moved.get((route.account, Direction.CREDIT.value), (0, 0))
        debits, debit = moved.get((route.account, Direction.DEBIT.value), (0, 0))
        if opening is not None and closing is not None and opening.minor + credit - debit != closing.minor:
            note = "entries do not make the closing yet"
        rows.append(
            {
                **account_row(route, asked),
                "opening": _minor(opening),
                "credit": credit,
                "credits": credits_,
                "debit": debit,
                "debits": debits,
                "closing": _minor(closing),
                "under_way": waiting.get(route.account, (0, 0))[1],
                "in_doubt": doubtful.get(route.account, (0, 0))[1],
                "note": note,
            }
        )
    return ReportPage(rows)


def payments(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Payments accepted in the period, newest first."""
    filters = Filters(bank=asked.bank, from_ms=asked.from_ms, before_ms=asked.before_ms, inside=asked.scope)
    found = lookup.listing(conn, filters, asked.most_rows, after)
    own = {route.account for route in asked.routes}
    rows = [payment_row(row, asked) for row in found if row.order.ours.account.clear in own]
    return ReportPage(rows, found[-1].payment if len(found) == asked.most_rows else None)


@dataclass(frozen=True, slots=True)
class PeriodEntry:
    """A booked entry: its row, the `order_id` and `kind` of its payment, its own account, and its text."""

    row: Any
    route: Route
    text: str
    detail: Mapping[str, Any]


def period_entries(conn: Connection, asked: ReportQuestion, after: str | None) -> list[PeriodEntry]:
    """A page of entries of the period by bank date, beyond `after`."""
    vault = vault_of(conn)
    routes = {vault.blind(route.account): route for route in asked.routes}
    where = [
        _E.account_idx.in_(list(routes)),
        _E.bank_date >= asked.first.isoformat(),
        _E.bank_date <= asked.last.isoformat(),
    ]
    if after is not None:
        day, _, entry = after.partition("/")
        where.append(or_(_E.bank_date > day, and_(_E.bank_date == day, _E.entry > entry)))
    statement = (
        select(schema.statement_entries, _P.order_id, _P.kind, _P.debtor_idx, _P.creditor_idx)
        .select_from(schema.statement_entries.outerjoin(schema.payments, _P.payment == _E.matched_payment))
        .where(*where)
        .order_by(_E.bank_date, _E.entry)
        .limit(asked.most_rows)
    )
    return [
        PeriodEntry(
            row,
            routes[row.account_idx],
            vault.open(row.body, b"statement_entries/" + row.line.encode()).decode(),
            accounts.detail_of(vault, row.line, row.detail),
        )
        for row in conn.execute(statement)
    ]


def after_entries(found: Sequence[PeriodEntry], asked: ReportQuestion) -> str | None:
    """The place where the next page of entries begins; None after the last one."""
    last = found[-1].row if len(found) == asked.most_rows else None
    return None if last is None else f"{last.bank_date}/{last.entry}"


def entries(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """The entries of the period by bank date."""
    found = period_entries(conn, asked, after)
    rows: list[TableRow] = []
    for one in found:
        row, name = one.row, one.detail.get("party_name", "")
        rows.append(
            {
                **account_row(one.route, asked),
                "day": row.bank_date,
                "currency": row.currency,
                row.direction: row.amount_minor,
                "serial": row.bank_line_id,
                "text": asked.text_shown(one.text, name),
                "order": row.order_id,
                "party": asked.name_shown(name),
                "party_account": asked.shown(one.detail["party"]) if one.detail.get("party") else None,
            }
        )
    return ReportPage(rows, after_entries(found, asked))


@dataclass(slots=True)
class _Served:
    """The figures of one bank in one month: its payments, enquiries and statements."""

    states: dict[str, int]
    doubted: int
    took_s: list[int]
    doubt_s: list[int]


def bank_service(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row a bank and month of acceptance, compared with TARGETS and with the month before."""
    vault = vault_of(conn)
    before = asked.first.replace(day=1) - timedelta(days=1)
    earlier = replace(asked, first=before.replace(day=1))
    columns = (_P.bank, _P.state, _P.doubted, _P.accepted_ms, _P.first_write_ms, _P.changed_ms)
    accepted = and_(_P.accepted_ms >= earlier.from_ms, _P.accepted_ms < asked.before_ms)
    found = [
        row
        for own in own_payments([vault.blind(route.account) for route in asked.routes])
        for row in conn.execute(select(*columns).where(own, accepted))
    ]
    served: dict[tuple[str, str], _Served] = {}
    for row in found:
        month = datetime.fromtimestamp(row.accepted_ms / 1000, UTC).astimezone(asked.zone).strftime("%Y-%m")
        one = served.setdefault((month, row.bank), _Served({}, 0, [], []))
        one.states[row.state] = one.states.get(row.state, 0) + 1
        one.doubted += bool(row.doubted)
        if row.state == State.SETTLED.value and row.first_write_ms is not None:
            seconds = max(0, row.changed_ms - row.first_write_ms) // 1000
            (one.doubt_s if row.doubted else one.took_s).append(seconds)
    days = _statement_days(conn, earlier)
    made = {
        (month, bank): _served(month, bank, served.get((month, bank)), days.get((month, bank), (0, 0)))
        for month, bank in sorted(served.keys() | days.keys())
    }
    return ReportPage(
        [
            {**row, **_judged(row, made.get((_month_before(month), bank)))}
            for (month, bank), row in made.items()
            if month >= f"{asked.first:%Y-%m}"
        ]
    )


@dataclass(frozen=True, slots=True)
class ServiceTargets:
    """The targets for a bank's month. Percents are in hundredths."""

    p95_s: int = 300
    doubt: int = 100
    statements: int = 9_900


TARGETS = ServiceTargets()


def _judged(row: TableRow, before: TableRow | None) -> TableRow:
    """The targets that a bank's month misses, and its change from the month before."""
    p95_s, doubt, due, arrived = (row.get(key) for key in ("p95_s", "doubt_share", "days_expected", "days_arrived"))
    missed = [
        name
        for name, is_missed in (
            ("slow", isinstance(p95_s, int) and p95_s > TARGETS.p95_s),
            ("doubt", isinstance(doubt, int) and doubt > TARGETS.doubt),
            (
                "statements",
                isinstance(due, int) and isinstance(arrived, int) and arrived * 10_000 < due * TARGETS.statements,
            ),
        )
        if is_missed
    ]
    found = ", ".join(missed) if missed else "met" if row.get("payments") or due else ""
    return {
        "targets": found,
        "p95_drift": _drift(row, before, "p95_s"),
        "doubt_drift": _drift(row, before, "doubt_share"),
    }


def _drift(row: TableRow, before: TableRow | None, key: str) -> int | None:
    """The growth of a figure in hundredths of a percent; None without a figure to compare with."""
    now, was = row.get(key), None if before is None else before.get(key)
    return (now - was) * 10_000 // was if isinstance(now, int) and isinstance(was, int) and was else None


def _month_before(month: str) -> str:
    return f"{date.fromisoformat(f'{month}-01') - timedelta(days=1):%Y-%m}"


def _start_ms(day: date, zone: ZoneInfo) -> int:
    return int(datetime.combine(day, time(0, 0), zone).timestamp() * 1000)


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def account_row(route: Route, asked: ReportQuestion) -> dict[str, str | int | None]:
    """The fields of an own account in reports."""
    return {
        "company": route.company,
        "bank": route.bank,
        "account": asked.shown(route.account),
        "holder": asked.name_shown(route.holder),
        "currency": route.currency,
    }


def _note(route: Route, asked: ReportQuestion, heard: bool) -> str:
    if route.account not in asked.watched:
        return "not watched"
    return "" if heard else "watched, not heard of yet"


def _moved(conn: Connection, numbers: Sequence[str], day: date) -> dict[tuple[str, str], tuple[int, int]]:
    """Count and sum of a day's entries by account and direction."""
    vault = vault_of(conn)
    names = {vault.blind(number): number for number in numbers}
    statement = (
        select(_E.account_idx, _E.direction, func.count(), func.sum(_E.amount_minor))
        .where(_E.account_idx.in_(list(names)), _E.bank_date == day.isoformat())
        .group_by(_E.account_idx, _E.direction)
    )
    return {(names[row[0]], row[1]): (int(row[2]), int(row[3])) for row in conn.execute(statement)}


def payment_row(row: PaymentRow, asked: ReportQuestion) -> TableRow:
    """The fields of a payment in reports."""
    order, state = row.order, row.life.state
    text = asked.text_shown(row.bank_text or "", order.theirs.name.clear)
    reason = " ".join(part for part in (row.bank_code, text) if part) or ", ".join(row.holds) or None
    if row.refusal is not None:
        reason = row.refusal.code.value
    return {
        "accepted": asked.moment(row.accepted_ms),
        "sender": row.sender,
        "order": order.id,
        "kind": order.kind.value,
        "company": row.company,
        "bank": row.bank,
        "account": asked.shown(order.ours.account.clear),
        "payee": asked.name_shown(order.theirs.name.clear),
        "payee_account": asked.shown(order.theirs.account.clear),
        "currency": order.amount.currency,
        "amount": order.amount.minor,
        "state": state.value,
        "reason": reason,
        "exception": exception_of(state, asked.now_ms - row.changed_ms),
        "reference": row.bank_ref,
        "serial": row.bank_serial,
        "sent": asked.moment(row.life.first_write_ms),
        "changed": asked.moment(row.changed_ms),
    }


_EXCEPTIONS = {
    State.ESCALATED: "a person decides",
    State.FAILED: "failed",
    State.RETURNED: "came back",
    State.REVERSED: "came back",
    State.HELD: "waits for release",
    State.EXPIRED: "expired",
}
_SLOW_MS = 86_400_000


def exception_of(state: State, since_ms: int) -> str:
    """The reason why a payment in this state for so long is an exception; "" if it is none."""
    if state is State.IN_DOUBT:
        return next(word for most_ms, word in DOUBT_AGES if since_ms < most_ms)
    if state in _EXCEPTIONS:
        return _EXCEPTIONS[state]
    return "" if STATE_TABLE[state].final or since_ms < _SLOW_MS else "no outcome for a day"


DOUBT_AGES = ((3_600_000, "in doubt, under 1 h"), (_SLOW_MS, "in doubt, under 1 day"), (1 << 62, "in doubt, longer"))


def _served(month: str, bank: str, one: _Served | None, days: tuple[int, int]) -> TableRow:
    one = one or _Served({}, 0, [], [])
    count = sum(one.states.values())
    over = sum(number for state, number in one.states.items() if STATE_TABLE[State(state)].final)
    came_back = sum(one.states.get(state.value, 0) for state in (State.RETURNED, State.REVERSED))
    took = sorted(one.took_s + one.doubt_s)
    return {
        "month": month,
        "bank": bank,
        "payments": count,
        "settled": one.states.get(State.SETTLED.value, 0),
        "failed": one.states.get(State.FAILED.value, 0),
        "returned": came_back,
        "doubted": one.doubted,
        "open": count - over,
        "doubt_share": one.doubted * 10_000 // count if count else None,
        "median_s": _quantile(took, 50),
        "p95_s": _quantile(took, 95),
        "doubt_p95_s": _quantile(sorted(one.doubt_s), 95),
        "days_expected": days[0],
        "days_arrived": days[1],
    }


def _quantile(ordered: Sequence[int], percent: int) -> int | None:
    """The smallest value that at least this percentage of the values do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else None


def _statement_days(conn: Connection, asked: ReportQuestion) -> dict[tuple[str, str], tuple[int, int]]:
    """The days of these accounts whose statement was begun, and those that arrived, by month and bank."""
    jobs = [statement_job(route.account) for route in asked.routes if route.account in asked.watched]
    columns = select(_J.bank, _J.business_date, _J.finished_ms).where(
        _J.business_date >= asked.first.isoformat(), _J.business_date <= asked.last.isoformat()
    )
    days = [row for some in accounts.pieces(jobs) for row in conn.execute(columns.where(_J.job.in_(some)))]
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for bank, day, finished_ms in days:
        due, arrived = found.get((day[:7], bank), (0, 0))
        found[day[:7], bank] = (due + 1, arrived + (finished_ms is not None))
    return found
