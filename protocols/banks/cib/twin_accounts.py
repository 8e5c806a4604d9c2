"""The bank's side of balances, entries and receipts; see twin.py."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.banks.cib.twin_rules_accounts import SECOND_JOB, SECOND_JOB_ROW
from protocols.banks.cib.twin_rules_parts import broken_rule
from protocols.banks.cib.twin_words import Faults, Refused, sole, text
from protocols.canon.money import Money
from protocols.canon.statement import Direction
from protocols.judge import RuleKind
from protocols.kit.xmldoc import Markup, el
from protocols.twin import Books, Entry, Holding

Operation = Callable[[str, etree._Element, Books], Markup | None]
_ZONE: Final = timezone(timedelta(hours=8))
_PAGE: Final = 100
_MARK: Final = b"@@ROWS@@"
# banks/cib.md 4.2, widths in bytes, the newline not counted
_WIDTHS: Final = (30, 10, 3, 8, 6, 2, 3, 4, 4, 8, 3, 10, 10, 15, 15, 2, 1, 1, 1, 1, 3, 32, 32, 120, 14, 70, 1, 60, 60)


@dataclass(slots=True)
class AccountQuestions:
    """Answers questions about accounts. `jobs` are receipts ordered by account and day, `files` are the files that can
    be fetched."""

    jobs: dict[tuple[str, str], str] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    _rows: list[bytes] = field(default_factory=list)

    def operations(self, faults: Faults) -> Mapping[str, Operation]:
        """The operations that this part answers."""
        return {
            "CURRACCTQUERYTRN": _balance,
            "HISBALQUERYTRN": _past_balances,
            "SCUSTSTMTTRN": lambda _trnuid, request, books: _details(request, books, faults),
            "FSTMTTRN": lambda _trnuid, request, books: self._fixed(request, books, faults),
            "ELECTRONICRECEIPTTRN": self._job,
            "ASYNRECEIPTINFOTRN": lambda _trnuid, request, books: self._files(request, books, faults),
        }

    def with_rows(self, document: bytes) -> bytes:
        """The answer with the rows of bytes in place of their mark."""
        if not self._rows:
            return document
        rows, self._rows = b"".join(self._rows), []
        return document.replace(_MARK, b"<![CDATA[" + rows + b"]]>")

    def file(self, file_id: str) -> bytes | None:
        """A file by its number."""
        return self.files.get(file_id)

    # ---- fixed rows --------------------------------------------------------------------------------------------

    def _fixed(self, request: etree._Element, books: Books, faults: Faults) -> Markup:
        asked = sole(request, "SCUSTSTMTRQ")
        account = _holding(books, text(sole(asked, "ACCTFROM"), "ACCTID"))
        if asked.find("INCTRAN") is None:
            return _no_rows(account, books)
        entries, number = _asked(asked, account, books)
        size = int(text(sole(asked, "INCTRAN"), "NUM") or "100")
        if not entries:
            raise Refused("6421", "没有符合条件的记录", _no_rows(account, books), harmless=True)
        page, more = _cut(entries, number, size, faults)
        indent = b"    " if faults.indent else b""
        self._rows = [indent + _row(entry, faults) + b"\n" for entry in page]
        if faults.odd_rows:
            self._rows.insert(0, b"?" * sum(_WIDTHS) + b"\n")
        return el(
            "SCUSTSTMTRS",
            el("ACCTFROM", el("ACCTID", account.number)),
            el("TOTAL", str(len(entries) + faults.odd_rows)),
            el("MORE", "Y" if more else "N"),
            el("TRANLIST", _MARK.decode(), size=str(len(self._rows))),
            _balances(account, books),
        )

    # ---- receipts ----------------------------------------------------------------------------------------------

    def _job(self, trnuid: str, request: etree._Element, books: Books) -> Markup:
        body = sole(request, "RQBODY")
        account, day = text(body, "ACCTID"), text(body, "RECEIPTDATE")
        known = self.jobs.setdefault((account, day), trnuid)
        if known != trnuid:
            words = ("has a job already", "该日期已存在任务")
            place = "ELECTRONICRECEIPTTRNRQ/RQBODY/RECEIPTDATE"
            broken = broken_rule(SECOND_JOB, place, RuleKind.BOOKS, day, SECOND_JOB_ROW, words)
            raise Refused(SECOND_JOB.code, SECOND_JOB.text, findings=(broken,))
        self.polls.setdefault(f"E{trnuid}", 0)
        return el("RSBODY", el("CLT_REF_NO", f"E{trnuid}"), el("STATUS", "0"))

    def _files(self, request: etree._Element, books: Books, faults: Faults) -> Markup:
        body = sole(request, "RQBODY")
        number = text(body, "CLT_REF_NO")
        found = next((key for key, trnuid in self.jobs.items() if f"E{trnuid}" == number), None)
        if found is None:
            raise Refused("2000", "查无记录")
        account, day = found[0], _day(found[1])
        self.polls[number] += 1
        if self.polls[number] == 1:
            return el("RSBODY", el("STATUS", "1"), MORE="N")
        receipts = {_attach(one): _pdf(one) for one in books.entries(account, day, day)}
        files = {f"{key}.pdf": data for key, data in receipts.items()}
        if faults.zipped:
            files = {f"{account}.zip": _archive(files)}
        page = int(body.get("PAGE", "1"))
        rows = []
        listed = sorted(files)[(page - 1) * _PAGE : page * _PAGE]
        for place, name in enumerate(listed, start=1):
            file_id = f"{number}-{page}-{place}"
            self.files[file_id] = files[name]
            rows.append(el("CONTENT", el("SEQ", str(place)), el("FILE_ID", file_id), el("FILE_NAME", name)))
        head = el("STATUS", "2"), el("SRVC_NO", "1"), el("FILESUM", str(len(files))), el("ACCTID", account)
        return el("RSBODY", head, rows, MORE="Y" if page * _PAGE < len(files) else "N")


def _pdf(entry: Entry) -> bytes:
    return f"%PDF-1.4\n% {_attach(entry)} {entry.amount}\n%%EOF\n".encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(f"receipts/{name}", data)
    return made.getvalue()


# ---- balances and entries ----------------------------------------------------------------------------------------


def _balance(_trnuid: str, request: etree._Element, books: Books) -> Markup:
    account = _holding(books, text(sole(request, "RQBODY"), "ACCTID"))
    said = {
        "ACCTID": account.number,
        "NAME": account.holder,
        "STATUS": "1",
        "ACCTTYPE": "0",
        "BALAMT": str(account.book),
        "AVAILBAL": str(account.book - account.frozen),
        "INTRST": "0.00",
        "CURRENCY": "01",
        "OPENDAT": "20200101",
        "CTRLLMT": "0.00",
        "FREEZELMT": str(account.frozen),
    }
    return el("RSBODY", [el(tag, content) for tag, content in said.items()])


def _past_balances(_trnuid: str, request: etree._Element, books: Books) -> Markup:
    info = sole(request, "HISBALQUERYRQ/HISBALQUERYINFO")
    account = _holding(books, text(info, "ACCTID"))
    # The page does not refuse a period that is not over; a day that is not over has no closing balance.
    yesterday = books.now().astimezone(_ZONE).date() - timedelta(days=1)
    first, last = _day(text(info, "DTSTART")), min(_day(text(info, "DTEND")), yesterday)
    rows = []
    for ahead in range((last - first).days + 1):
        day = first + timedelta(days=ahead)
        held = books.holding(account.number, day)
        assert held is not None
        of_day = books.entries(account.number, day, day)
        sides = (Direction.DEBIT, Direction.CREDIT)
        out, into = ([one.amount.minor for one in of_day if one.direction is side] for side in sides)
        said = {
            "HISBALANCE": str(held.book),
            "DEBITFLOWS": str(len(out)),
            "CREDITFLOWS": str(len(into)),
            "DEBITAMOUNT": str(Money(sum(out))),
            "CREDITAMOUNT": str(Money(sum(into))),
            "DTFLOW": f"{day:%Y-%m-%d}",
        }
        rows.append(el("DETAIL", [el(tag, content) for tag, content in said.items()]))
    return el("HISBALQUERYRS", el("HISBALQUERYINFO", el("ACCTID", account.number), el("DETAILS", rows)))


def _details(request: etree._Element, books: Books, faults: Faults) -> Markup:
    asked = sole(request, "SCUSTSTMTRQ")
    account = _holding(books, text(sole(asked, "ACCTFROM"), "ACCTID"))
    if asked.find("INCTRAN") is None:
        return _no_rows(account, books)
    entries, number = _asked(asked, account, books)
    newer, refunds = text(asked, "VERSION") == "2.0", text(asked, "SELTYPE") == "3"
    if refunds:
        first, last = _span(asked)
        back = {one.instruction.reference for one in books.returns(account.number, first, last)}
        entries = tuple(one for one in entries if one.direction is Direction.CREDIT and one.reference in back)
    if not entries:
        raise Refused("6421", "没有符合条件的记录", _no_rows(account, books), harmless=True)
    page, more = _cut(entries, number, _PAGE, faults)
    rows = [_element(entry, faults, newer=newer) for entry in page]
    if faults.odd_rows:
        rows.insert(0, el("STMTTRN", el("SRVRTID", ""), el("TRNTYPE", ""), el("DTACCT", "")))
    return el(
        "SCUSTSTMTRS",
        el("ACCTFROM", el("ACCTID", account.number), el("NAME", account.holder)),
        el("TRANLIST", rows, MORE="Y" if more else "N"),
        _balances(account, books),
    )


def _no_rows(account: Holding, books: Books) -> Markup:
    return el("SCUSTSTMTRS", el("ACCTFROM", el("ACCTID", account.number)), _balances(account, books))


def _balances(account: Holding, books: Books) -> list[Markup]:
    # Balances of this answer have one decimal where one is enough, and a time behind the date.
    plain, at = str(account.book), f"{books.now().astimezone(_ZONE):%Y-%m-%dT%H:%M:%S}"
    short = plain.removesuffix("0")
    return [
        el("LEDGERBAL", el("BALAMT", short), el("DTASOF", at)),
        el("AVAILBAL", el("BALAMT", short), el("DTASOF", at)),
    ]


def _asked(asked: etree._Element, account: Holding, books: Books) -> tuple[tuple[Entry, ...], int]:
    """The entries of the period and side that are asked for, and the page's number."""
    span = sole(asked, "INCTRAN")
    side = {"0": Direction.DEBIT, "1": Direction.CREDIT}.get(text(span, "TRNTYPE"))
    least, most = (text(span, name) for name in ("MINAMT", "MAXAMT"))
    entries = tuple(
        one
        for one in books.entries(account.number, *_span(asked))
        if side in (None, one.direction)
        and (not least or one.amount.minor >= Money.parse(least).minor)
        and (not most or one.amount.minor <= Money.parse(most).minor)
    )
    return entries, int(text(span, "PAGE"))


