"""The verb `GET /today`: each own account's balance, entries, missing statements and payments in doubt, with totals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, select

from gateway import guarded_journal
from gateway.act_ports import Accounts, NodePort
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.statements.acts import ALL_BANKS, ViewToday
from gateway.statements.rows import accounts
from gateway.statements.rows.accounts import BalanceRow
from gateway.statements.rules.statement_jobs import DAYS_BACK, statement_job
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

NOT_WATCHED = "not watched: `watch = false` stands in the account register"
UNHEARD = "watched, not heard of yet"
_JOBS = schema.jobs.c


@dataclass(frozen=True, slots=True)
class OwnAccountDay:
    """An own account: whether it is watched, and the day at its bank, by the date that the bank's answers state. A
    cut-off time does not end that day."""

    route: Route
    watched: bool
    day: date


@dataclass(frozen=True, slots=True)
class AccountToday:
    """The figures that the journal has of one account. `days` are the days whose statement was begun, each with whether
    it arrived.

    `unclear` counts the payments whose outcome is unknown, with their sum in minor units.
    """

    own: OwnAccountDay
    told: BalanceRow | None
    entries: int
    days: Mapping[date, bool]
    unclear: tuple[int, int]

    @property
    def is_expected(self) -> bool:
        """True once the account was looked at; before that, no statement is missing."""
        return self.own.watched and (self.told is not None or bool(self.days))

    @property
    def missing(self) -> tuple[date, ...]:
        """Past days whose statement did not arrive, oldest first. Yesterday counts from the first look at the account
        on.
        """
        if not self.is_expected:
            return ()
        yesterday = self.own.day - timedelta(days=1)
        return tuple(sorted(day for day, arrived in {yesterday: False, **self.days}.items() if not arrived))


def read_accounts(conn: Connection, own: Sequence[OwnAccountDay]) -> list[AccountToday]:
    """Read the figures of these accounts from the journal, in the order of `own`."""
    unclear = accounts.unclear(conn, [one.route.account for one in own])
    days = _days(conn, own)
    return [
        AccountToday(
            one,
            accounts.balance_of(conn, one.route.account),
            accounts.entries_on(conn, one.route.account, one.day),
            days.get((statement_job(one.route.account), one.route.bank), {}),
            unclear.get(one.route.account, (0, 0)),
        )
        for one in own
    ]


def _days(conn: Connection, own: Sequence[OwnAccountDay]) -> dict[tuple[str, str], dict[date, bool]]:
    """The days before today whose statement was begun, by job and bank, each with whether the statement arrived."""
    today = {(statement_job(one.route.account), one.route.bank): one.day for one in own if one.watched}
    if not today:
        return {}
    first = min(today.values()) - timedelta(days=DAYS_BACK)
    statement = select(_JOBS.job, _JOBS.bank, _JOBS.business_date, _JOBS.finished_ms).where(
        _JOBS.business_date >= first.isoformat(), _JOBS.job.like("statement:%")
    )
    found: dict[tuple[str, str], dict[date, bool]] = {}
    for job, bank, text, finished_ms in conn.execute(statement):
        until, day = today.get((job, bank)), date.fromisoformat(text)
        if until is not None and until - timedelta(days=DAYS_BACK) <= day < until:
            found.setdefault((job, bank), {})[day] = finished_ms is not None
    return found


@dataclass(slots=True)
class TodayAnswers:
    """Answers the acts about today. `ahead_days` says by how many days the date of a lane's bank is ahead of the
    calendar."""

    store: Store
    clock: Clock
    accounts: Accounts
    node: NodePort
    ahead_days: Callable[[str], int] = lambda _lane: 0
    _kept: dict[str, AccountToday] = field(default_factory=dict, init=False)
    _kept_ms: int = field(default=0, init=False)

    @answers("accounts.today")
    async def today(self, call: Call, params: ViewToday) -> Any:
        """Every own account, or those at one bank, with totals."""
        clear, wanted = params.clear, params.bank
        register = self.accounts()
        if wanted is not None and wanted not in register.banks:
            there = ", ".join(sorted(register.banks))
            raise Denied(404, "no_such_bank", f"there is no bank {wanted}; there are {there}")
        now_ms = self.clock.now_ms()
        own = [
            OwnAccountDay(route, number in register.watched, self._day(route, now_ms))
            for number, route in register.routes.items()
            if wanted in (None, route.bank) and call.scope.covers(route.company, route.account)
        ]
        own.sort(key=lambda one: (one.route.bank, one.route.currency, one.route.account))
        try:
            found = await self.store.read(lambda conn: read_accounts(conn, own))
        except Denied as error:
            if error.code != guarded_journal.AWAY or clear:
                raise  # the audit trail must record a look at unmasked numbers, and cannot do so now
            return self._from_memory(own)
        self._kept.update((one.own.route.account, one) for one in found)
        self._kept_ms = now_ms
        if clear:
            node, detail = self.node.identity["node"], {"accounts": len(own)}
            await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "accounts.shown_clear", node, detail))
        lanes = self.node.ready()["lanes"]
        return {
            "at": instant(now_ms),
            "accounts": [_shown(one, lanes.get(one.own.route.lane, "not configured"), clear) for one in found],
            "totals": totals(found),
        }

    def _day(self, route: Route, now_ms: int) -> date:
        return local(route.limits.hours, now_ms).date() + timedelta(days=self.ahead_days(route.lane))

    def _from_memory(self, own: Sequence[OwnAccountDay]) -> dict[str, Any]:
        """The accounts as they were at the last look, for when the journal cannot be reached. Accounts that were not
        looked at have no figures.
        """
        lost_ms, lanes = self.node.lost_ms(), self.node.ready()["lanes"]
        away = guarded_journal.away(self.clock.now_ms() if lost_ms is None else lost_ms)
        known = [self._kept[one.route.account] for one in own if one.route.account in self._kept]
        shown = []
        for one in own:
            condition = lanes.get(one.route.lane, "not configured")
            kept = self._kept.get(one.route.account)
            said = _shown(kept or AccountToday(one, None, 0, {}, (0, 0)), condition, clear=False)
            if kept is None:
                said.update(entries=None, statement=None, in_doubt=None)
            shown.append({**said, "note": f"journal unreachable since {away['since']}"})
        return {
            "at": instant(self._kept_ms or self.clock.now_ms()),
            "journal": away,
            "accounts": shown,
            "totals": totals(known) if len(known) == len(own) else [],
        }


def _shown(one: AccountToday, condition: str, clear: bool) -> dict[str, Any]:
    route, watched = one.own.route, one.own.watched
    count, minor = one.unclear
    note = NOT_WATCHED if not watched else UNHEARD if one.told is None else "watched"
    return {
        "account": route.account if clear else mask(route.account),
        "bank": route.bank,
        "lane": route.lane,
        "lane_condition": condition,
        "company": route.company,
        "currency": route.currency,
        "watched": watched,
        "bank_date": one.own.day.isoformat(),
        "balance": None if one.told is None else _balance(one.told),
        "entries": one.entries if watched else None,
        "statement": _statement(one) if watched else None,
        "in_doubt": {"count": count, "sum": str(Money(minor, route.currency))},
        "note": note,
    }


def _balance(told: BalanceRow) -> dict[str, Any]:
    """A balance as JSON. `as_of` is the time that the bank states, otherwise the time at which the gateway
    received it."""
    balance = told.balance
    said = {
        name: None if money is None else str(money)
        for name, money in (("book", balance.book), ("available", balance.available), ("frozen", balance.frozen))
    }
    return {**said, "currency": told.currency, "as_of": instant(_as_of_ms(told)), "heard_at": instant(told.seen_ms)}


def _as_of_ms(told: BalanceRow) -> int:
    as_of = told.balance.as_of
    return told.seen_ms if as_of is None else int(as_of.timestamp() * 1000)


def _statement(one: AccountToday) -> dict[str, Any]:
    yesterday = one.own.day - timedelta(days=1)
    return {
        "date": yesterday.isoformat(),
        "expected": one.is_expected,
        "arrived": one.is_expected and yesterday not in one.missing,
        "missing": [day.isoformat() for day in one.missing],
    }


# ---- totals ----


@dataclass(slots=True)
class _Sum:
    """Adds up the amounts of one currency. It counts the accounts in each sum, because a bank may not state every
    amount."""

    currency: str
    accounts: int = 0
    watched: int = 0
    expected: int = 0
    entries: int = 0
    arrived: int = 0
    missing: int = 0
    unclear: int = 0
    unclear_minor: int = 0
    oldest_ms: int | None = None
    amounts: dict[str, list[int]] = field(default_factory=lambda: {"book": [], "available": []})

    def add(self, one: AccountToday) -> None:
        self.accounts += 1
        self.unclear += one.unclear[0]
        self.unclear_minor += one.unclear[1]
        if one.own.watched:
            self.watched += 1
            self.entries += one.entries
            self.expected += one.is_expected
            self.arrived += one.is_expected and one.own.day - timedelta(days=1) not in one.missing
            self.missing += len(one.missing)
        # Left out of every sum: a balance in the currency that the account had before its settings changed.
        if one.told is not None and one.told.currency == self.currency:
            at_ms = _as_of_ms(one.told)
            self.oldest_ms = at_ms if self.oldest_ms is None else min(self.oldest_ms, at_ms)
            for name, minors in self.amounts.items():
                money: Money | None = getattr(one.told.balance, name)
                if money is not None:
                    minors.append(money.minor)

    def shown(self, bank: str) -> dict[str, Any]:
        said: dict[str, Any] = {
            "bank": bank,
            "currency": self.currency,
            "accounts": self.accounts,
            "watched": self.watched,
        }
        for name, minors in self.amounts.items():
            said[name] = str(Money(sum(minors), self.currency)) if minors else None
            said[f"{name}_accounts"] = len(minors)
        return {
            **said,
            "oldest_as_of": None if self.oldest_ms is None else instant(self.oldest_ms),
            "entries": self.entries,
            "statements_expected": self.expected,
            "statements_arrived": self.arrived,
            "statements_missing": self.missing,
            "in_doubt": {"count": self.unclear, "sum": str(Money(self.unclear_minor, self.currency))},
        }


def totals(found: Sequence[AccountToday]) -> list[dict[str, Any]]:
    """A row for every bank and currency, then one for all banks (`*`) in each currency."""
    sums: dict[tuple[str, str], _Sum] = {}
    for bank_of in (lambda route: route.bank, lambda _route: ALL_BANKS):
        for one in found:
            route = one.own.route
            key = (bank_of(route), route.currency)
            sums.setdefault(key, _Sum(route.currency)).add(one)
    return [one.shown(bank) for (bank, _currency), one in sums.items()]
