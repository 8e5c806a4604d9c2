"""Questions about accounts: balances, entries as elements or as fixed rows, and payments that came back.

Today and the past are never asked about in one question. A period is read in legs, the closed days first and today
last, and the cursor names the leg. Here an answer without data is a code (6421), and an empty page.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.cib.fox import DONE, Answer, Fox, attribute, check_currency, moment, read_document
from protocols.banks.cib.requests import BALANCE, PAST_BALANCE, AskedPeriod, entries_content, leaf
from protocols.banks.cib.rows import line_of_element, line_of_fixed, split
from protocols.canon.money import Money
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Line, Page, Return, ReturnsPage
from protocols.kit import http
from protocols.kit.china import check_renminbi, money_or_none
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, digits, parse_date, plain
from protocols.kit.paging import PageCursor, fingerprint
from protocols.kit.readable import readable
from protocols.kit.walk import counted
from protocols.kit.xmldoc import el, maybe, one, several, text, value_or

DETAILS: Final = "SCUSTSTMTTRN"
FILE: Final = "FSTMTTRN"
PAGE_LINES: Final = 100
ENTRIES, REFUNDS = "1", "3"
"""SELTYPE: 1 查询, 3 退款."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a page: the dates of the leg, the number of the page, and the last row of the page before.

    `live`: the leg was today's list when it began. `mark` is a fingerprint of the page before: if it occurs twice, the
    bank repeats pages. `key` and `count` are the last entry's key and the number of entries with it.
    """

    first: date
    last: date
    number: int = 1
    mark: int = 0
    live: bool = False
    key: str = ""
    count: int = 0

    def text(self) -> str:
        """The place as the value of a PageCursor."""
        days = date_text(self.first), date_text(self.last)
        return json.dumps([*days, self.number, self.mark, int(self.live), self.count, self.key])

    @staticmethod
    def of(text: str) -> Place:
        """The place that `text` wrote. PageCursor has checked that the cursor is ours."""
        try:
            first, last, number, mark, live, count, key = json.loads(text)
            days = parse_date(first), parse_date(last)
            return Place(*days, int(number), int(mark), bool(live), str(key), int(count))
        except (ValueError, TypeError, AttributeError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made by cib") from None

    def after(self, rows: Sequence[bytes], lines: Sequence[Line]) -> Place:
        """The place of the leg's next page. Raises "paging" if this page was empty, or the same as the one before."""
        if not rows:
            raise ProtocolError("paging", "a page without rows that is not the last one")
        mark = zlib.crc32(b"".join(rows)) or 1
        if mark == self.mark:
            raise ProtocolError("paging", "the same page came twice, the bank repeats its pages")
        onward = replace(self, number=self.number + 1, mark=mark)
        return replace(onward, key=lines[-1].bank_line_id, count=lines[-1].occurrence + 1) if lines else onward