def _span(asked: etree._Element) -> tuple[date, date]:
    span = sole(asked, "INCTRAN")
    return _day(text(span, "DTSTART")), _day(text(span, "DTEND"))


def _cut(entries: tuple[Entry, ...], number: int, size: int, faults: Faults) -> tuple[tuple[Entry, ...], bool]:
    if faults.round:
        return entries[:size], True
    begin = (number - 1) * size
    return entries[begin : begin + size], begin + size < len(entries)


def _element(entry: Entry, faults: Faults, *, newer: bool) -> Markup:
    said = {
        "SRVRTID": f"{entry.number:020d}",
        "TRNTYPE": entry.direction.value.upper(),
        "TRNCODE": "3001",
        "DTACCT": _stamp(entry),
        "TRNAMT": str(entry.amount),
        "BALAMT": str(entry.balance_after),
        "CURRENCY": "RMB",
        "MEMO": f"转账|{entry.text}",
        "CORRELATE_ACCTID": entry.counterparty_account,
        "CORRELATE_NAME": entry.counterparty_name,
        "CHEQUENUM": "",
        "BILLTYPE": "",
        "BILLNUMBER": "",
        "CORRELATE_BANKNAME": "",
        "CORRELATE_BANKCODE": "",
        "BUSINESSTYPE": "",
        "ATTACHINFO": _attach(entry),
    }
    if newer:
        said |= {
            "HXJYLSBH": f"{entry.number:030d}",
            "SUMMNAME": "",
            "SUMMDESC": "转账",
            "PURPOSE": entry.text,
            "BRANCHNO": "",
            "CHANNELCODE": "204",
            "CASHFLAG": "",
            "CBBZ": "0",
            "BCZBZ": "0",
            "ROUTECHOICE": "",
            "BIZREF": "",
            "TEXT1": "",
            "TEXT2": "",
            "TEXT3": "",
        }
        if faults.reference_in:
            said |= {faults.reference_in: entry.reference}
    return el("STMTTRN", [el(tag, content) for tag, content in said.items()])


