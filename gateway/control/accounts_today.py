"""The verb `GET /today`: each own account's balance, entries, missing statements and payments in doubt, with totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, select

from gateway.bank.account_watch import DAYS_BACK, account_key
from gateway.control import guarded_journal
from gateway.control.client import ALL_BANKS
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.core.hours import local
from gateway.core.policy import Route
from gateway.journal.commit import audit
from gateway.journal.payments import accounts
from gateway.journal.payments.accounts import BalanceRow
from gateway.journal.sql import schema
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

NOT_WATCHED = "not watched: `watch = false` stands in the account register"
UNHEARD = "watched, not heard of yet"
_JOBS = schema.jobs.c


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about accounts."""
    return (Verb("GET", "/today", _Acts(daemon_handle).today),)


@dataclass(frozen=True, slots=True)
class Own:
    """An own account, whether it is watched, and the calendar's day at its bank, which a cut-off does not end."""

    route: Route
    watched: bool
    day: date


@dataclass(frozen=True, slots=True)
class AccountToday:
    """What the journal knows of one account. `days` are those whose statement was begun, with whether it arrived.

    `unclear` counts the payments whose money nobody can speak for, with their sum in minor units.
    """

    own: Own
    told: BalanceRow | None
    entries: int
    days: Mapping[date, bool]
    unclear: tuple[int, int]

    @property
    def is_expected(self) -> bool:
        """False before the first look at the account: then no statement is missing yet."""
        return self.own.watched and (self.told is not None or bool(self.days))

    @property
    def missing(self) -> tuple[date, ...]:
        """Days that are over and whose statement did not arrive, oldest first; yesterday's from the first look on."""
        if not self.is_expected:
            return ()
        yesterday = self.own.day - timedelta(days=1)
        return tuple(sorted(day for day, arrived in {yesterday: False, **self.days}.items() if not arrived))


def look(conn: Connection, own: Sequence[Own]) -> list[AccountToday]:
    """Read what is known of these accounts, in their order."""
    unclear = accounts.unclear(conn, [one.route.account for one in own])
    days = _days(conn, own)
    return [
        AccountToday(
            one, accounts.balance_of(conn, one.route.account), accounts.entries_on(conn, one.route.account, one.day),
            days.get((_job(one), one.route.bank), {}), unclear.get(one.route.account, (0, 0)),
        )
        for one in own
    ]  # fmt: skip


def _job(one: Own) -> str:
    return f"statement:{account_key(one.route.account)}"


def _days(conn: Connection, own: Sequence[Own]) -> dict[tuple[str, str], dict[date, bool]]:
    """The days before today whose statement was begun: by job and bank, whether it is there."""
    today = {(_job(one), one.route.bank): one.day for one in own if one.watched}
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


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle
        self._kept: dict[str, AccountToday] = {}
        self._kept_ms = 0

    async def today(self, call: Call) -> Any:
        """Every own account, or those at one bank, with totals."""
        clear, wanted = call.clear, call.query.get("bank")
        register = self._daemon_handle.register()
        if wanted is not None and wanted not in register.banks:
            there = ", ".join(sorted(register.banks))
            raise Denied(404, "no_such_bank", f"there is no bank {wanted}; there are {there}")
        now_ms = self._daemon_handle.clock.now_ms()
        own = [
            Own(route, number in register.watched, local(route.limits.hours, now_ms).date())
            for number, route in register.routes.items()
            if wanted in (None, route.bank) and call.scope.covers(route.company, route.account)
        ]  # fmt: skip
        own.sort(key=lambda one: (one.route.bank, one.route.currency, one.route.account))
        try:
            found = await self._daemon_handle.store.read(lambda conn: look(conn, own))
        except Denied as error:
            if error.code != guarded_journal.AWAY or clear:
                raise  # looking at unmasked numbers is noted, and cannot be
            return self._from_memory(own)
        self._kept.update((one.own.route.account, one) for one in found)
        self._kept_ms = now_ms
        if clear:
            node, detail = self._daemon_handle.identity["node"], {"accounts": len(own)}
            await self._daemon_handle.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "accounts.shown_clear", node, detail)
            )
        lanes = self._daemon_handle.ready()["lanes"]
        return {
            "at": instant(now_ms),
            "accounts": [_shown(one, lanes.get(one.own.route.lane, "not configured"), clear) for one in found],
            "totals": totals(found),
        }  # fmt: skip


    def _from_memory(self, own: Sequence[Own]) -> dict[str, Any]:
        """As it was when somebody last looked, with the journal's absence; accounts not looked at have no figures."""
        lost_ms, lanes = self._daemon_handle.lost_ms(), self._daemon_handle.ready()["lanes"]
        away = guarded_journal.away(self._daemon_handle.clock.now_ms() if lost_ms is None else lost_ms)
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
            "at": instant(self._kept_ms or self._daemon_handle.clock.now_ms()), "journal": away, "accounts": shown,
            "totals": totals(known) if len(known) == len(own) else [],
        }  # fmt: skip


