"""The verb `GET /reports/{}`: the rows of one treasury report, page by page. The command line writes the files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.treasury.reports import sources
from gateway.treasury.reports.catalogue import RESTRICTED, SOURCES
from gateway.treasury.reports.facts import audit_head
from gateway.treasury.reports.question import BadPeriod, ReportWish, question
from gateway.treasury.reports.sources import ReportPage, ReportQuestion, RowSource
from protocols.erp.news import instant


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about reports."""
    return (
        Verb("GET", "/reports/([^/]+)", partial(_of_accounts, daemon_handle)),
        Verb("GET", "/security-review", partial(_report, daemon_handle, "security-review")),
    )


async def _of_accounts(daemon_handle: DaemonHandle, call: Call) -> Any:
    """A page of a report about accounts."""
    name = call.parts[0]
    if name not in SOURCES or name in RESTRICTED:
        there = ", ".join(sorted(SOURCES.keys() - RESTRICTED))
        raise Denied(404, "no_such_report", f"there is no report {name}; there are {there}")
    return await _report(daemon_handle, name, call)


async def _report(daemon_handle: DaemonHandle, name: str, call: Call) -> Any:
    """A page of rows. Each page of an unmasked report is noted in the audit trail: any page can be the first asked."""
    after, source = call.query.get("after"), SOURCES[name]
    limit = int(call.number("limit", sources.PAGE_ROWS, sources.PAGE_ROWS)) if "limit" in call.query else None
    asked = _question(daemon_handle, call, limit)
    page = await daemon_handle.store.read(lambda conn: _page(source, conn, asked, after))
    if call.clear:
        detail = {"report": name, "from": asked.first.isoformat(), "to": asked.last.isoformat(), "after": after}
        node = daemon_handle.identity["node"]
        await daemon_handle.store.write(
            lambda tx: audit.append(tx, call.peer.actor, "report.shown_clear", node, detail)
        )
    said = _said(asked, page)
    if name == "daily" and after is None:
        said["audit_head"] = await daemon_handle.store.read(partial(audit_head, node=daemon_handle.identity["node"]))
    return said


def _page(source: RowSource, conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """As many rows as were asked for, or somewhat more. A source may leave most of what it reads out, so that some
    pages of it are looked at, and what was found by then is a page."""
    page, read = source(conn, asked, after), asked.most_rows
    rows = list(page.rows)
    while page.after is not None and len(rows) < asked.most_rows and read < sources.PAGE_ROWS:
        page, read = source(conn, asked, page.after), read + asked.most_rows
        rows += page.rows
    return ReportPage(rows, page.after)


def _said(asked: ReportQuestion, page: ReportPage) -> dict[str, Any]:
    return {
        "at": instant(asked.now_ms), "from": asked.first.isoformat(), "to": asked.last.isoformat(),
        "accounts": len(asked.routes), "rows": page.rows, "next": page.after,
    }  # fmt: skip


def _question(daemon_handle: DaemonHandle, call: Call, most_rows: int | None) -> ReportQuestion:
    said = call.query
    wish = ReportWish(said.get("bank"), said.get("company"), said.get("account"), _day(call, "from"), _day(call, "to"),
                      call.clear, call.scope, most_rows)  # fmt: skip
    try:
        return question(daemon_handle.register(), daemon_handle.clock.now_ms(), wish, daemon_handle.certificates())
    except BadPeriod as error:
        raise Denied(400, "bad_period", str(error)) from None


def _day(call: Call, name: str) -> date | None:
    given = call.query.get(name)
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None
