"""Conditions that the journal shows: a node that writes nothing, and reports, statements and receipts that are late."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, select

from gateway.kernel.sql import schema
from gateway.notices.conditions import Condition
from gateway.notices.kinds import NoticeKind
from gateway.notices.notice_queue import local_time

RETIRED_MS = 7 * 86_400_000
"""A node that has been silent for so long counts as retired, unless no node is alive."""
STATEMENT_DAYS = 35
REPORT_DAYS = 7
_U, _J, _S = schema.units.c, schema.jobs.c, schema.receipt_searches.c
_DAY_MS = 86_400_000
_RUNNING, _WAITING = "running", "waiting"


@dataclass(frozen=True, slots=True)
class LateTerms:
    """After how long each thing counts as late."""

    daemon_silent_ms: int
    report_ms: int
    statement_ms: int
    receipt_ms: int


def silent_nodes(conn: Connection, seen: MutableMapping[str, int], now_ms: int, silent_ms: int) -> list[Condition]:
    """The nodes that have written nothing for `silent_ms`. A running node writes each second, also without payments.

    `seen` has the nodes that were seen alive, and is kept up to date. A node that was retired before this process began
    is not reported, unless no node runs at all.
    """
    rows = [(str(node), int(at_ms)) for node, at_ms in conn.execute(select(_U.node, _U.at_ms))]
    alive = {node: at_ms for node, at_ms in rows if now_ms - at_ms < silent_ms}
    seen.update(alive)
    for node, at_ms in tuple(seen.items()):
        if alive and now_ms - at_ms >= RETIRED_MS:
            del seen[node]
    silent = [node for node, at_ms in rows if node not in alive and (node in seen or not alive)]
    if not alive and silent:
        # Without any sign of life before, the node that wrote last is the one that should run.
        newest = max(rows, key=lambda row: row[1])[0]
        silent = [node for node in silent if node in seen] or [newest]
    return [Condition(NoticeKind.DAEMON_STOPPED, f"node {node}") for node in sorted(silent)]


def late(
    conn: Connection, terms: LateTerms, zone: ZoneInfo, now_ms: int, companies: Callable[[str], frozenset[str]]
) -> list[Condition]:
    """The reports, statements and receipts that are late. Of statements and receipts one condition for each bank or
    lane, told again for each further day."""
    return [
        *_reports(conn, now_ms, terms.report_ms),
        *_statements(conn, local_time(zone, now_ms - terms.statement_ms).date(), companies),
        *_receipts(conn, zone, now_ms - terms.receipt_ms, companies),
    ]


def _reports(conn: Connection, now_ms: int, late_ms: int) -> Iterator[Condition]:
    wanted = select(_J.job, _J.business_date).where(
        _J.job.like("report:%"),
        _J.state == _RUNNING,
        _J.started_ms < now_ms - late_ms,
        _J.started_ms > now_ms - REPORT_DAYS * _DAY_MS,
    )
    for job, day in conn.execute(wanted.order_by(_J.job, _J.business_date)):
        yield Condition(NoticeKind.REPORT_FAILED, f"{job.partition(':')[2]} {day}")


def _statements(conn: Connection, today: date, companies: Callable[[str], frozenset[str]]) -> Iterator[Condition]:
    first, last = today - timedelta(days=STATEMENT_DAYS), today - timedelta(days=1)
    wanted = (
        select(_J.bank, func.count(), func.min(_J.business_date), func.max(_J.business_date))
        .where(
            _J.job.like("statement:%"),
            _J.state == _RUNNING,
            _J.business_date >= first.isoformat(),
            _J.business_date <= last.isoformat(),
        )
        .group_by(_J.bank)
        .order_by(_J.bank)
    )
    for bank, number, oldest, newest in conn.execute(wanted):
        detail = f"{number}, {oldest}" if oldest == newest else f"{number}, {oldest} – {newest}"
        yield Condition(NoticeKind.STATEMENT_MISSING, bank, detail, newest, companies(bank))


def _receipts(
    conn: Connection, zone: ZoneInfo, before_ms: int, companies: Callable[[str], frozenset[str]]
) -> Iterator[Condition]:
    wanted = (
        select(_S.lane, func.count(), func.max(_S.since_ms))
        # The lanes are named so that the index over lane and state is used.
        .where(_S.lane.in_(select(schema.lanes.c.lane)), _S.state == _WAITING, _S.since_ms < before_ms)
        .group_by(_S.lane)
        .order_by(_S.lane)
    )
    for lane, number, newest_ms in conn.execute(wanted):
        step = local_time(zone, int(newest_ms)).date().isoformat()
        yield Condition(NoticeKind.RECEIPT_MISSING, lane, str(number), step, companies(lane))