def _shown(one: AccountToday, condition: str, clear: bool) -> dict[str, Any]:
    route, watched = one.own.route, one.own.watched
    count, minor = one.unclear
    note = NOT_WATCHED if not watched else UNHEARD if one.told is None else "watched"
    return {
        "account": route.account if clear else mask(route.account), "bank": route.bank, "lane": route.lane,
        "lane_condition": condition, "company": route.company, "currency": route.currency, "watched": watched,
        "bank_date": one.own.day.isoformat(), "balance": None if one.told is None else _balance(one.told),
        "entries": one.entries if watched else None, "statement": _statement(one) if watched else None,
        "in_doubt": {"count": count, "sum": str(Money(minor, route.currency))}, "note": note,
    }  # fmt: skip


def _balance(told: BalanceRow) -> dict[str, Any]:
    """`as_of` is the bank's own time where it states one, otherwise when we heard it."""
    balance = told.balance
    said = {name: None if money is None else str(money) for name, money in (
        ("book", balance.book), ("available", balance.available), ("frozen", balance.frozen),
    )}  # fmt: skip
    return {**said, "currency": told.currency, "as_of": instant(_as_of_ms(told)), "heard_at": instant(told.seen_ms)}


def _as_of_ms(told: BalanceRow) -> int:
    as_of = told.balance.as_of
    return told.seen_ms if as_of is None else int(as_of.timestamp() * 1000)


def _statement(one: AccountToday) -> dict[str, Any]:
    yesterday = one.own.day - timedelta(days=1)
    return {
        "date": yesterday.isoformat(), "expected": one.is_expected,
        "arrived": one.is_expected and yesterday not in one.missing,
        "missing": [day.isoformat() for day in one.missing],
    }  # fmt: skip


# ---- totals ----


@dataclass(slots=True)
class _Sum:
    """Adds up accounts of one currency. A sum says of how many accounts it is: a bank may not state every amount."""

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
        # A balance in a currency that the account had before a change of the settings belongs to no sum.
        if one.told is not None and one.told.currency == self.currency:
            at_ms = _as_of_ms(one.told)
            self.oldest_ms = at_ms if self.oldest_ms is None else min(self.oldest_ms, at_ms)
            for name, minors in self.amounts.items():
                money: Money | None = getattr(one.told.balance, name)
                if money is not None:
                    minors.append(money.minor)

    def shown(self, bank: str) -> dict[str, Any]:
        said: dict[str, Any] = {"bank": bank, "currency": self.currency, "accounts": self.accounts,
                                "watched": self.watched}  # fmt: skip
        for name, minors in self.amounts.items():
            said[name] = str(Money(sum(minors), self.currency)) if minors else None
            said[f"{name}_accounts"] = len(minors)
        return {
            **said, "oldest_as_of": None if self.oldest_ms is None else instant(self.oldest_ms),
            "entries": self.entries, "statements_expected": self.expected, "statements_arrived": self.arrived,
            "statements_missing": self.missing,
            "in_doubt": {"count": self.unclear, "sum": str(Money(self.unclear_minor, self.currency))},
        }  # fmt: skip


def totals(found: Sequence[AccountToday]) -> list[dict[str, Any]]:
    """A row for every bank and currency, then one for all banks (`*`) in each currency."""
    sums: dict[tuple[str, str], _Sum] = {}
    for bank_of in (lambda route: route.bank, lambda _route: ALL_BANKS):
        for one in found:
            route = one.own.route
            key = (bank_of(route), route.currency)
            sums.setdefault(key, _Sum(route.currency)).add(one)
    return [one.shown(bank) for (bank, _currency), one in sums.items()]
