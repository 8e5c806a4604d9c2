"""Handlers of the acts about work lists: each row waits for a person, with its age and one next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store
from gateway.kernel.core.hours import local
from gateway.kernel.core.policy import Route
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters
from gateway.pools.act_answers import linked_orders as linked_control
from gateway.pools.rows import linked_orders, pool_moves, pools
from gateway.pools.rows.linked_orders import LinkState
from gateway.pools.rows.pool_moves import PoolRun
from gateway.pools.rules.plan import NOT_KNOWN, REASONS, StayReason
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.reconciliation.rows import books
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.exceptions import exceptions
from gateway.register.registry import Registry
from gateway.reports.acts import ViewWork
from gateway.statements.act_answers.accounts_today import OwnAccountDay, read_accounts
from gateway.statements.rows import credit_claims
from protocols.canon.money import Money
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.party import mask
from protocols.erp.news import instant

DAY_MS = 86_400_000
MOST_ROWS, MOST_ACCOUNTS = 200, 20
BACK_DAYS = 60
"""How far back payments and unclaimed money are looked at."""
RECEIPT_DAYS = 3
"""A receipt is missing work once it is so old."""
POOL_DAYS = 10
"""How far back slots of pools are looked at."""
NOT_ASKED = "not asked yet"


@dataclass(frozen=True, slots=True)
class _Asked:
    """The inputs of one work list: the caller, the accounts, the filters."""

    conn: Connection
    register: Registry
    routes: Mapping[str, Route]
    call: Call
    now_ms: int
    back_ms: int = field(default=BACK_DAYS * DAY_MS)

    def shown(self, account: str) -> str:
        """An account, masked unless the caller may see it."""
        return account if self.call.clear else mask(account)

    def inside(self, row: PaymentRow) -> bool:
        """True if a payment is of an account that was asked for."""
        return row.order.ours.account.clear in self.routes

    def payments(self, *states: State) -> list[PaymentRow]:
        """Payments in these states, accepted within the last days, the oldest first."""
        filters = Filters(states=states, from_ms=self.now_ms - self.back_ms, inside=self.call.scope)
        found = lookup.listing(self.conn, filters, MOST_ROWS * 2)
        return [row for row in reversed(found) if self.inside(row)]

    def of_payment(self, row: PaymentRow, why: str, step: str) -> dict[str, Any]:
        """A list's row about a payment."""
        return {
            "key": row.payment,
            "what": f"{row.sender}:{row.order.id}",
            "bank": row.bank,
            "account": self.shown(row.order.ours.account.clear),
            "amount": str(row.order.amount),
            "currency": row.order.amount.currency,
            "why": why,
            "since": instant(row.changed_ms),
            "age_days": (self.now_ms - row.changed_ms) // DAY_MS,
            "next": step,
        }

    def of_account(
        self, route: Route, key: str, why: str, day: date, step: str, amount: Money | None = None
    ) -> dict[str, Any]:
        """A list's row about an account."""
        today = local(route.limits.hours, self.now_ms).date()
        return {
            "key": key,
            "what": day.isoformat(),
            "bank": route.bank,
            "account": self.shown(route.account),
            "amount": None if amount is None else str(amount),
            "currency": route.currency,
            "why": why,
            "since": day.isoformat(),
            "age_days": (today - day).days,
            "next": step,
        }


def _returned(asked: _Asked) -> list[dict[str, Any]]:
    """退票 and 冲正: payments whose money came back."""
    step = "reverse its booking; if the money is still owed, correct the error and pay it again under a new id"
    found = asked.payments(State.RETURNED, State.REVERSED)
    return [
        asked.of_payment(row, row.bank_text or row.life.state.value, step)
        for row in found
        if row.order.kind is not Kind.PAYROLL_ITEM
    ]


