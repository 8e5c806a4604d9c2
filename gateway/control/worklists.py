"""Work lists in the control API: what waits for a person, each row with its age and one next step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.control import linked_orders as linked_control
from gateway.control.accounts_today import Own
from gateway.control.accounts_today import look as look_at_accounts
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.core.hours import local
from gateway.core.policy import Route
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.payments import credit_claims, linked_orders, lookup, receipt_files, receipt_questions
from gateway.journal.payments.linked_orders import LinkState
from gateway.journal.payments.lookup import Filters
from gateway.journal.sql.vaults import vault_of
from gateway.registry import Registry
from gateway.treasury import books
from gateway.treasury.account_matchings import reconcile
from gateway.treasury.exceptions import exceptions
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
NOT_ASKED = "not asked yet"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What one list is made from."""

    conn: Connection
    register: Registry
    routes: Mapping[str, Route]
    call: Call
    now_ms: int
    back_ms: int = field(default=BACK_DAYS * DAY_MS)

    def shown(self, account: str) -> str:
        """An account, masked unless the asker may see it."""
        return account if self.call.clear else mask(account)

    def inside(self, row: PaymentRow) -> bool:
        """True if a payment is of an account that was asked for."""
        return row.order.ours.account.clear in self.routes

    def payments(self, *states: State) -> list[PaymentRow]:
        """Payments in these states that were accepted not too long ago, the oldest first."""
        filters = Filters(states=states, from_ms=self.now_ms - self.back_ms, inside=self.call.scope)
        found = lookup.listing(self.conn, filters, MOST_ROWS * 2)
        return [row for row in reversed(found) if self.inside(row)]

    def of_payment(self, row: PaymentRow, why: str, step: str) -> dict[str, Any]:
        """A list's row about a payment."""
        return {
            "key": row.payment, "what": f"{row.sender}:{row.order.id}", "bank": row.bank,
            "account": self.shown(row.order.ours.account.clear), "amount": str(row.order.amount),
            "currency": row.order.amount.currency, "why": why, "since": instant(row.changed_ms),
            "age_days": (self.now_ms - row.changed_ms) // DAY_MS, "next": step,
        }  # fmt: skip

    def of_account(
        self, route: Route, key: str, why: str, day: date, step: str, amount: Money | None = None
    ) -> dict[str, Any]:
        """A list's row about an account."""
        today = local(route.limits.hours, self.now_ms).date()
        return {
            "key": key, "what": day.isoformat(), "bank": route.bank, "account": self.shown(route.account),
            "amount": None if amount is None else str(amount), "currency": route.currency, "why": why,
            "since": day.isoformat(), "age_days": (today - day).days, "next": step,
        }  # fmt: skip


def _returned(asked: _Asked) -> list[dict[str, Any]]:
    """退票 and 冲正: the money came back."""
    step = "un-book it; if it is owed still, pay it again under a new id with what was wrong corrected"
    found = asked.payments(State.RETURNED, State.REVERSED)
    return [asked.of_payment(row, row.bank_text or row.life.state.value, step)
            for row in found if row.order.kind is not Kind.PAYROLL_ITEM]  # fmt: skip


def _payroll(asked: _Asked) -> list[dict[str, Any]]:
    """代发: items that did not reach their payee."""
    states = (State.FAILED, State.REJECTED, State.RETURNED, State.REVERSED, State.ESCALATED)
    step = "correct the payee's account or name, and send the item again under a new id"
    doubt = "wait for the decision about it: bankgw orders show"
    return [asked.of_payment(row, row.bank_text or row.life.state.value,
                             doubt if row.life.state is State.ESCALATED else step)
            for row in asked.payments(*states) if row.order.kind is Kind.PAYROLL_ITEM]  # fmt: skip


def _escalated(asked: _Asked) -> list[dict[str, Any]]:
    """Payments of which the bank says nothing."""
    step = "ask the bank; then: bankgw resolve"
    return [asked.of_payment(row, row.bank_text or "no word from the bank", step)
            for row in asked.payments(State.ESCALATED) if row.order.kind is not Kind.PAYROLL_ITEM]  # fmt: skip


def _unclaimed(asked: _Asked) -> list[dict[str, Any]]:
    """来款认领: money received that nobody has claimed."""
    indexes = {vault_of(asked.conn).blind(account): route for account, route in asked.routes.items()}
    since = (local(next(iter(asked.routes.values())).limits.hours, asked.now_ms).date() - timedelta(days=BACK_DAYS))
    found = credit_claims.unclaimed(asked.conn, list(indexes), since.isoformat(), MOST_ROWS)
    return [
        asked.of_account(indexes[one.account_idx], one.line, "not claimed", date.fromisoformat(one.bank_date),
                         "find whose it is; the ERP claims it: credit.claim with this line", one.amount)
        for one in found
    ]  # fmt: skip


