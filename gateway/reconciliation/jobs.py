"""Tells the ERP the results of matching: payments with their entries, rows that a person must look at, a closed day.

An account is matched again when the basis of its reconciliation has changed: a day was closed, a book arrived, or a
person decided. Each event about a row is recorded, so that it is sent once, whichever node finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select

from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.core.policy import Route
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new, upsert
from gateway.kernel.sql.vaults import vault_of
from gateway.kernel.tasks import Tasks, attempt, sleep
from gateway.payments.rows import events
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.basis import Basis, basis_of
from gateway.reconciliation.rows.exceptions import exceptions
from gateway.reconciliation.rows.reconciled import Reconciled
from gateway.reconciliation.rules.rows import Matching
from gateway.register.match_terms import AccountTerms
from gateway.register.registry import Registry
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.erp.treasury_replies import (
    AccountPlace,
    OpenRowReply,
    reconciliation_completed,
    reconciliation_exception,
    reconciliation_matched,
)

LOOK_S = 300.0
AT_ONCE = 100
"""The most facts that one unit records and tells, so that no unit delays a payment for long."""
_MARK = "basis"
_N, _S, _E = schema.match_news.c, schema.statement_days.c, schema.statement_entries.c
_log = log.get("treasury.match_news")


@dataclass(frozen=True, slots=True)
class MatchFact:
    """A result of matching of which the ERP gets one event: payments with their entries, or an open row."""

    subject: str
    told: str
    payments: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    rule: str = ""
    matching: str = ""
    row: OpenRowReply | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    basis: Basis
    facts: Sequence[MatchFact]
    matched: int
    open_payments: int
    open_lines: int


class MatchNews:
    """Matches accounts at intervals and sends the ERP events about new results. Several nodes may match the same
    account."""

    def __init__(self, store: Store, clock: Clock, registry: Callable[[], Registry]) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._tasks = Tasks(
            lambda failure: _log.error(
                "match_news.ended",
                error=str(failure.value),
                action="no account is matched by itself any more until the daemon restarts",
            )
        )

    def start(self) -> None:
        """Begin to match at intervals."""
        self._tasks.spawn(self._keep_looking())

    def stop(self) -> None:
        """Stop matching. Results without an event get theirs after the restart."""
        self._tasks.stop()

    async def _keep_looking(self) -> None:
        while True:
            await sleep(self._clock, LOOK_S)
            for account in tuple(self._registry().routes):
                await attempt(partial(self.match_and_tell, account), self._defect, ends=StoreFailed)

    def _defect(self, error: str) -> None:
        _log.error("match_news.failed", error=error, action="the account is matched again in five minutes")

    async def match_and_tell(self, account: str) -> None:
        """Match one account up to its last closed day if anything has changed, and send events about new results."""
        route, terms = self._registry().route_of(account), self._registry().reconciliation
        hearers = self._registry().hearers(account)
        if route is None or not hearers:
            return
        found = await self._store.read(lambda conn: _look(conn, route, terms))
        if found is None:
            return
        for start in range(0, len(found.facts), AT_ONCE):
            some = found.facts[start : start + AT_ONCE]
            await self._store.write(partial(_tell, route=route, facts=some, hearers=hearers))
        await self._store.write(partial(_complete, route=route, found=found, hearers=hearers))


def _look(conn: Connection, route: Route, terms: AccountTerms) -> _Found | None:
    """The results of an account that still need an event. None if nothing changed since the last time, or if no day is
    closed."""
    index = vault_of(conn).blind(route.account)
    last = conn.execute(select(_S.day).where(_S.account_idx == index).order_by(_S.day.desc()).limit(1)).scalar()
    if last is None:
        return None
    day = date.fromisoformat(last)
    mark = conn.execute(select(_N.told).where(_N.account_idx == index, _N.subject == _MARK)).scalar()
    if mark == _written(basis_of(conn, route.account, day)):
        return None
    found = reconcile(conn, route, day, terms)
    paid = found.matched[Matching.PAYMENTS]
    keys = {
        f"line:{row.entry}": row.line
        for row in conn.execute(
            select(_E.entry, _E.line).where(_E.account_idx == index, _E.bank_date >= found.rows.first.isoformat())
        )
    }
    facts = _matched(found, keys) + _exceptions(found, route, terms)
    return _Found(found.basis, facts, len(paid.matches), len(paid.open_entries), len(paid.open_lines))


def _matched(found: Reconciled, keys: dict[str, str]) -> list[MatchFact]:
    facts = []
    for one in found.matched[Matching.PAYMENTS].matches:
        payments = tuple(id.removeprefix("payment:") for id in one.entries if id.startswith("payment:"))
        lines = tuple(keys[id] for id in one.lines if id in keys)
        if payments and lines:
            facts.append(MatchFact(f"A:{','.join(payments)}", ",".join(lines), payments, lines, one.rule.value))
    return facts


def _exceptions(found: Reconciled, route: Route, terms: AccountTerms) -> list[MatchFact]:
    """The rows that a person must look at. An account without a book has no exceptions about rows that its book
    lacks."""
    facts = []
    for one in exceptions(found, terms):
        if one.matching is Matching.BOOK and not found.basis.books:
            continue
        direction = Direction.CREDIT if one.amount_minor >= 0 else Direction.DEBIT
        told = OpenRowReply(
            one.rows[0],
            one.day,
            direction.value,
            Money(abs(one.amount_minor), route.currency),
            one.kind.value,
            one.about,
        )
        facts.append(
            MatchFact(f"{one.matching.value}:{one.rows[0]}", one.kind.value, matching=one.matching.value, row=told)
        )
    return facts


def _tell(tx: Tx, route: Route, facts: Sequence[MatchFact], hearers: Sequence[str]) -> None:
    index = tx.vault.blind(route.account)
    for fact in facts:
        subject, told = tx.vault.blind(fact.subject), sha256(fact.told.encode()).hexdigest()
        row = {"account_idx": index, "subject": subject, "told": told, "at_ms": tx.now_ms}
        if not insert_new(tx.fresh, schema.match_news, row):
            before = tx.fresh.execute(select(_N.told).where(_N.account_idx == index, _N.subject == subject)).scalar()
            if before == told:
                continue
            upsert(tx.fresh, schema.match_news, [row])
        for sender in hearers:
            place = AccountPlace(sender, route.bank, route.account, tx.now_ms)
            events.tell(tx, _body(place, fact), route.bank, sender)


def _body(place: AccountPlace, fact: MatchFact) -> dict[str, Any]:
    if fact.row is None:
        return reconciliation_matched(place, fact.rule, fact.payments, fact.lines)
    return reconciliation_exception(place, fact.matching, fact.row)


def _complete(tx: Tx, route: Route, found: _Found, hearers: Sequence[str]) -> None:
    """Record the basis that was matched, and send one event that the day is complete, even if several nodes
    matched it."""
    index, mark = tx.vault.blind(route.account), _written(found.basis)
    before = tx.fresh.execute(select(_N.told).where(_N.account_idx == index, _N.subject == _MARK)).scalar()
    if before == mark:
        return
    upsert(tx.fresh, schema.match_news, [{"account_idx": index, "subject": _MARK, "told": mark, "at_ms": tx.now_ms}])
    for sender in hearers:
        place = AccountPlace(sender, route.bank, route.account, tx.now_ms)
        said = reconciliation_completed(place, found.basis.last, found.matched, found.open_payments, found.open_lines)
        events.tell(tx, said, route.bank, sender)


def _written(basis: Basis) -> str:
    return sha256(repr(basis).encode()).hexdigest()