def _payroll(asked: _Asked) -> list[dict[str, Any]]:
    """代发: items whose money did not reach the payee."""
    states = (State.FAILED, State.REJECTED, State.RETURNED, State.REVERSED, State.ESCALATED)
    step = "correct the payee's account or name, and send the item again under a new id"
    doubt = "wait for the decision about it: bankgw orders show"
    return [
        asked.of_payment(
            row, row.bank_text or row.life.state.value, doubt if row.life.state is State.ESCALATED else step
        )
        for row in asked.payments(*states)
        if row.order.kind is Kind.PAYROLL_ITEM
    ]


def _escalated(asked: _Asked) -> list[dict[str, Any]]:
    """Payments in doubt that are waiting for a person, because the bank does not report an outcome."""
    step = "ask the bank; then: bankgw resolve"
    return [
        asked.of_payment(row, row.bank_text or "no word from the bank", step)
        for row in asked.payments(State.ESCALATED)
        if row.order.kind is not Kind.PAYROLL_ITEM
    ]


def _unclaimed(asked: _Asked) -> list[dict[str, Any]]:
    """来款认领: money received that nobody has claimed."""
    indexes = {vault_of(asked.conn).blind(account): route for account, route in asked.routes.items()}
    since = local(next(iter(asked.routes.values())).limits.hours, asked.now_ms).date() - timedelta(days=BACK_DAYS)
    found = credit_claims.unclaimed(asked.conn, list(indexes), since.isoformat(), MOST_ROWS)
    return [
        asked.of_account(
            indexes[one.account_idx],
            one.line,
            "not claimed",
            date.fromisoformat(one.bank_date),
            "find out whose money it is; the ERP claims it: credit.claim with this line",
            one.amount,
        )
        for one in found
    ]


def _gaps(asked: _Asked) -> list[dict[str, Any]]:
    """Days whose statement is due and missing."""
    own = [
        OwnAccountDay(route, account in asked.register.watched, local(route.limits.hours, asked.now_ms).date())
        for account, route in asked.routes.items()
    ]
    watched = [one for one in own if one.watched]
    return [
        asked.of_account(
            one.own.route,
            one.own.route.lane,
            "no complete statement",
            day,
            f"see whether the lane is ready: bankgw lanes probe {one.own.route.lane}; then ask the bank",
        )
        for one in read_accounts(asked.conn, watched)
        if one.told is not None
        for day in one.missing
    ]


def _receipts(asked: _Asked) -> list[dict[str, Any]]:
    """回单: settled payments, and incoming money, for which the bank gave no receipt."""
    by_index = {vault_of(asked.conn).blind(account): route for account, route in asked.routes.items()}
    found = receipt_files.missing(asked.conn, list(by_index), asked.now_ms - RECEIPT_DAYS * DAY_MS, MOST_ROWS)
    rows = []
    for search in found:
        step, why = f"ask the bank; if it gives none: bankgw receipts none {search.subject}", search.code or NOT_ASKED
        if search.is_entry:
            came = receipt_questions.entry_of(asked.conn, search.subject)
            if came is not None:
                rows.append(
                    asked.of_account(
                        by_index[search.account_idx], came.number or came.entry, why, came.bank_date, step, came.amount
                    )
                )
        elif (row := lookup.fetch(asked.conn, search.subject)) is not None:
            rows.append(asked.of_payment(row, why, step))
    return rows


def _exceptions(asked: _Asked) -> list[dict[str, Any]]:
    """对账: rows of accounts with a book at which a person must look, and the number of such accounts."""
    rows: list[dict[str, Any]] = []
    kept = [route for route in asked.routes.values() if books.in_force(asked.conn, route.account)]
    terms = asked.register.reconciliation
    for route in kept[:MOST_ACCOUNTS]:
        today = local(route.limits.hours, asked.now_ms).date()
        rows += [
            asked.of_account(
                route, one.rows[0], one.kind.value, one.day, one.next_step, Money(one.amount_minor, route.currency)
            )
            for one in exceptions(reconcile(asked.conn, route, today, terms), terms)
        ]
    return rows