def _gaps(asked: _Asked) -> list[dict[str, Any]]:
    """Days whose statement is due and not there."""
    own = [Own(route, account in asked.register.watched, local(route.limits.hours, asked.now_ms).date())
           for account, route in asked.routes.items()]  # fmt: skip
    watched = [one for one in own if one.watched]
    return [
        asked.of_account(one.own.route, one.own.route.lane, "no complete statement", day,
                         f"see whether the lane is ready: bankgw lanes probe {one.own.route.lane}; then ask the bank")
        for one in look_at_accounts(asked.conn, watched) if one.told is not None for day in one.missing
    ]  # fmt: skip


def _receipts(asked: _Asked) -> list[dict[str, Any]]:
    """回单: settled payments, and money that came in, whose receipt the bank did not give."""
    by_index = {vault_of(asked.conn).blind(account): route for account, route in asked.routes.items()}
    found = receipt_files.missing(asked.conn, list(by_index), asked.now_ms - RECEIPT_DAYS * DAY_MS, MOST_ROWS)
    rows = []
    for search in found:
        step, why = f"ask the bank; if it gives none: bankgw receipts none {search.subject}", search.code or NOT_ASKED
        if search.is_entry:
            came = receipt_questions.entry_of(asked.conn, search.subject)
            if came is not None:
                rows.append(asked.of_account(by_index[search.account_idx], came.number or came.entry, why,
                                             came.bank_date, step, came.amount))  # fmt: skip
        elif (row := lookup.fetch(asked.conn, search.subject)) is not None:
            rows.append(asked.of_payment(row, why, step))
    return rows


def _exceptions(asked: _Asked) -> list[dict[str, Any]]:
    """对账: what a person must look at in the reconciliation of accounts that have a book, of so many accounts."""
    rows: list[dict[str, Any]] = []
    kept = [route for route in asked.routes.values() if books.in_force(asked.conn, route.account)]
    terms = asked.register.reconciliation
    for route in kept[:MOST_ACCOUNTS]:
        today = local(route.limits.hours, asked.now_ms).date()
        rows += [
            asked.of_account(route, one.rows[0], one.kind.value, one.day, one.next_step,
                             Money(one.amount_minor, route.currency))
            for one in exceptions(reconcile(asked.conn, route, today, terms), terms)
        ]  # fmt: skip
    return rows


def _linked(asked: _Asked) -> list[dict[str, Any]]:
    """联动支付: payments that cannot be funded, and money that came for one that failed."""
    step = "decide: bankgw liquidity return, or bankgw liquidity stay"
    unfunded = "cancel the order, or send it without: bankgw orders release --held-for funding"
    steps = {LinkState.UNDECIDED: step, LinkState.UNFUNDED: unfunded,
             LinkState.WAITING: "see why; it goes on by itself once that is mended"}  # fmt: skip
    found = [(one, lookup.fetch(asked.conn, one.payment)) for one in linked_orders.in_state(asked.conn, *steps)]
    return [asked.of_payment(row, linked_control.why_of(one), steps[one.state]) for one, row in found
            if row is not None and asked.inside(row) and (one.why or one.state is not LinkState.WAITING)]  # fmt: skip


_RowsOf = Callable[[_Asked], list[dict[str, Any]]]
LISTS: Mapping[str, _RowsOf] = {
    "escalated": _escalated, "returned": _returned, "payroll": _payroll, "unclaimed": _unclaimed,
    "statement-gaps": _gaps, "receipts-missing": _receipts, "exceptions": _exceptions,
    "linked": _linked,
}  # fmt: skip
"""The work lists, the most urgent first."""


def _rows(
    register: Registry, routes: Mapping[str, Route], call: Call, now_ms: int, rows_of: _RowsOf, conn: Connection
) -> list[dict[str, Any]]:
    return rows_of(_Asked(conn, register, routes, call, now_ms)) if routes else []


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about work lists."""

    async def show(call: Call) -> Any:
        """Every list, or one, of own accounts inside the asker's scope."""
        wanted = call.query.get("list")
        if wanted is not None and wanted not in LISTS:
            raise Denied(404, "no_such_list", f"there is no list {wanted}; there are {', '.join(LISTS)}")
        register, filters = daemon_handle.register(), {name: call.query.get(name) for name in ("bank", "company")}
        routes = {
            route.account: route for route in register.routes.values()
            if call.scope.covers(route.company, route.account)
            and all(said in (None, getattr(route, name)) for name, said in filters.items())
        }  # fmt: skip
        now_ms, lists = daemon_handle.clock.now_ms(), []
        for name, rows_of in LISTS.items():
            if wanted in (None, name):
                rows = await daemon_handle.store.read(partial(_rows, register, routes, call, now_ms, rows_of))
                lists.append({"list": name, "count": len(rows), "rows": rows[:MOST_ROWS]})
        return {"at": instant(now_ms), "lists": lists}

    return (Verb("GET", "/worklists", show),)
