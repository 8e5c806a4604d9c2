"""Questions about money: 8804 rows, and the two stages before them where web-bank users authorise (DO48, EY03).

An order that waits for authorisation has only a number of the web bank (ten digits). DO48 gives the users' decision
about a package, and once it is 0 the host's number (PT…), which is the acceptNo that 8804 knows (banks/spdb.md 4).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation, QuestionStep
from protocols.banks.spdb.envelope import FrontEnd, Refused
from protocols.banks.spdb.options import Options
from protocols.banks.spdb.requests import AUTHORISATION, PACKAGE, PACKAGE_ROWS, ROWS, QueryFilter, QueryPage
from protocols.banks.spdb.rows import TAGS, VOUCHER
from protocols.canon.outcome import Fate, Outcome
from protocols.canon.query import Sent, SentBundle
from protocols.kit.correlation import CorrelationKeys, check_keys
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, digits
from protocols.kit.meanings import Meanings
from protocols.kit.paging import Offset, PageCursor, PageSeen
from protocols.kit.request_fields import RequestTable
from protocols.kit.xmldoc import el, maybe, several, value_or

DAY: Final = timedelta(days=1)
SPAN: Final = timedelta(days=28)
"""banks/spdb.md 4: DO48 takes at most one month, and no month is shorter."""
_WEB_NUMBER = re.compile("[0-9]{10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Package:
    """The content of DO48 about a package, and the host's number for the package once it has one."""

    word: Outcome
    host: str = ""


def host_number(serial: str | None) -> str:
    """An acceptNo that 8804 knows; "" for an empty text, and for the web bank's own number."""
    return "" if serial is None or _WEB_NUMBER.fullmatch(serial) else serial