def leg(first: date, last: date, today: date) -> Place | None:
    """The next leg of a walk from `first` to `last`, or None if the walk is complete."""
    last = min(last, today)
    if first > last:
        return None
    live = first == today
    return Place(first, last if live else min(last, today - timedelta(days=1)), live=live)


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one customer."""

    fox: Fox

    # ---- balances ----------------------------------------------------------------------------------------------

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance, by CURRACCTQUERYTRN now or HISBALQUERYTRN for a past day. Raises Declined if the bank answers
        with a code."""
        check_renminbi("cib", question.currency)
        if question.on is None or question.on >= context.bank_date:
            return self._balance_now(question, context)
        return self._balance_on(question, question.on, context)

    def _balance_now(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        account = question.account.clear
        content = el("RQBODY", BALANCE.elements(account, leaf))
        answer = yield from self.fox.asked("CURRACCTQUERYTRN", "balance", content, context)
        body = _of_account(one(answer.within, "RSBODY"), account)
        check_currency(value_or(body, "CURRENCY"))
        return Balance(
            question.account,
            book=money_or_none(body, "BALAMT"),
            available=money_or_none(body, "AVAILBAL"),
            frozen=money_or_none(body, "FREEZELMT"),
            as_of=answer.at,
        )

    def _balance_on(self, question: BalanceQuestion, day: date, context: Context) -> Conversation[Balance]:
        account, on = question.account.clear, date_text(day, "yyyy-MM-dd")
        asked = AskedPeriod(account, day, day, holder=self.fox.options.holder)
        content = el("HISBALQUERYRQ", el("HISBALQUERYINFO", PAST_BALANCE.elements(asked, leaf)))
        answer = yield from self.fox.asked("HISBALQUERYTRN", "past_balance", content, context)
        info = _of_account(one(answer.within, "HISBALQUERYRS/HISBALQUERYINFO"), account)
        days = [row for row in several(info, "DETAILS/DETAIL") if _is_of(value_or(row, "DTFLOW"), day)]
        if len(days) != 1:
            raise ProtocolError("missing", f"the answer states {len(days)} balances of {on}, not one")
        return Balance(question.account, book=money_or_none(days[0], "HISBALANCE"), available=None)

    # ---- entries -----------------------------------------------------------------------------------------------

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of entries. Raises Declined if the bank answers with a code, "paging" on a stale cursor."""
        check_renminbi("cib", question.currency)
        mark = fingerprint("lines", self.fox.options.lines, *_asked(question))
        place, cursor = _begin(question, mark, context)
        if place is None:
            return Page(())
        by_file = self.fox.options.lines == "FSTMT"
        walk = self._file_page if by_file else self._detail_page
        page, following = yield from walk(question, place, ENTRIES, "lines", context)
        following = following or leg(place.last + timedelta(days=1), question.last, context.bank_date)
        return page if following is None else replace(page, cursor=cursor.then(following.text()).encode())

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of refunds (SELTYPE 3), by the element with our reference. Rows without a reference are left out."""
        mark = fingerprint("returns", *_asked(question))
        place, cursor = _begin(question, mark, context)
        if place is None:
            return ReturnsPage(())
        page, following = yield from self._detail_page(question, place, REFUNDS, "returns", context)
        following = following or leg(place.last + timedelta(days=1), question.last, context.bank_date)
        found = tuple(
            Return(line.reference, Money(abs(line.amount.minor)), line.bank_date, line.text)
            for line in page.lines
            if line.reference
        )
        at = None if following is None else cursor.then(following.text()).encode()
        return ReturnsPage(found, at, page.findings)

    def _detail_page(
        self, question: LinesQuestion | ReturnsQuestion, place: Place, kind: str, word: str, context: Context
    ) -> Conversation[tuple[Page, Place | None]]:
        version = self.fox.options.statement_version
        asked = AskedPeriod(question.account.clear, place.first, place.last, place.number, version=version, chosen=kind)
        content = entries_content(asked)
        answer = yield from self.fox.ask(DETAILS, word, content, context)
        if not self._has_rows(answer, word):
            return Page(()), None
        body = one(answer.within, "SCUSTSTMTRS")
        _of_account(body, question.account.clear)
        found = one(body, "TRANLIST")
        rows = several(found, "STMTTRN")
        carries = self.fox.options.statement_reference
        read, findings = readable(rows, lambda row: line_of_element(row, question.account, carries), DETAILS)
        lines = counted(read, place.key, place.count)
        more = _more(attribute(found, "MORE"))
        page = Page(lines, findings=findings, unread=len(findings))
        return page, place.after([etree.tostring(row) for row in rows], lines) if more else None

    def _file_page(
        self, question: LinesQuestion | ReturnsQuestion, place: Place, kind: str, word: str, context: Context
    ) -> Conversation[tuple[Page, Place | None]]:
        # The request in FSTMTTRN has the same element as STMTTRN, but without SELTYPE (banks/cib.md 9).
        size = self.fox.options.file_lines
        content = entries_content(
            AskedPeriod(question.account.clear, place.first, place.last, place.number, lines=size)
        )
        trnuid = self.fox.question_id(context)
        frame = yield Ask("business", self.fox.request(FILE, trnuid, content, context))
        cut = split(http.body_of(frame))
        answer = self.fox.answered(read_document(cut.document, FILE), word, trnuid)
        if not self._has_rows(answer, word):
            return Page(()), None
        body = one(answer.within, "SCUSTSTMTRS")
        _of_account(body, question.account.clear)
        found = one(body, "TRANLIST")
        stated = attribute(found, "SIZE")
        if stated and digits(stated) != len(cut.rows):
            raise ProtocolError("value", f"the page says it has {stated} rows, it has {len(cut.rows)}")
        if text(found).strip():
            raise ProtocolError("value", "the page has rows outside its CDATA section")
        read, findings = readable(cut.rows, lambda row: line_of_fixed(row, question.account), FILE)
        lines = counted(read, place.key, place.count)
        more = _more(value_or(body, "MORE") or attribute(found, "MORE"))
        total, passed = value_or(body, "TOTAL"), (place.number - 1) * self.fox.options.file_lines + len(cut.rows)
        # Today's list may grow during the walk; the list of closed days may not. TOTAL may be the count of the page
        # alone.
        closed = place.last < context.bank_date
        if total and not more and closed and digits(total) not in (passed, len(cut.rows)):
            raise ProtocolError("value", f"the bank counts {total} rows, the walk had {passed}")
        page = Page(lines, findings=findings, unread=len(findings))
        return page, place.after(cut.rows, lines) if more else None

    def _has_rows(self, answer: Answer, word: str) -> bool:
        """False for a code that means "no data". Raises Declined for any other code."""
        if answer.code == DONE:
            return True
        if not self.fox.meanings.is_empty(word, "asked", answer.code, answer.text):
            self.fox.meanings.decline(word, "asked", answer.code, answer.text)
        return False


def _asked(question: LinesQuestion | ReturnsQuestion) -> tuple[str, str, str]:
    return question.account.clear, date_text(question.first), date_text(question.last)


def _begin(question: LinesQuestion | ReturnsQuestion, mark: str, context: Context) -> tuple[Place | None, PageCursor]:
    if question.cursor is not None:
        cursor = PageCursor.decode(question.cursor, mark)
        at = Place.of(cursor.value)
        if not at.live or at.first >= context.bank_date:
            return at, cursor
        # Today's list and that of a past day are different questions. The bank does not say that their pages begin at
        # the same rows.
        if at.number > 1:
            raise ProtocolError("paging", f"the list of {at.first} ended with its day: begin this walk again")
        return leg(at.first, question.last, context.bank_date), cursor
    place = leg(question.first, question.last, context.bank_date)
    return place, PageCursor("" if place is None else place.text(), 1, mark)


def _more(flag: str) -> bool:
    if flag not in ("Y", "N"):
        raise ProtocolError("value", f"MORE is {flag!r}, neither Y nor N")
    return flag == "Y"


def _of_account(body: etree._Element, account: str) -> etree._Element:
    for path in ("ACCTID", "ACCTFROM/ACCTID"):
        if maybe(body, path.partition("/")[0]) is not None:
            stated = value_or(body, path)
            if stated and stated != account:
                raise ProtocolError("correlation", "the answer is about another account than we asked about")
    return body


def _is_of(stated: str, day: date) -> bool:
    """Whether a date, in either of the bank's writings and perhaps with a time, is this day."""
    at = moment(stated)
    return (at.date() == day) if at is not None else plain(stated).replace("-", "")[:8] == date_text(day)
