"""The rows of the reports about reconciliation: monthly statements and open items, one account a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.kernel.core.policy import Route
from gateway.reconciliation.rows.account_matchings import reconcile
from gateway.reconciliation.rows.balance_tables import UNEXPLAINED
from gateway.reconciliation.rows.exceptions import ReconciliationException, exceptions
from gateway.reconciliation.rows.reconciled import NoTable, Reconciled, balance_table
from gateway.reconciliation.rules.rows import Matching, MatchRow
from gateway.reports.sources import ReportPage, ReportQuestion
from gateway.reports.table import TableRow
from protocols.canon.statement import Direction

_LISTS = {"book": ("bank_received", "bank_paid"), "bank": ("book_received", "book_paid")}
_LESS = frozenset({"bank_paid", "book_paid"})


def balance_tables(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """An account's statement as of the last day of the period. An account without a statement has a row with the
    reason.
    """
    return _by_account(asked, after, lambda route: _table(conn, asked, route))


def open_items(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """An account's rows without a match, in both matchings, oldest first."""
    return _by_account(asked, after, lambda route: _open(reconcile(conn, route, asked.last, asked.terms), asked, route))


def _by_account(asked: ReportQuestion, after: str | None, rows_of: Callable[[Route], list[TableRow]]) -> ReportPage:
    place = 0 if after is None or not after.isdecimal() else int(after)
    if place >= len(asked.routes):
        return ReportPage([])
    following = str(place + 1) if place + 1 < len(asked.routes) else None
    return ReportPage(rows_of(asked.routes[place]), following)


def _table(conn: Connection, asked: ReportQuestion, route: Route) -> list[TableRow]:
    head = {
        "company": route.company,
        "bank": route.bank,
        "account": asked.shown(route.account),
        "currency": route.currency,
    }
    try:
        content = balance_table(conn, route, reconcile(conn, route, asked.last, asked.terms))
    except NoTable as error:
        return [{**head, "section": "missing", "reason": error.why}]
    rows: list[TableRow] = []
    for side, lists in _LISTS.items():
        rows.append({**head, "section": side, "day": content["last"], "amount": content[side]})
        for name in lists:
            rows += [{**head, "section": name, **_item(asked, name, item)} for item in content[name]]
        rows.append({**head, "section": f"{side}_adjusted", "amount": content[f"{side}_adjusted"]})
    rows.append({**head, "section": "difference", "amount": content["difference"]})
    for name in UNEXPLAINED:
        rows += [{**head, "section": name, **_item(asked, name, item)} for item in content[name]]
    return rows


def _item(asked: ReportQuestion, name: str, item: Mapping[str, Any]) -> dict[str, str | int | None]:
    minor = -item["amount"] if name in _LESS else item["amount"]
    return {
        "day": item["day"],
        "item": item["id"],
        "about": asked.text_shown(item["about"]),
        "amount": minor,
        "reason": asked.text_shown(item["reason"]),
    }


def _open(found: Reconciled, asked: ReportQuestion, route: Route) -> list[TableRow]:
    rows: list[TableRow] = []
    wrong = {(one.matching, id): one for one in exceptions(found, asked.terms) for id in one.rows}
    for matching in Matching:
        for lines in (False, True):
            side = "entry" if lines else "payment" if matching is Matching.PAYMENTS else "book row"
            rows += [
                {
                    **_open_row(found, asked, route, matching, side, row, reason),
                    **_step(wrong.pop((matching, row.id), None)),
                }
                for row, reason in found.open(matching, lines=lines)
            ]
    rows += [
        {
            "company": route.company,
            "bank": route.bank,
            "account": asked.shown(route.account),
            "currency": route.currency,
            "matching": one.matching.value,
            "day": one.day.isoformat(),
            "age": (asked.last - one.day).days,
            "item": id,
            "about": asked.text_shown(one.about),
            **_step(one),
        }
        for (_, id), one in wrong.items()
    ]
    return rows


def _step(one: ReconciliationException | None) -> dict[str, str | int | None]:
    return {} if one is None else {"exception": one.kind.value, "next_step": one.next_step}


def _open_row(
    found: Reconciled, asked: ReportQuestion, route: Route, matching: Matching, side: str, row: MatchRow, reason: str
) -> TableRow:
    way = "credit" if row.direction is Direction.CREDIT else "debit"
    return {
        "company": route.company,
        "bank": route.bank,
        "account": asked.shown(route.account),
        "currency": row.currency,
        "matching": matching.value,
        "side": side,
        "day": row.day.isoformat(),
        "age": (asked.last - row.day).days,
        way: row.amount_minor,
        "item": row.id,
        "about": asked.text_shown(found.rows.about.get(row.id, "")),
        "reason": asked.text_shown(reason),
    }
