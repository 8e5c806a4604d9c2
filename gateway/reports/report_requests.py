"""Reports that an ERP requests: the rows are read page by page, and the file is written outside of any transaction.

A file of more than one page is kept for a day, so that all its pages come from one file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection

from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store, Tx
from gateway.people.rules.scopes import Scope
from gateway.receipts.rows import receipts
from gateway.register.registry import Registry
from gateway.reports import question as questions
from gateway.reports import written
from gateway.reports.catalogue import SOURCES
from gateway.reports.forms import FORMS
from gateway.reports.question import BadPeriod, ReportScope
from gateway.reports.sources import ReportPage, ReportQuestion, RowSource
from gateway.reports.table import ReportForm, TableHead, TableRow
from gateway.reports.typesetting import NoPdf
from protocols.canon.errors import Code, Fault, FieldCode, Refusal
from protocols.canon.statement import Receipt
from protocols.erp.news import instant
from protocols.erp.treasury_replies import ReportFile, report_ready
from protocols.erp.treasury_words import ReportRequest

MOST_BYTES = 8_388_608
"""The largest file that is sent over the broker, in bytes. `bankgw report` makes a larger one."""
_MEDIA = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
    "html": "text/html",
    "csv": "text/csv",
}


class ReportRequests:
    """Answers `report.request`."""

    def __init__(self, store: Store, clock: Clock, registry: Callable[[], Registry]) -> None:
        self._store, self._clock, self._registry = store, clock, registry

    async def answer(self, sender: str, asked: ReportRequest) -> Mapping[str, Any] | Refusal:
        """One page of a report, or the reason why there is none."""
        source, form = SOURCES.get(asked.report), FORMS.get(asked.report)
        if source is None or form is None:
            fault = Fault("/report", FieldCode.UNKNOWN_CODE, f"there are {', '.join(sorted(SOURCES))}")
            return Refusal(Code.VALIDATION, f"there is no report {asked.report}", (fault,))
        if asked.page > 1:
            return await self._further(sender, asked)
        try:
            wanted = self._question(sender, asked)
        except BadPeriod as error:
            return Refusal(Code.VALIDATION, "the period is empty", (Fault("/from", FieldCode.DATE_RANGE, str(error)),))
        if not wanted.routes:
            return Refusal(Code.VALIDATION, "no account that this sender may use has that bank, company and number")
        file = await self._made(source, form, wanted, asked)
        if isinstance(file, Refusal):
            return file
        if len(file.data) > MOST_BYTES:
            title = f"the file has {len(file.data)} bytes, the most is {MOST_BYTES}; take a shorter period"
            return Refusal(Code.VALIDATION, title)
        await self._store.write(lambda tx: _noted(tx, sender, asked, file))
        return report_ready(file, 1)

    def _question(self, sender: str, asked: ReportRequest) -> ReportQuestion:
        register = self._registry()
        one = register.senders.get(sender)
        own = frozenset(account for account in register.routes if one is not None and one.may_use(account))
        account = None if asked.account is None else asked.account.clear
        wish = ReportScope(
            asked.bank, asked.company, account, asked.first, asked.last, clear=True, scope=Scope(accounts=own)
        )
        return questions.question(register, self._clock.now_ms(), wish)

    async def _made(
        self, source: RowSource, form: ReportForm, question: ReportQuestion, asked: ReportRequest
    ) -> ReportFile | Refusal:
        with tempfile.TemporaryDirectory(prefix="bankgw-report-") as folder, tempfile.TemporaryFile("w+") as spool:
            after: str | None = None
            while True:
                page = await self._store.read(partial(_page, source=source, question=question, after=after))
                spool.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in page.rows)
                after = page.after
                if after is None:
                    break
            name = f"{asked.report}-{question.last.isoformat()}.{asked.form}"
            file = Path(folder) / name
            head = _facts(question, asked.language)

            def write_file(_conn: Connection) -> int | str:
                try:
                    return _written(form, head, _rows(spool), asked, file)
                except (NoPdf, written.CannotWrite) as error:
                    return str(error)

            # On a reader's thread, because it takes seconds. The connection is not used.
            count = await self._store.read(write_file)
            if isinstance(count, str):
                return Refusal(Code.UNSUPPORTED, count)
            data = file.read_bytes()
        return ReportFile(asked.report, question.first, question.last, name, _MEDIA[asked.form], data, count)

    async def _further(self, sender: str, asked: ReportRequest) -> Mapping[str, Any] | Refusal:
        now_ms = self._clock.now_ms()
        kept = await self._store.read(lambda conn: receipts.kept(conn, _key(sender, asked), now_ms))
        if kept is None:
            return Refusal(Code.EXPIRED, "the file is not, or no longer, kept; ask for page 1 again")
        first, last, name = kept.name.split(" ", 2)
        file = ReportFile(
            asked.report, date.fromisoformat(first), date.fromisoformat(last), name, kept.media_type, kept.data
        )
        if asked.page > file.pages:
            fault = Fault("/page", FieldCode.PATTERN, f"the report has {file.pages}", file.pages)
            return Refusal(Code.VALIDATION, f"there is no page {asked.page}", (fault,))
        return report_ready(file, asked.page)


def _noted(tx: Tx, sender: str, asked: ReportRequest, file: ReportFile) -> None:
    """Record in the audit trail that a report was sent, and store its file for further pages."""
    detail = {"report": file.report, "from": file.first.isoformat(), "to": file.last.isoformat(), "rows": file.rows}
    audit.append(tx, f"sender:{sender}", "report.sent", file.report, detail)
    if file.pages > 1:
        name = f"{file.first.isoformat()} {file.last.isoformat()} {file.name}"
        receipts.replace(tx, _key(sender, asked), Receipt(file.data, file.media_type, name))


def _key(sender: str, asked: ReportRequest) -> str:
    """A key that is equal for all pages of one report."""
    said = {**asdict(asked), "account": asked.account and asked.account.clear, "page": 0, "max_wait_s": 0}
    return "report:" + receipts.digest(sender, json.dumps(said, default=str, sort_keys=True))


def _rows(spool: IO[str]) -> Iterator[TableRow]:
    spool.seek(0)
    return (json.loads(line) for line in spool)


def _written(form: ReportForm, head: TableHead, rows: Iterator[TableRow], asked: ReportRequest, file: Path) -> int:
    if asked.form == "xlsx":
        return written.to_xlsx(form, head, rows, asked.language, file)
    if asked.form == "pdf":
        data, count = written.to_pdf(form, head, rows, asked.language)
        file.write_bytes(data)
        return count
    with file.open("w", encoding="utf-8-sig" if asked.form == "csv" else "utf-8", newline="") as out:
        if asked.form == "csv":
            return written.to_csv(form, rows, asked.language, out)
        return written.to_html(form, head, rows, asked.language, out)


def _facts(question: ReportQuestion, language: str) -> TableHead:
    words = ("期间", "出具时间", "账户数") if language == "zh" else ("Period", "Made at", "Accounts")
    first, last = question.first.isoformat(), question.last.isoformat()
    values = (first if first == last else f"{first} – {last}", instant(question.now_ms), str(len(question.routes)))
    return TableHead(tuple(zip(words, values, strict=True)))


def _page(conn: Connection, source: RowSource, question: ReportQuestion, after: str | None) -> ReportPage:
    return source(conn, question, after)