@dataclass(frozen=True, slots=True)
class Enquiry:
    """Asks the enquiries of one customer."""

    options: Options
    front: FrontEnd
    meanings: Meanings

    def days(self, day: date, context: Context) -> tuple[date, date]:
        """The days that an enquiry about something sent on `day` covers.

        If web-bank users authorise, the host gets it on the day on which they do: every day until today, as far as one
        question may reach.
        """
        first, last = day - DAY, day + DAY
        if not self.options.authorisation:
            return first, last
        return first, min(max(last, context.bank_date), first + SPAN)

    def page(
        self, wanted: QueryFilter, at: PageCursor, packet_ids: Iterator[str], context: Context
    ) -> Conversation[tuple[list[etree._Element], PageCursor | None]]:
        """One page of 8804, and the place of the next one. Raises Declined if the bank answers with a code."""
        paging, begin = Offset(self.options.enquiry_rows), digits(at.value, most=9)
        body = el("body", ROWS.elements(QueryPage(wanted, paging.size, begin)))
        told = yield from self.front.ask("8804", body, packet_ids, context)
        if isinstance(told, Refused):
            if self.meanings.is_empty("8804", "head", told.code, told.text):
                return [], None
            self.meanings.decline("8804", "head", told.code, told.text)
        rows, stated = several(told, "lists/list"), value_or(told, "totalCount")
        total = digits(stated, most=9) if stated else None
        if len(rows) > paging.size or (total is not None and total < begin - 1 + len(rows)):
            raise ProtocolError("value", f"8804: {len(rows)} rows from {begin} on, of {stated or 'an untold number'}")
        return rows, paging.following(at, PageSeen(len(rows), total=total))

    def rows(
        self, wanted: QueryFilter, packet_ids: Iterator[str], context: Context
    ) -> Conversation[list[etree._Element]]:
        """All rows of 8804 for `wanted`. Raises "paging" if they do not end, or if they repeat."""
        at: PageCursor | None = Offset(self.options.enquiry_rows).first(wanted.mark())
        found: list[etree._Element] = []
        marks: set[int] = set()
        for _ in range(self.options.enquiry_pages):
            assert at is not None
            rows, at = yield from self.page(wanted, at, packet_ids, context)
            mark = zlib.crc32(b"".join(etree.tostring(row) for row in rows))
            if rows and mark in marks:
                raise ProtocolError("paging", "8804: the same page came twice, the bank repeats its pages")
            marks.add(mark)
            found += rows
            if at is None:
                return found
        raise ProtocolError("paging", f"8804: more than {self.options.enquiry_pages} pages about one payment")

    def only_page(
        self, wanted: QueryFilter, packet_ids: Iterator[str], context: Context
    ) -> Conversation[list[etree._Element]]:
        """All rows, if they are on one page; no rows if there are more pages."""
        first = Offset(self.options.enquiry_rows).first(wanted.mark())
        rows, following = yield from self.page(wanted, first, packet_ids, context)
        return rows if following is None else []

    # ---- authorisation at the web bank ----

    def package(self, sent: SentBundle, packet_ids: Iterator[str], context: Context) -> Conversation[Package | None]:
        """DO48 by our own packageNo; None if the web bank has no such package. Raises Declined, "correlation"."""
        first, last = self.days(sent.bank_date, context)
        asked = QueryFilter("", first, last, voucher=sent.reference)
        rows = yield from self._told(PACKAGE, asked, packet_ids, context)
        ours = [row for row in rows if value_or(row, "packageNo") == sent.reference]
        if not ours:
            return None
        if len(ours) > 1:
            return Package(Outcome(Fate.UNKNOWN, text="several records of one package", listed=False))
        row, lines = ours[0], len(sent.items)
        amount = value_or(row, "totalAmount")
        if amount and amount_minor(amount) != sum(item.amount.minor for item in sent.items):
            raise ProtocolError("correlation", f"DO48: package {sent.reference} has another total")
        if (count := value_or(row, "totalNumber")) and digits(count) != lines:
            raise ProtocolError("correlation", f"DO48: package {sent.reference} has {count} lines, we sent {lines}")
        word = self._authorised("DO48", "package", value_or(row, "transStatus"), value_or(row, "failCode"))
        rejected = value_or(row, "rejectNumber")
        if word.fate is Fate.FAILED and rejected and 0 < digits(rejected) < lines:
            word = replace(word, fate=Fate.UNKNOWN, listed=False)
        return Package(word, value_or(row, "hostJnlSeqNo") if word.code == "0" else "")

    def authorisation(self, sent: Sent, packet_ids: Iterator[str], context: Context) -> Conversation[Outcome | None]:
        """EY03 about one 8801; None if the web bank has none. Raises Declined, "correlation".

        The further elements of its rows besides transStatus are not published: a row that does not name the voucher
        decides nothing.
        """
        first, last = self.days(sent.bank_date, context)
        asked = QueryFilter(sent.debtor.clear, first, last, voucher=sent.reference)
        rows = yield from self._told(AUTHORISATION, asked, packet_ids, context)
        ours = [row for row in rows if value_or(row, VOUCHER, sent.reference) == sent.reference]
        for row in ours:
            check_keys(row, CorrelationKeys.of(sent), TAGS)
        if len(ours) != 1:
            several_rows = Outcome(Fate.UNKNOWN, text="several records of one voucher", listed=False)
            return several_rows if ours else None
        word = self._authorised("EY03", "authorisation", value_or(ours[0], "transStatus"), "")
        if word.fate is Fate.FAILED and not value_or(ours[0], VOUCHER):
            return replace(word, fate=Fate.UNKNOWN)
        return word

    def _told(
        self, table: RequestTable[QueryPage], wanted: QueryFilter, packet_ids: Iterator[str], context: Context
    ) -> Generator[QuestionStep, bytes, list[etree._Element]]:
        """All rows of the web bank's answer, page by page. Raises Declined, "paging"."""
        operation = table.operation
        found: list[etree._Element] = []
        mark = 0
        for _ in range(self.options.enquiry_pages):
            page = QueryPage(wanted, PACKAGE_ROWS, len(found) + 1, self.options.auth_master_id)
            body = el("body", table.elements(page))
            told = yield from self.front.ask(operation, body, packet_ids, context)
            if isinstance(told, Refused):
                if self.meanings.is_empty(operation, "head", told.code, told.text):
                    return found
                self.meanings.decline(operation, "head", told.code, told.text)
            # It is not published whether the fields stand in rows or in the body itself: both are read.
            rows = [told] if maybe(told, "transStatus") is not None else several(told, "lists/list")
            found += rows
            total = value_or(told, "totalCount")
            if not total or digits(total, most=9) <= len(found):
                return found
            # Another record of ours may be among the rows on further pages.
            was, mark = mark, zlib.crc32(b"".join(etree.tostring(row) for row in rows))
            if not rows or mark == was:
                raise ProtocolError("paging", f"{operation}: {total} rows are said to be there, {len(found)} were told")
        raise ProtocolError("paging", f"{operation}: more than {self.options.enquiry_pages} pages about one payment")

    def _authorised(self, operation: str, layer: str, status: str, fail_code: str) -> Outcome:
        if fail_code and self.meanings.table.look_up(operation, "reason", fail_code) == "duplicate":
            return Outcome(Fate.DUPLICATE, fail_code)
        return replace(self.meanings.word(operation, layer, status), text=fail_code)
