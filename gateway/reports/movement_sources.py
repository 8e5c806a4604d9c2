"""The rows of the reports about movements of money: transfers, returns, payroll, fees, cash flow, history."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.sql.vaults import vault_of
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters
from gateway.reports import sources
from gateway.reports.sources import ReportPage, ReportQuestion
from gateway.reports.table import TableRow
from gateway.statements.rows import accounts
from protocols.canon.order import Kind
from protocols.canon.outcome import State
from protocols.canon.statement import Direction

_FEE_WORDS = ("手续费", "工本费", "汇划费", "电子汇划", "账户管理费", "service charge", "bank fee")
_HISTORY_DAYS = 400


def transfers(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Money between own accounts, accepted in the period: sweeps, pushes and other transfers."""
    own = {route.account for route in asked.routes}
    return _payments(
        conn, asked, after, (), lambda row: row.order.kind is Kind.TRANSFER or row.order.theirs.account.clear in own
    )


def returns(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """The rows of payments accepted in the period whose money came back."""
    return _payments(conn, asked, after, (State.RETURNED, State.REVERSED), lambda row: True)


def payroll(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Payroll items accepted in the period, one row a person."""
    return _payments(conn, asked, after, (), lambda row: row.order.kind is Kind.PAYROLL_ITEM)


def _payments(
    conn: Connection,
    asked: ReportQuestion,
    after: str | None,
    states: tuple[State, ...],
    wanted: Callable[[PaymentRow], bool],
) -> ReportPage:
    filters = Filters(
        states=states, bank=asked.bank, from_ms=asked.from_ms, before_ms=asked.before_ms, inside=asked.scope
    )
    found = lookup.listing(conn, filters, asked.most_rows, after)
    own = {route.account for route in asked.routes}
    rows: list[TableRow] = [
        {**sources.payment_row(row, asked), "batch": row.batch}
        for row in found
        if row.order.ours.account.clear in own and wanted(row)
    ]
    return ReportPage(rows, found[-1].payment if len(found) == asked.most_rows else None)


def fees(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Fees that banks took and gave back in the period: entries that the bank marks as fees, or whose
    text names one.
    """
    found = sources.period_entries(conn, asked, after)
    rows: list[TableRow] = []
    for one in found:
        if _is_fee(one.text, one.detail):
            row = one.row
            rows.append(
                {
                    **sources.account_row(one.route, asked),
                    "day": row.bank_date,
                    "currency": row.currency,
                    row.direction: row.amount_minor,
                    "serial": row.bank_line_id,
                    "text": asked.text_shown(one.text),
                    "told": "marked" if one.detail.get("fee") else "text",
                }
            )
    return ReportPage(rows, sources.after_entries(found, asked))


def cash_flow(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row a month, company, currency and kind of movement: the sums that the banks booked in and out.

    A transfer between two of these accounts is no income and no expense: it is counted once as `moved`, at the account
    that paid.
    """
    sums: dict[tuple[str, str, str, str], dict[str, int]] = {}
    place: str | None = None
    own = {route.account for route in asked.routes}
    blind = {vault_of(conn).blind(account) for account in own}
    while True:
        found = sources.period_entries(conn, asked, place)
        for entry in found:
            row = entry.row
            ordered = row.debtor_idx in blind and row.creditor_idx in blind
            fee, inside = _is_fee(entry.text, entry.detail), ordered or entry.detail.get("party") in own
            item = _item(Kind.TRANSFER.value if inside else row.kind, row.direction, fee)
            one = sums.setdefault(
                (row.bank_date[:7], entry.route.company, row.currency, item),
                {"credit": 0, "debit": 0, "moved": 0, "net": 0, "entries": 0},
            )
            is_in = row.direction == Direction.CREDIT.value
            one["net"] += row.amount_minor if is_in else -row.amount_minor
            one["entries"] += 1
            if fee or not inside:
                one[row.direction] += row.amount_minor
            elif not is_in:
                one["moved"] += row.amount_minor
        place = sources.after_entries(found, asked)
        if place is None:
            break
    return ReportPage(
        [
            {"month": month, "company": company, "currency": currency, "item": item, **one}
            for (month, company, currency, item), one in sorted(sums.items())
        ]
    )


def history(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """One row a day, company and currency: closing balances of closed days. Each balance is carried on until the next
    one.
    """
    first = max(asked.first, asked.last - timedelta(days=_HISTORY_DAYS))
    days = [first + timedelta(days=place) for place in range((asked.last - first).days + 1)]
    sums: dict[tuple[date, str, str], list[int]] = {}
    for route in asked.routes:
        closings = accounts.closings_between(conn, route.account, first, asked.last)
        known: int | None = None
        before = accounts.day_of(conn, route.account, first - timedelta(days=1))
        if before is not None and before[2] is not None:
            known = before[2].minor
        for day in days:
            known = closings[day].minor if day in closings else known
            one = sums.setdefault((day, route.company, route.currency), [0, 0, 0])
            one[0] += known or 0
            one[1] += known is not None
            one[2] += day in closings
    return ReportPage(
        [
            {
                "day": day.isoformat(),
                "company": company,
                "currency": currency,
                "balance": balance if known else None,
                "accounts": known,
                "closed": closed,
            }
            for (day, company, currency), (balance, known, closed) in sorted(sums.items())
        ]
    )


def _is_fee(text: str, detail: Any) -> bool:
    return bool(detail.get("fee")) or any(word in text.casefold() for word in _FEE_WORDS)


def _item(kind: str | None, direction: str, fee: bool) -> str:
    if fee:
        return "fees"
    if kind is not None:
        if kind == Kind.TRANSFER.value:
            return kind
        came_back = (direction == Direction.CREDIT.value) is not (kind == Kind.COLLECTION.value)
        return "returned" if came_back else kind
    return "other receipts" if direction == Direction.CREDIT.value else "other payments"
