"""Versions of an account's monthly reconciliation statement (余额调节表): submitted, approved, frozen."""

from __future__ import annotations

import calendar
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, func, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows.persons import No

SUBMITTED, APPROVED = "submitted", "approved"
ON_THEIR_WAY = ("bank_received", "bank_paid", "book_received", "book_paid")
UNEXPLAINED = ("bank_unexplained", "book_unexplained")
_BALANCES = ("book", "bank", "book_adjusted", "bank_adjusted", "difference")
_T = schema.balance_tables.c
_NEVER = date.min


@dataclass(frozen=True, slots=True)
class TableVersion:
    """A submitted version with its content at that time. `approved_by` is empty until another person approves it."""

    month: str
    version: int
    state: str
    at_ms: int
    submitted_by: str
    approved_by: str
    content: Mapping[str, Any]


def versions(conn: Connection, account: str, month: str) -> list[TableVersion]:
    """The versions of a month, the newest last."""
    index = vault_of(conn).blind(account)
    found = conn.execute(
        select(schema.balance_tables).where(_T.account_idx == index, _T.month == month).order_by(_T.version)
    )
    return [_read(conn, row) for row in found]


def approved_until(conn: Connection, account: str) -> date:
    """The last day of the last month whose statement is approved; the earliest date if none is."""
    index = vault_of(conn).blind(account)
    month = conn.execute(
        select(_T.month).where(_T.account_idx == index, _T.state == APPROVED).order_by(_T.month.desc()).limit(1)
    ).scalar()
    return _NEVER if month is None else last_day(str(month))


def approvals(conn: Connection, account: str) -> dict[str, int]:
    """For each approved month, the time at which its last approved version was approved."""
    index = vault_of(conn).blind(account)
    found = conn.execute(
        select(_T.month, func.max(_T.at_ms)).where(_T.account_idx == index, _T.state == APPROVED).group_by(_T.month)
    )
    return {str(month): int(at_ms) for month, at_ms in found}


def submit(tx: Tx, account: str, month: str, content: Mapping[str, Any], actor: str) -> TableVersion | No:
    """Record the present statement as a version. Nothing is recorded if the last version has the same content."""
    before = versions(tx.fresh, account, month)
    if before and before[-1].content == content:
        last = before[-1]
        return No("not_now", f"version {last.version} says the same and is {last.state}; nothing was changed")
    made = TableVersion(month, len(before) + 1, SUBMITTED, tx.now_ms, actor, "", content)
    index = tx.vault.blind(account)
    insert_new(
        tx.fresh,
        schema.balance_tables,
        {
            "account_idx": index,
            "month": month,
            "version": made.version,
            "state": SUBMITTED,
            "at_ms": tx.now_ms,
            "body": tx.vault.seal(_written(made), _aad(index, month, made.version)),
        },
    )
    audit.append(tx, actor, "balance_table.submitted", f"{index[:16]}/{month}/{made.version}", _difference(content))
    return made


def approve(tx: Tx, account: str, month: str, version: int, actor: str) -> TableVersion | No:
    """Approve the last version, as another person than its submitter. The version is frozen from then on."""
    before = versions(tx.fresh, account, month)
    if not before or before[-1].version != version:
        return No("not_the_last", f"version {version} is not the last one of {month}; nothing was changed")
    last = before[-1]
    if last.state == APPROVED:
        return No("not_now", f"version {version} is approved already; nothing was changed")
    if last.submitted_by == actor:
        return No("same_person", f"{actor} submitted it; another person approves; nothing was changed")
    if last.content.get("difference"):
        differs = last.content["difference"]
        return No("difference", f"its two sides differ by {differs} minor units; nothing was changed")
    unexplained = sum(len(last.content.get(name, ())) for name in UNEXPLAINED)
    if unexplained:
        return No(
            "unexplained",
            f"{unexplained} rows have a candidate and do not fit: confirm them, or set them aside "
            "with the reason, and submit another version; nothing was changed",
        )
    made = TableVersion(month, version, APPROVED, tx.now_ms, last.submitted_by, actor, last.content)
    index = tx.vault.blind(account)
    tx.fresh.execute(
        update(schema.balance_tables)
        .where(_T.account_idx == index, _T.month == month, _T.version == version)
        .values(state=APPROVED, at_ms=tx.now_ms, body=tx.vault.seal(_written(made), _aad(index, month, version)))
    )
    audit.append(tx, actor, "balance_table.approved", f"{index[:16]}/{month}/{version}", {})
    return made


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The differences between a version and the one before: balances as (was, is), and items that came and went."""
    said: dict[str, Any] = {
        name: [before.get(name), after.get(name)] for name in _BALANCES if before.get(name) != after.get(name)
    }
    for name in (*ON_THEIR_WAY, *UNEXPLAINED):
        was, now = ([*content.get(name, ())] for content in (before, after))
        came, went = [one for one in now if one not in was], [one for one in was if one not in now]
        if came or went:
            said[name] = {"came": came, "went": went}
    return said


def last_day(month: str) -> date:
    """The last day of a month written as 2026-11. Raises ValueError."""
    first = date.fromisoformat(f"{month}-01")
    return first.replace(day=calendar.monthrange(first.year, first.month)[1])


def _difference(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"difference": content.get("difference")}


def _written(one: TableVersion) -> bytes:
    said = {"submitted_by": one.submitted_by, "approved_by": one.approved_by, "content": one.content}
    return json.dumps(said, ensure_ascii=False).encode()


def _read(conn: Connection, row: Any) -> TableVersion:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.account_idx, row.month, row.version)))
    return TableVersion(
        row.month, row.version, row.state, row.at_ms, said["submitted_by"], said["approved_by"], said["content"]
    )


def _aad(index: str, month: str, version: int) -> bytes:
    return f"balance_tables/{index}/{month}/{version}".encode()