def _linked(asked: _Asked) -> list[dict[str, Any]]:
    """联动支付: payments that cannot be funded, and the money of failed ones."""
    step = "decide: bankgw liquidity return, or bankgw liquidity stay"
    unfunded = "cancel the order, or send it without: bankgw orders release --held-for funding"
    steps = {
        LinkState.UNDECIDED: step,
        LinkState.UNFUNDED: unfunded,
        LinkState.WAITING: "see why the order waits; it goes on by itself once the cause is mended",
    }
    found = [(one, lookup.fetch(asked.conn, one.payment)) for one in linked_orders.in_state(asked.conn, *steps)]
    return [
        asked.of_payment(row, linked_control.why_of(one), steps[one.state])
        for one, row in found
        if row is not None and asked.inside(row) and (one.why or one.state is not LinkState.WAITING)
    ]


def _pools(asked: _Asked) -> list[dict[str, Any]]:
    """归集/下拨: ended slots of cash pools with a member that neither moved nor has a reason."""
    rows = []
    for run in pool_moves.unmoved(asked.conn, asked.now_ms - POOL_DAYS * DAY_MS):
        pool = pools.of_version(asked.conn, run.pool, run.version)
        route = None if pool is None else asked.routes.get(pool.header)
        if route is not None:
            step = f"see why, then run the pool by hand: bankgw liquidity show {run.run}"
            rows.append(asked.of_account(route, run.run, _why_unmoved(asked.conn, run), run.day, step))
    return rows


def _why_unmoved(conn: Connection, run: PoolRun) -> str:
    """The most frequent reason why members of a run did not move enough."""
    moves = pool_moves.moves_of(conn, run.run)
    said = [reason for _, _, reason in run.stays if reason in NOT_KNOWN or reason == StayReason.SLOT_OVER]
    said += [one.reason for one in moves if one.reason is not None]
    said += [StayReason.SLOT_OVER for one in moves if one.outcome is not None and one.reason is None]
    reason = max(sorted(set(said)), key=said.count, default=StayReason.SLOT_OVER)
    return REASONS[StayReason(reason)]


_RowsOf = Callable[[_Asked], list[dict[str, Any]]]
LISTS: Mapping[str, _RowsOf] = {
    "escalated": _escalated,
    "returned": _returned,
    "payroll": _payroll,
    "unclaimed": _unclaimed,
    "statement-gaps": _gaps,
    "receipts-missing": _receipts,
    "exceptions": _exceptions,
    "linked": _linked,
    "pools": _pools,
}
"""The work lists, the most urgent first."""


def _rows(
    register: Registry, routes: Mapping[str, Route], call: Call, now_ms: int, rows_of: _RowsOf, conn: Connection
) -> list[dict[str, Any]]:
    return rows_of(_Asked(conn, register, routes, call, now_ms)) if routes else []


@dataclass(frozen=True, slots=True)
class WorkAnswers:
    """Answers the act about work lists."""

    store: Store
    clock: Clock
    accounts: Accounts

    @answers("worklists.show")
    async def show(self, call: Call, params: ViewWork) -> Any:
        """Every list, or one, of own accounts inside the caller's scope."""
        if params.only is not None and params.only not in LISTS:
            raise Denied(404, "no_such_list", f"there is no list {params.only}; there are {', '.join(LISTS)}")
        register, filters = self.accounts(), {"bank": params.bank, "company": params.company}
        routes = {
            route.account: route
            for route in register.routes.values()
            if call.scope.covers(route.company, route.account)
            and all(said in (None, getattr(route, name)) for name, said in filters.items())
        }
        now_ms, lists = self.clock.now_ms(), []
        for name, rows_of in LISTS.items():
            if params.only in (None, name):
                rows = await self.store.read(partial(_rows, register, routes, call, now_ms, rows_of))
                lists.append({"list": name, "count": len(rows), "rows": rows[:MOST_ROWS]})
        return {"at": instant(now_ms), "lists": lists}
