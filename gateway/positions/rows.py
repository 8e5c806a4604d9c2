"""Positions as the journal knows them, read for many accounts in few queries. No bank is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Connection, func, literal_column, select

from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.positions.rules import NOTHING, AccountPosition, Counted, DayForecast
from gateway.register.position_terms import PositionTerms, RegisteredAccount
from gateway.statements.rows import accounts, closed_days
from gateway.statements.rows.accounts import UNCLEAR
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import State

WAITING = (State.ACCEPTED, State.HELD, State.READY)
UNDER_WAY = (State.SENDING, State.PENDING)
BANK, CLOSED, OPENING = "bank", "closed day", "opening balance"
_DAY_MS = 86_400_000
_P = schema.payments.c
_UNREGISTERED = RegisteredAccount("", "general")


@dataclass(frozen=True, slots=True)
class PositionQuestion:
    """The accounts of the question, its day (None: now), and the number of days of known future payments."""

    routes: Sequence[Route]
    terms: PositionTerms
    zone: ZoneInfo
    now_ms: int
    as_of: date | None = None
    forecast_days: int = 7
    watched: frozenset[str] = frozenset()

    @property
    def today(self) -> date:
        """The day of `now_ms`."""
        return datetime.fromtimestamp(self.now_ms / 1000, UTC).astimezone(self.zone).date()

    @property
    def day(self) -> date:
        """The day as of which the positions are."""
        return self.today if self.as_of is None else self.as_of


def positions(conn: Connection, asked: PositionQuestion) -> list[AccountPosition]:
    """The position of each account, in the order of the routes."""
    numbers = [route.account for route in asked.routes]
    closings = closed_days.last_closings(conn, numbers, asked.day)
    if asked.day < asked.today:
        return [_past(route, asked, closings) for route in asked.routes]
    told, sums = accounts.balances_of(conn, numbers), _open_sums(conn, numbers)
    ahead, found = _forecasts(conn, asked), []
    for route in asked.routes:
        mine = sums.get(route.account, {})
        one = _past(route, asked, closings)
        kept = told.get(route.account)
        # A balance in a currency that the account had before a change of the settings says nothing.
        if kept is not None and kept.currency == route.currency:
            book, available = kept.balance.book, kept.balance.available
            stated = book if book is not None else available
            if stated is not None:
                at = kept.balance.as_of
                one = AccountPosition(
                    route,
                    one.registered,
                    stated.minor,
                    None if available is None else available.minor,
                    BANK,
                    kept.seen_ms if at is None else int(at.timestamp() * 1000),
                )
        found.append(
            AccountPosition(
                route,
                one.registered,
                one.balance_minor,
                one.available_minor,
                one.source,
                one.as_of_ms,
                one.as_of_day,
                _sum(mine, WAITING),
                _sum(mine, UNDER_WAY),
                _sum(mine, (State.IN_DOUBT, State.ESCALATED)),
                ahead.get(route.account, ()),
                _note(route, asked, bool(one.source)),
            )
        )
    return found


def _past(route: Route, asked: PositionQuestion, closings: Mapping[str, tuple[date, Money]]) -> AccountPosition:
    """The balance at the end of a past day: that of the last closed day, or the register's opening balance before there
    is one."""
    registered = asked.terms.accounts.get(route.account, _UNREGISTERED)
    closed = closings.get(route.account)
    if closed is not None and closed[1].currency == route.currency:
        return AccountPosition(route, registered, closed[1].minor, None, CLOSED, None, closed[0])
    opening = registered.opening
    if opening is not None and opening[0] <= asked.day:
        return AccountPosition(route, registered, opening[1].minor, None, OPENING, None, opening[0])
    return AccountPosition(route, registered, note="no balance is known of that day")


def _note(route: Route, asked: PositionQuestion, known: bool) -> str:
    if route.account not in asked.watched:
        return "not watched"
    return "" if known else "not heard of yet"


def _sum(found: Mapping[str, Counted], states: Sequence[State]) -> Counted:
    some = [found.get(state.value, NOTHING) for state in states]
    return sum(one[0] for one in some), sum(one[1] for one in some)


def _open_sums(conn: Connection, numbers: Sequence[str]) -> dict[str, dict[str, Counted]]:
    """Count and sum of the accounts' open payments, by state. A collection is left out, because it takes nothing off
    the account."""
    vault = vault_of(conn)
    names = {vault.blind(account): account for account in numbers}
    states = [state.value for state in (*WAITING, *UNCLEAR)]
    statement = (
        select(_P.debtor_idx, _P.state, func.count(), func.sum(_P.amount_minor))
        # The lanes are named so that the index over lane and state is used.
        .where(_P.lane.in_(select(schema.lanes.c.lane)), _P.state.in_(states), _P.kind != Kind.COLLECTION.value)
        .group_by(_P.debtor_idx, _P.state)
    )
    found: dict[str, dict[str, Counted]] = {}
    for own, state, count, minor in conn.execute(statement):
        if own in names:
            found.setdefault(names[own], {})[state] = int(count), int(minor)
    return found


def _forecasts(conn: Connection, asked: PositionQuestion) -> dict[str, list[DayForecast]]:
    """Payments that are accepted and not sent, by the day from which they may be sent."""
    vault, until = vault_of(conn), asked.today + timedelta(days=asked.forecast_days)
    names = {vault.blind(route.account): route.account for route in asked.routes}
    offset = datetime.fromtimestamp(asked.now_ms / 1000, UTC).astimezone(asked.zone).utcoffset() or timedelta()
    # As literals: with bound values, PostgreSQL takes the selected and the grouped expression for two different ones.
    ahead_ms, day_ms = (literal_column(str(ms), BigInteger) for ms in (int(offset.total_seconds() * 1000), _DAY_MS))
    day = (_P.send_after_ms + ahead_ms) // day_ms
    statement = (
        select(_P.debtor_idx, _P.creditor_idx, day, func.sum(_P.amount_minor))
        .where(_P.lane.in_(select(schema.lanes.c.lane)), _P.state.in_([state.value for state in WAITING]))
        .group_by(_P.debtor_idx, _P.creditor_idx, day)
    )
    sums: dict[str, dict[date, list[int]]] = {}
    for debtor, creditor, number, minor in conn.execute(statement):
        due = asked.today if number is None else max(asked.today, date(1970, 1, 1) + timedelta(days=int(number)))
        if due <= until:
            for place, index in enumerate((debtor, creditor)):
                if index in names:
                    sums.setdefault(names[index], {}).setdefault(due, [0, 0])[place] += int(minor)
    return {account: [DayForecast(due, *both) for due, both in sorted(days.items())] for account, days in sums.items()}


def history(conn: Connection, asked: PositionQuestion, days: int) -> list[tuple[date, str, int, int]]:
    """The totals of the last `days` days by currency: day, currency, sum of the balances, number of accounts.

    A closing balance is carried on until the next closed day; before the first one the opening balance counts.
    """
    first = asked.day - timedelta(days=days - 1)
    numbers = [route.account for route in asked.routes]
    before = closed_days.last_closings(conn, numbers, first - timedelta(days=1))
    closings = closed_days.closings_between(conn, numbers, first, asked.day)
    sums: dict[tuple[date, str], list[int]] = {}
    for route in asked.routes:
        opening = asked.terms.accounts.get(route.account, _UNREGISTERED).opening
        last = before.get(route.account)
        known = None if last is None else last[1].minor
        mine = closings.get(route.account, {})
        for place in range(days):
            day = first + timedelta(days=place)
            if day in mine:
                known = mine[day].minor
            elif known is None and opening is not None and opening[0] <= day:
                known = opening[1].minor
            one = sums.setdefault((day, route.currency), [0, 0])
            one[0] += known or 0
            one[1] += known is not None
    return [(day, currency, minor, known) for (day, currency), (minor, known) in sorted(sums.items())]
