"""The lines above a report's table: its period, its time, the number of accounts, the audit trail's head."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection, select

from gateway.kernel.sql import schema
from gateway.reports.table import TableHead

_WORDS = {"en": ("Period", "Made at", "Accounts", "Audit head"), "zh": ("期间", "出具时间", "账户数", "审计链头")}


def facts(language: str, period: tuple[date, date], made_at: str, accounts: int, audit_head: str = "") -> TableHead:
    """The lines above a report's table: period, time, accounts, audit hash."""
    words, (first, last) = _WORDS[language], period
    lines = [
        (words[0], first.isoformat() if first == last else f"{first} – {last}"),
        (words[1], made_at),
        (words[2], str(accounts)),
    ]
    return TableHead((*lines, (words[3], audit_head)) if audit_head else tuple(lines))


def audit_head(conn: Connection, node: str) -> str:
    """The hash of this node's last audit entry, so that a copy of a report can be compared with the trail later."""
    found = conn.execute(select(schema.units.c.audit_hash).where(schema.units.c.node == node)).scalar()
    return "" if found is None else str(found)
