"""The rows of the report about missing receipts (回单缺失), the oldest first."""

from __future__ import annotations

from sqlalchemy import Connection, and_, or_, select

from gateway.kernel.commit import payment_rows
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of
from gateway.receipts.rows import receipt_files, receipt_questions
from gateway.reports import sources
from gateway.reports.sources import ReportPage, ReportQuestion
from gateway.reports.table import TableRow
from gateway.statements.rows import accounts

BANDS = ((3, "up to 3 days"), (7, "4 to 7 days"), (30, "8 to 30 days"))
OLDER = "more than 30 days"
_DAY_MS = 86_400_000
_P, _S = schema.payments.c, schema.receipt_searches.c


def receipts_missing(conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """Settled payments and incoming money, up to the last day, whose receipt was not found yet.

    Payments and entries for which a person stated that there is no receipt are left out.
    """
    vault = vault_of(conn)
    routes = {vault.blind(route.account): route for route in asked.routes}
    where = [
        _S.account_idx.in_(list(routes)),
        _S.state == receipt_files.WAITING,
        _S.bank_date <= asked.last.isoformat(),
    ]
    if after is not None:
        since, _, payment = after.partition("/")
        since_ms = int(since) if since.isdecimal() else 0
        where.append(or_(_S.since_ms > since_ms, and_(_S.since_ms == since_ms, _S.payment > payment)))
    found = conn.execute(
        select(schema.receipt_searches).where(*where).order_by(_S.since_ms, _S.payment).limit(asked.most_rows)
    ).all()
    paid = {
        each.payment: payment_rows.decode_row(each, vault)
        for some in accounts.pieces([one.payment for one in found])
        for each in conn.execute(select(schema.payments).where(_P.payment.in_(some)))
    }
    rows: list[TableRow] = []
    for one in found:
        row, days = paid.get(one.payment), max(0, asked.now_ms - one.since_ms) // _DAY_MS
        shown: TableRow = sources.payment_row(row, asked) if row is not None else _came(conn, one.entry, asked)
        rows.append(
            {
                **sources.account_row(routes[one.account_idx], asked),
                "day": one.bank_date,
                "kind": "out" if one.entry is None else "in",
                "order": shown.get("order", one.payment),
                "payee": shown.get("payee"),
                "currency": shown.get("currency", routes[one.account_idx].currency),
                "amount": shown.get("amount"),
                "age": days,
                "band": next((name for most, name in BANDS if days <= most), OLDER),
                "tries": one.tries,
                "reason": one.code or "not asked yet",
                "next": asked.moment(one.due_ms),
            }
        )
    last = found[-1] if len(found) == asked.most_rows else None
    return ReportPage(rows, None if last is None else f"{last.since_ms}/{last.payment}")


def _came(conn: Connection, key: str | None, asked: ReportQuestion) -> TableRow:
    """The fields of an entry of incoming money; empty if the entry's retention has ended."""
    came = None if key is None else receipt_questions.entry_of(conn, key)
    if came is None:
        return {}
    return {
        "order": came.number or came.entry,
        "payee": asked.name_shown(came.party_name),
        "currency": came.amount.currency,
        "amount": came.amount.minor,
    }
