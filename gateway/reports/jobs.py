"""Writes reports once a day, month or quarter into a folder that only the daemon's user can read.

A report covers a period that is over. The node that claims its row in `jobs` writes it in a reading thread, from one
snapshot of the journal, so that payments are not delayed. A file is complete or absent, and its SHA-256 is in the audit
trail. A failed run is tried again. A day that was missed altogether is not made up for; request such a report on
demand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from twisted.python.failure import Failure

from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster import jobs
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.tasks import Tasks, sleep
from gateway.register.registry import Registry
from gateway.reports import written
from gateway.reports.catalogue import SOURCES
from gateway.reports.facts import audit_head, facts
from gateway.reports.forms import FORMS
from gateway.reports.question import ReportScope, question
from gateway.reports.sources import ReportQuestion, RowSource
from gateway.reports.table import TableRow
from gateway.reports.typesetting import NoPdf
from gateway.settings.treasury_tables import ReportSettings
from protocols.erp.news import instant

LOOK_S = 30.0
AGAIN_S = 600.0
_BANK = "-"
_OURS = re.compile(r"[a-z0-9_-]+\.[0-9]{4}-(Q[1-4]|[0-9]{2}(-[0-9]{2})?)\.(xlsx|pdf|html|csv)")
_log = log.get("treasury.reports")


@dataclass(frozen=True, slots=True)
class ScheduledReport:
    """One report to write: `key` is unique and begins its files' names. `every` is day, month or quarter."""

    key: str
    report: str
    at: time
    every: str
    suffix: str
    language: str
    wish: ReportScope
    keep_days: int

    def period(self, now: datetime) -> tuple[date, date]:
        """The first and last day of the period whose report is due at a local time: the last one that is over."""
        due = now.date() if now.time() >= self.at else now.date() - timedelta(days=1)
        if self.every == "day":
            return due - timedelta(days=1), due - timedelta(days=1)
        months = 3 if self.every == "quarter" else 1
        last = due.replace(month=(due.month - 1) // months * months + 1, day=1) - timedelta(days=1)
        return last.replace(month=last.month - months + 1, day=1), last

    def name(self, last: date) -> str:
        """The file's name."""
        quarter, month = f"{last.year}-Q{(last.month + 2) // 3}", f"{last:%Y-%m}"
        period = {"day": last.isoformat(), "month": month, "quarter": quarter}[self.every]
        return f"{self.key}.{period}{self.suffix}"


def scheduled_of(settings: ReportSettings) -> list[ScheduledReport]:
    """The reports of the settings."""
    return [
        ScheduledReport(
            one.key,
            one.report,
            one.at,
            one.every,
            f".{one.form}",
            one.language,
            ReportScope(one.bank, one.company, clear=one.clear),
            one.keep_days,
        )
        for one in settings.scheduled
    ]


class ScheduledReports:
    """Writes the reports of the settings when they are due."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: str,
        folder: Path,
        zone: str,
        reports: Sequence[ScheduledReport],
        register: Callable[[], Registry],
        certificates: Callable[[], Mapping[tuple[str, str], float]] = dict,
    ) -> None:
        self._store, self._clock, self._node, self._folder, self._zone = store, clock, node, folder, ZoneInfo(zone)
        self._reports, self._register, self._certificates = reports, register, certificates
        self._not_before_s: dict[str, float] = {}
        self._tasks = Tasks(_failed)

    def start(self) -> None:
        """Begin to check what is due, if any report is scheduled."""
        if self._reports:
            self._tasks.spawn(self._run())

    def stop(self) -> None:
        """Stop checking. A report that is being written stays as a hidden part."""
        self._tasks.stop()

    async def _run(self) -> None:
        while True:
            for one in self._reports:
                await self.write_if_due(one)
            await sleep(self._clock, LOOK_S)

    async def write_if_due(self, one: ScheduledReport) -> None:
        """Write the report if it is due and its file does not exist yet."""
        now_s = self._clock.monotonic_s()
        if now_s < self._not_before_s.get(one.key, now_s):
            return
        now = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).astimezone(self._zone)
        first, last = one.period(now)
        try:
            if await self._is_ours(one, last):
                await self._make(one, first, last)
        except (OSError, NoPdf, written.CannotWrite) as error:
            self._not_before_s[one.key] = now_s + AGAIN_S
            _log.error("report.failed", report=one.key, reason=str(error), action=f"tried again in {AGAIN_S:.0f} s")

    async def _is_ours(self, one: ScheduledReport, last: date) -> bool:
        job = await self._store.read(lambda conn: jobs.find(conn, _job(one), _BANK, last))
        if job is None:
            return await self._store.write(lambda tx: jobs.claim(tx, _job(one), _BANK, last))
        return job.node == self._node and job.finished_ms is None

    async def _make(self, one: ScheduledReport, first: date, last: date) -> None:
        register, now_ms = self._register(), self._clock.now_ms()
        wish = ReportScope(one.wish.bank, one.wish.company, one.wish.account, first, last, one.wish.clear)
        asked = question(register, now_ms, wish, self._certificates())
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        file = self._folder / one.name(last)
        rows = await self._store.read(lambda conn: _write(conn, self._node, one, asked, file))
        digest = sha256(file.read_bytes()).hexdigest()
        detail = {"file": file.name, "rows": rows, "sha256": digest, "clear": one.wish.clear}

        def done(tx: Tx) -> None:
            if jobs.finish(tx, _job(one), _BANK, last):
                audit.append(tx, f"node:{tx.node}", "report.written", f"report:{one.key}", detail)

        await self._store.write(done)
        _log.info("report.written", report=one.key, file=file.name, rows=rows, sha256=digest)
        self._forget_old(one, last)

    def _forget_old(self, one: ScheduledReport, last: date) -> None:
        """Delete this report's files of days that are long over."""
        oldest = one.name(last - timedelta(days=one.keep_days))
        for file in self._folder.glob(f"{one.key}.*{one.suffix}"):
            if _OURS.fullmatch(file.name) and len(file.name) == len(oldest) and file.name < oldest:
                file.unlink(missing_ok=True)
                _log.info("report.deleted", report=one.key, file=file.name)


def _write(conn: Connection, node: str, one: ScheduledReport, asked: ReportQuestion, file: Path) -> int:
    head = audit_head(conn, node) if one.report == "daily" else ""
    about = facts(one.language, (asked.first, asked.last), instant(asked.now_ms), len(asked.routes), head)
    rows = _all_rows(conn, SOURCES[one.report], asked)
    return written.to_file(FORMS[one.report], about, rows, one.language, file)


def _all_rows(conn: Connection, source: RowSource, asked: ReportQuestion) -> Iterator[TableRow]:
    page = source(conn, asked, None)
    yield from page.rows
    while page.after is not None:
        page = source(conn, asked, page.after)
        yield from page.rows


def _job(one: ScheduledReport) -> str:
    return f"report:{one.key}"


def _failed(failure: Failure) -> None:
    _log.error(
        "reports.stopped",
        error=failure.getTraceback(detail="brief"),
        action="no report is written until the daemon starts again",
    )