def _stamp(entry: Entry) -> str:
    return f"{datetime.combine(entry.bank_date, entry.at.astimezone(_ZONE).time()):%Y-%m-%dT%H:%M:%S}"


def _attach(entry: Entry) -> str:
    return f"{entry.bank_date:%Y%m%d}{entry.number:010d}001"


def _row(entry: Entry, faults: Faults) -> bytes:
    at, out = entry.at.astimezone(_ZONE), entry.direction is Direction.DEBIT
    name = "x" + "长" * 60 if faults.cut_names else entry.counterparty_name
    cells = (
        f"{entry.number:030d}",
        f"{entry.number:010d}",
        "001",
        f"{entry.bank_date:%Y%m%d}",
        f"{at:%H%M%S}",
        "01",
        "001",
        "8922",
        "0001",
        f"{entry.number:08d}",
        "204",
        "",
        "",
        str(entry.balance_after).removesuffix("0"),
        str(entry.amount),
        "01",
        "1",
        "0" if out else "1",
        "0",
        "0",
        "转",
        "",
        entry.counterparty_account,
        name,
        "",
        "",
        "0",
        entry.text,
        "",
    )
    row = b"".join(cell.encode("gb18030")[:width].ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    assert len(row) == sum(_WIDTHS)
    return row


def _holding(books: Books, account: str) -> Holding:
    found = books.holding(account)
    assert found is not None, "the rules ask for an account of the bank"
    return found


def _day(said: str) -> date:
    return date.fromisoformat(said)
