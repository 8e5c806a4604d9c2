"""The verb `GET /reports/{}`: the rows of one treasury report, page by page. The command line writes the files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection

from gateway.act_ports import Accounts, Certificates, NodePort
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.reports import sources
from gateway.reports.acts import MakeReport
from gateway.reports.catalogue import RESTRICTED, SOURCES
from gateway.reports.facts import audit_head
from gateway.reports.question import BadPeriod, ReportScope, question
from gateway.reports.sources import ReportPage, ReportQuestion, RowSource
from protocols.erp.news import instant


@dataclass(frozen=True, slots=True)
class ReportAnswers:
    """Answers the acts about reports."""

    store: Store
    clock: Clock
    accounts: Accounts
    node: NodePort
    certificates: Certificates

    @answers("reports.make")
    async def of_accounts(self, call: Call, params: MakeReport) -> Any:
        """A page of a report about accounts."""
        if params.name not in SOURCES or params.name in RESTRICTED:
            there = ", ".join(sorted(SOURCES.keys() - RESTRICTED))
            raise Denied(404, "no_such_report", f"there is no report {params.name}; there are {there}")
        return await self._report(params.name, call)

    @answers("reports.security_review")
    async def security_review(self, call: Call) -> Any:
        """A page of the report about rights and decisions."""
        return await self._report("security-review", call)

    async def _report(self, name: str, call: Call) -> Any:
        """Answer with a page of rows. The audit trail notes each page of an unmasked report, because any page can be
        asked for first."""
        after, source = call.query.get("after"), SOURCES[name]
        limit = int(call.number("limit", sources.PAGE_ROWS, sources.PAGE_ROWS)) if "limit" in call.query else None
        asked = self._question(call, limit)
        page = await self.store.read(lambda conn: _page(source, conn, asked, after))
        if call.clear:
            detail = {"report": name, "from": asked.first.isoformat(), "to": asked.last.isoformat(), "after": after}
            await self.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "report.shown_clear", self.node.name, detail)
            )
        said = _said(asked, page)
        if name == "daily" and after is None:
            said["audit_head"] = await self.store.read(partial(audit_head, node=self.node.name))
        return said

    def _question(self, call: Call, most_rows: int | None) -> ReportQuestion:
        said = call.query
        wish = ReportScope(
            said.get("bank"),
            said.get("company"),
            said.get("account"),
            _day(call, "from"),
            _day(call, "to"),
            call.clear,
            call.scope,
            most_rows,
        )
        try:
            return question(self.accounts(), self.clock.now_ms(), wish, self.certificates())
        except BadPeriod as error:
            raise Denied(400, "bad_period", str(error)) from None


def _page(source: RowSource, conn: Connection, asked: ReportQuestion, after: str | None) -> ReportPage:
    """As many rows as were asked for, or somewhat more.

    A source may drop most of the rows that it reads. So several of its pages are read, and the rows found so far make a
    page.
    """
    page, read = source(conn, asked, after), asked.most_rows
    rows = list(page.rows)
    while page.after is not None and len(rows) < asked.most_rows and read < sources.PAGE_ROWS:
        page, read = source(conn, asked, page.after), read + asked.most_rows
        rows += page.rows
    return ReportPage(rows, page.after)


def _said(asked: ReportQuestion, page: ReportPage) -> dict[str, Any]:
    return {
        "at": instant(asked.now_ms),
        "from": asked.first.isoformat(),
        "to": asked.last.isoformat(),
        "accounts": len(asked.routes),
        "rows": page.rows,
        "next": page.after,
    }


def _day(call: Call, name: str) -> date | None:
    given = call.query.get(name)
    if given is None:
        return None
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise Denied(400, "bad_day", f"`{name}` is a day as 2026-11-30, not {given!r}") from None
