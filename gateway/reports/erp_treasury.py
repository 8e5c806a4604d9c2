"""The treasury's answers to the ERP's commands: books, reconciliation, reports. `app` gives it to the broker's side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.people.rows.persons import No
from gateway.reconciliation.rows import books, ledgers
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.books import JudgedBook
from gateway.reconciliation.rows.reconciled import Reconciled
from gateway.reconciliation.rules.rows import Matching, MatchRow
from gateway.register.registry import Registry
from gateway.reports.report_requests import ReportRequests
from protocols.canon.errors import Code, Refusal
from protocols.canon.money import Money
from protocols.erp.treasury_replies import LedgerState, MatchingReply, OpenRowReply, reconciliation_result
from protocols.erp.treasury_words import (
    ReconciliationQuery,
    ReportRequest,
    SubmitLedger,
    TreasuryQuestion,
    WithdrawLedger,
)


class ErpTreasury:
    """Answers the ERP's commands about books, reconciliation and reports. `registry` is called for each answer, because
    settings may be read again."""

    def __init__(self, store: Store, clock: Clock, registry: Callable[[], Registry]) -> None:
        self._store, self._clock, self._registry = store, clock, registry
        self._reports = ReportRequests(store, clock, registry)

    def take_part(self, tx: Tx, sender: str, part: SubmitLedger, actor: str) -> LedgerState | Refusal:
        """Take one part of a book, once."""
        return ledgers.take_part(tx, sender, part, actor)

    def withdraw(self, tx: Tx, sender: str, command: WithdrawLedger, actor: str) -> LedgerState | Refusal:
        """Withdraw a book."""
        return ledgers.withdraw(tx, sender, command, actor)

    def judge(self, conn: Connection, sender: str, part: SubmitLedger) -> object:
        """Check a book's totals by adding up its rows."""
        return ledgers.judge(conn, sender, part)

    def close(
        self, tx: Tx, sender: str, part: SubmitLedger, judged: object, actor: str
    ) -> LedgerState | Refusal | None:
        """Put a judged book in force, or drop it."""
        assert judged is None or isinstance(judged, JudgedBook | No), "what `judge` gave"
        return ledgers.close(tx, sender, part, judged, actor)

    async def answer(self, sender: str, question: TreasuryQuestion) -> Mapping[str, Any] | Refusal:
        """The reply's body, or the reason why there is none."""
        if isinstance(question, ReportRequest):
            return await self._reports.answer(sender, question)
        route = self._registry().route_of(question.account.clear)
        if route is None:
            return Refusal(Code.VALIDATION, "the account is not, or no longer, in the gateway's account register")
        today = local(route.limits.hours, self._clock.now_ms()).date()
        last, terms = question.last or today, self._registry().reconciliation

        def reconciled_told(conn: Connection) -> Mapping[str, Any]:
            found = reconcile(conn, route, last, terms)
            return reconciliation_told(route, last, found, len(books.in_force(conn, route.account)), question)

        return await self._store.read(reconciled_told)


def reconciliation_told(
    route: Route, last: date, found: Reconciled, in_force: int, question: ReconciliationQuery
) -> dict[str, Any]:
    """The body of `reconciliation.result`."""
    told = [_matching(found, matching, question.limit) for matching in Matching]
    return reconciliation_result(route.account, route.currency, last, in_force, told)


def _matching(found: Reconciled, matching: Matching, limit: int) -> MatchingReply:
    one, rules = found.matched[matching], dict[str, int]()
    for match in one.matches:
        rules[match.rule.value] = rules.get(match.rule.value, 0) + 1
    entries, lines = (found.open(matching, lines=lines) for lines in (False, True))
    return MatchingReply(
        matching.value,
        rules,
        len(one.proposals),
        len(entries),
        len(lines),
        [open_told(found, *each) for each in entries[:limit]],
        [open_told(found, *each) for each in lines[:limit]],
    )


def open_told(found: Reconciled, row: MatchRow, reason: str) -> OpenRowReply:
    """An open row in the form of the message to the ERP."""
    return OpenRowReply(
        row.id,
        row.day,
        row.direction.value,
        Money(row.amount_minor, row.currency),
        reason,
        found.rows.about.get(row.id, ""),
    )
