"""The verb `GET /reports/{}`: the rows of one treasury report, page by page. The command line writes the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.masked_text import masked_text
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit import audit
from gateway.journal.sql import schema
from gateway.treasury.reports.catalogue import SOURCES
from gateway.treasury.reports.sources import ReportPage, ReportQuestion, TextShown
from protocols.canon.party import Name, mask
from protocols.erp.news import instant

ZONE = "Asia/Shanghai"
"""The zone of a report's days if it has no accounts; else that of the first account's bank."""


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about reports."""
    return (Verb("GET", "/reports/([^/]+)", partial(_report, daemon_handle)),)


async def _report(daemon_handle: DaemonHandle, call: Call) -> Any:
    """A page of rows. Each page of an unmasked report is noted in the audit trail: any page can be the first asked."""
    name, after = call.parts[0], call.query.get("after")
    source = SOURCES.get(name)
    if source is None:
        raise Denied(404, "no_such_report", f"there is no report {name}; there are {', '.join(sorted(SOURCES))}")
    asked = _question(daemon_handle, call)
    page = await daemon_handle.store.read(lambda conn: source(conn, asked, after))
    if call.clear:
        detail = {"report": name, "from": asked.first.isoformat(), "to": asked.last.isoformat(), "after": after}
        node = daemon_handle.identity["node"]
        await daemon_handle.store.write(
            lambda tx: audit.append(tx, call.peer.actor, "report.shown_clear", node, detail)
        )
    said = _said(asked, page)
    if name == "daily" and after is None:
        said["audit_head"] = await daemon_handle.store.read(partial(_head, node=daemon_handle.identity["node"]))
    return said


def _said(asked: ReportQuestion, page: ReportPage) -> dict[str, Any]:
    return {
        "at": instant(asked.now_ms), "from": asked.first.isoformat(), "to": asked.last.isoformat(),
        "accounts": len(asked.routes), "rows": page.rows, "next": page.after,
    }  # fmt: skip


def _question(daemon_handle: DaemonHandle, call: Call) -> ReportQuestion:
    register, now_ms = daemon_handle.register(), daemon_handle.clock.now_ms()
    bank, company, account = (call.query.get(name) for name in ("bank", "company", "account"))
    routes = [
        route for route in register.routes.values()
        if bank in (None, route.bank) and company in (None, route.company)
        and account in (None, route.account)
        and call.scope.covers(route.company, route.account)
    ]  # fmt: skip
    routes.sort(key=_order)
    zone = ZoneInfo(routes[0].limits.hours.zone if routes else ZONE)
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    last = _day(call, "to", today)
    first = _day(call, "from", last.replace(day=1))
    if first > last:
        raise Denied(400, "bad_period", f"the period ends on {last} before it begins on {first}")
    shown: Callable[[str], str] = str if call.clear else mask
    name_shown: Callable[[str], str] = str if call.clear else lambda name: str(Name(name)) if name else ""
    text_shown: TextShown = _clear if call.clear else masked_text
    return ReportQuestion(
        routes, call.scope, first, last, zone, now_ms, shown, name_shown, text_shown, register.watched, bank,
        register.reconciliation,
    )


def _clear(text: str, *_names: str) -> str:
    return text


def _order(route: Route) -> tuple[str, str, str, str]:
    return route.company, route.bank, route.currency, route.account


def _day(call: Call, name: str, default: date) -> date:
    given = call.query.get(name)
    if given is None:
        return default
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None


def _head(conn: Connection, node: str) -> str:
    found = conn.execute(select(schema.units.c.audit_hash).where(schema.units.c.node == node)).scalar()
    return "" if found is None else str(found)
