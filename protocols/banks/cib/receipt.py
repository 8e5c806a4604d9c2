"""Electronic receipts: a job for an account and a day, a poll for its files, and the fetch of one.

The job's TRNUID is made of account and day, so that a job that is requested twice is one job: a repeated TRNUID returns
the earlier result, and a second job would be refused. How a FILE_ID is fetched is not public. It is fetched from
`receipt_path`; without that option there are no receipts (banks/cib.md 4.9).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Final, NoReturn

from protocols.bank import Ask, Context, Conversation
from protocols.banks.cib.fox import Fox, attribute, same
from protocols.banks.cib.requests import RECEIPT_FILES, RECEIPT_JOB, leaf
from protocols.canon.query import ReceiptQuestion
from protocols.canon.statement import Receipt, ReceiptLater
from protocols.kit import http
from protocols.kit.archives import only_member, pdf
from protocols.kit.declined import Declined
from protocols.kit.errors import CannotAsk, ProtocolError
from protocols.kit.fields import date_text
from protocols.kit.xmldoc import el, one, several, value, value_or

JOB: Final = "ELECTRONICRECEIPTTRN"
FILES: Final = "ASYNRECEIPTINFOTRN"
LATER_S: Final = 900.0
PAGES_MAX: Final = 50
_FILE_ID: Final = re.compile(r"[0-9A-Za-z._-]{1,128}", re.ASCII)
_WAITING: Final = ("0", "1")
_MADE: Final = "2"


@dataclass(frozen=True, slots=True)
class _File:
    """A file of a finished job."""

    file_id: str
    name: str

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def ending(self) -> str:
        return PurePosixPath(self.name).suffix.lower()


@dataclass(frozen=True, slots=True)
class Receipts:
    """The receipts of one customer."""

    fox: Fox

    def receipt(self, question: ReceiptQuestion, context: Context) -> Conversation[Receipt | ReceiptLater]:
        """The receipt of an entry, or a ticket for asking again. Raises Declined if the bank refuses.

        The bank names a PDF by the entry's key (ATTACHINFO), so `bank_line_id` is needed. The bank makes no PDF on the
        day of the entry.
        """
        if not question.bank_line_id:
            raise CannotAsk("a receipt is found by the entry's key (ATTACHINFO)")
        if question.bank_date >= context.bank_date:
            raise CannotAsk("the bank makes receipts of past days only", "value")
        ticket = question.ticket
        if ticket is None:
            return (yield from self._job(question, context))
        files = yield from self._files(ticket, question, context)
        if files is None:
            return ReceiptLater(ticket, LATER_S)
        return (yield from self._search(files, question.bank_line_id))

    def _job(self, question: ReceiptQuestion, context: Context) -> Conversation[ReceiptLater]:
        account, day = question.account.clear, question.bank_date
        content = el("RQBODY", RECEIPT_JOB.elements((account, day), leaf))
        answer = yield from self.fox.asked(JOB, "receipt", content, context, trnuid=job_id(account, day))
        body = one(answer.within, "RSBODY")
        ticket, status = value(body, "CLT_REF_NO"), value(body, "STATUS")
        if not ticket:
            raise ProtocolError("missing", "the bank took the job but gave it no CLT_REF_NO")
        self._check_status(status)
        return ReceiptLater(ticket, LATER_S)

    def _check_status(self, status: str) -> None:
        if status not in (*_WAITING, _MADE):
            raise Declined("receipt", f"STATUS {status}", "the bank could not make the receipts", _refused(status))

    def _files(self, ticket: str, question: ReceiptQuestion, context: Context) -> Conversation[list[_File] | None]:
        """All files of the job; None while the bank is still making them."""
        files: list[_File] = []
        for page in range(1, PAGES_MAX + 1):
            content = el("RQBODY", RECEIPT_FILES.elements(ticket, leaf), PAGE=str(page))
            trnuid = f"{self.fox.question_id(context)}P{page}"
            answer = yield from self.fox.asked(FILES, "receipt", content, context, trnuid=trnuid)
            body = one(answer.within, "RSBODY")
            status = value(body, "STATUS")
            self._check_status(status)
            if status in _WAITING:
                return None
            same("ACCTID", value_or(body, "ACCTID"), question.account.clear)
            found = [_File(value(row, "FILE_ID"), value(row, "FILE_NAME")) for row in several(body, "CONTENT")]
            if any(one_file in files for one_file in found):
                raise ProtocolError("paging", "the bank lists a receipt twice: it repeats its pages")
            files += found
            if attribute(body, "MORE") != "Y":
                return files
        raise ProtocolError("paging", f"more than {PAGES_MAX} pages of receipts")

    def _search(self, files: list[_File], key: str) -> Conversation[Receipt]:
        """The PDF of the entry: a file with its name, or one inside an archive."""
        for file in files:
            if file.ending == ".pdf" and file.stem == key:
                data = yield from self._fetch(file)
                return pdf(data, file.name)
        for file in files:
            if file.ending == ".zip":
                data = yield from self._fetch(file)
                try:
                    return only_member(data, lambda name: PurePosixPath(name).stem == key)
                except ProtocolError as error:
                    if error.reason != "missing":
                        raise
        _none(key)

    def _fetch(self, file: _File) -> Conversation[bytes]:
        if not _FILE_ID.fullmatch(file.file_id):
            raise ProtocolError("value", "a FILE_ID that cannot stand in a path")
        path = self.fox.options.receipt_path.replace("{file_id}", file.file_id)
        wire = http.request("GET", path, self.fox.options.host_header, (("Connection", "close"),))
        return http.expect_status(http.parse_answer((yield Ask("business", wire))))


def job_id(account: str, day: date) -> str:
    """The job's TRNUID: one for each account and day, of another length than that of a payment."""
    return f"R{date_text(day)}{hashlib.sha256(account.encode()).hexdigest()[:13].upper()}"


def _none(key: str) -> NoReturn:
    raise Declined("receipt", "", f"the bank's files of that day have none for {key}", "failed")


def _refused(status: str) -> str | None:
    return "failed" if status == "3" else None
