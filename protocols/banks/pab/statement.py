"""Questions about accounts: 4001 balance, 4012 balance of a past day, 4008 and 4013 entries, 4019 returns.

The bank answers about today or about the past, never about both in one question. So a period is read in
legs: the closed days first, then today. The cursor names the leg, so reading closed days may go on after midnight. A
leg of today may not, once pages of it were read: after midnight the bank has another list for that day.

Closed days and today are those of the host, whose date may be weeks away from the calendar. Today's list is asked for
by the calendar's date, as the measured clients do, and its entries have the host's date (banks/pab.md 9).
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any, Final, Literal

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.pab import requests
from protocols.banks.pab.header import Answer, Sender, read_answer
from protocols.banks.pab.options import Options
from protocols.banks.pab.rows import EVENING, Carry, RawRow, line, row_of_4008, row_of_4013
from protocols.banks.pab.table import decline, has_no_rows
from protocols.canon.query import BalanceQuestion, DirectoryQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Branch, DirectoryPage, Line, Page, Return, ReturnsPage
from protocols.kit.charset import GBK
from protocols.kit.china import BEIJING, check_renminbi, money_or_none
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, digits, parse_date, plain, stated_day
from protocols.kit.meanings import Meanings
from protocols.kit.paging import PageCursor, fingerprint
from protocols.kit.readable import readable
from protocols.kit.walk import entered
from protocols.kit.xmldoc import Markup, build, several, value, value_or

RETURNS_SPAN: Final = timedelta(days=29)
"""4019 answers about 30 days at most, both ends included."""
RETURNS_LINES: Final = 100
_EVENING_DAYS: Final = timedelta(days=1)
"""How far the accounting date of an entry of the evening is ahead of its calendar day."""
_CLOCK_WITH_DAY: Final = 14
"""Characters of a time that states its day, yyyyMMddHHmmss."""
BANK_NUMBERS: Final = {
    "工商银行": "102",
    "农业银行": "103",
    "建设银行": "105",
    "中国银行": "104",
    "交通银行": "301",
    "中信银行": "302",
    "光大银行": "303",
    "民生银行": "305",
    "广发银行": "306",
    "平安银行": "307",
    "招商银行": "308",
    "兴业银行": "309",
    "浦东发展银行": "310",
    "邮政储蓄银行": "403",
}
"""How the payment-system numbers of a bank's branches begin (banks/citic.md 5; 302: that page's own bank)."""
Style = Literal["4008", "4013", "4019"]
_TABLES: Final = {"4008": requests.TODAY, "4013": requests.ENTRIES, "4019": requests.RETURNS}


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a page: the leg (operation and dates), the bank's own values, the page before.

    `mark` is a fingerprint of the page before: if it occurs twice, the bank repeats pages. `today`: the leg's day was
    not over when the leg began; its date is then the calendar's, else the host's.
    """

    style: Style
    first: date
    last: date
    number: int
    size: int = 0
    journal: str = "0"
    count: str = "0"
    carry: Carry = Carry()
    mark: int = 0
    today: bool = False

    def text(self) -> str:
        """The place as the value of a PageCursor."""
        return json.dumps(
            [
                self.style,
                int(self.today),
                date_text(self.first),
                date_text(self.last),
                self.number,
                self.size,
                self.journal,
                self.count,
                *self.carry.parts(),
                self.mark,
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )

    @staticmethod
    def of(text: str) -> Place:
        """The place that `text` wrote. PageCursor has checked that the cursor is ours."""
        try:
            style, today, first, last, number, size, journal, count, *carry, mark = json.loads(text)
            return Place(
                _style(style),
                parse_date(first),
                parse_date(last),
                int(number),
                int(size),
                str(journal),
                str(count),
                Carry.of(carry),
                int(mark),
                bool(today),
            )
        except (ValueError, TypeError, AttributeError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made by pab") from None


def _style(text: Any) -> Style:
    if text in ("4008", "4013", "4019"):
        return text  # type: ignore[no-any-return]
    raise ValueError(text)


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one enterprise."""

    options: Options
    sender: Sender
    meanings: Meanings

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance, by 4001 now or by 4012 for a past day. Raises Declined if the bank answers with a code."""
        check_renminbi("pab", question.currency)
        if question.on is None or question.on >= context.bank_date:
            return self._balance_now(question, context)
        return self._balance_on(question, question.on, context)

    def _balance_now(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        account = question.account.clear
        answer = yield from self._ask("4001", requests.request(requests.BALANCE, account), context, 0)
        result = _of_account(self._accepted("4001", answer), account)
        return Balance(
            question.account,
            book=money_or_none(result, "TotalAmount"),
            available=money_or_none(result, "Balance"),
            frozen=money_or_none(result, "HoldBalance"),
            previous_day=money_or_none(result, "LastBalance"),
        )

    def _balance_on(self, question: BalanceQuestion, day: date, context: Context) -> Conversation[Balance]:
        account = question.account.clear
        body = requests.request(requests.PAST_BALANCE, requests.AskedLines(account, 1, first=day))
        answer = yield from self._ask("4012", body, context, 0)
        result = _of_account(self._accepted("4012", answer), account)
        book, available = money_or_none(result, "HisBookBalance"), money_or_none(result, "HisBalance")
        return Balance(question.account, book=book, available=available)

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of entries. Raises Declined if the bank answers with a code, "paging" on a stale cursor."""
        check_renminbi("pab", question.currency)
        mark = _fingerprint("lines", question)
        if question.cursor is None:
            begin = self._leg(question.first, question.last, context)
            if begin is None:
                return Page(())
            cursor = PageCursor(begin.text(), 1, mark)
        else:
            cursor = PageCursor.decode(question.cursor, mark)
        place = Place.of(cursor.value)
        if place.today and place.first != _calendar(context):
            if place.style == "4008" or place.number > 1:
                raise ProtocolError("paging", "the bank's day changed during this walk: begin again")
            # No page of that day was read yet, so it is asked about as a past day of the host.
            past = place.first + timedelta(days=context.host.ahead)
            place = replace(place, first=past, last=past, today=False)
        operation = place.style
        answer = yield from self._ask(operation, _asked(question.account.clear, place), context, 0)
        found, following = Page(()), None
        if answer.accepted or not has_no_rows(self.meanings, operation, answer):
            found, following = _page(self._accepted(operation, answer), place, question, context)
        if following is None and not place.today:
            following = self._leg(place.last + timedelta(days=1), question.last, context)
        return found if following is None else replace(found, cursor=cursor.then(following.text()).encode())

    def _leg(self, first: date, last: date, context: Context) -> Place | None:
        """The next leg of a walk from `first` to `last`, or None if the walk is complete. A walk over the host's today
        has its list, and so has one over the calendar's day that the host has yet to come to."""
        today, day = context.bank_date, _calendar(context)
        if first > last or (first > today and not first <= day <= last):
            return None
        if first < today:
            return Place("4013", first, min(last, today - timedelta(days=1)), 1, self.options.page_lines)
        if self.options.today_lines == "4008":
            return Place("4008", day, day, 0, today=True)
        return Place("4013", day, day, 1, self.options.page_lines, today=True)

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns by 4019, in legs of 30 days. Raises Declined if the bank answers with a code.

        Future days, by the calendar and by the host, are left out, because the bank refuses invalid dates (YQ9993), and
        the business date of an order may be days ahead, after the cut-off and before a holiday.
        """
        account = question.account.clear
        mark = _fingerprint("returns", question)
        today = context.now.astimezone(BEIJING).date()
        ending = min(question.last, max(today, today + timedelta(days=context.host.ahead)))
        if question.cursor is None and question.first > ending:
            return ReturnsPage(())
        cursor = entered(question.cursor, mark, lambda: _returns_leg(question.first, ending).text())
        place = Place.of(cursor.value)
        answer = yield from self._ask("4019", _asked(account, place), context, 0)
        found, findings = list[Return](), tuple[str, ...]()
        following: Place | None = None
        if answer.accepted or not has_no_rows(self.meanings, "4019", answer):
            result = self._accepted("4019", answer)
            rows = several(result, "list")
            found, findings = readable(rows, _returned, "4019")
            following = _next_number(place, rows) if _more_returns(result, place, len(rows)) else None
        if following is None and place.last < ending:
            following = _returns_leg(place.last + timedelta(days=1), ending)
        at = None if following is None else cursor.then(following.text()).encode()
        return ReturnsPage(tuple(found), at, findings)

    def directory(self, question: DirectoryQuestion, context: Context) -> Conversation[DirectoryPage]:
        """Branches of one bank by a key word, by 4017 in one answer. Raises Declined on any other code.

        The bank requires the first three digits of the branches' numbers, and a key word. The digits are those of
        `cnaps`, or of the bank in the name. Raises "value" if there are none.
        """
        known = (number for bank, number in BANK_NUMBERS.items() if bank in question.name)
        number = question.cnaps[:3] if question.cnaps else next(known, "")
        word = question.name or question.cnaps or ""
        if not number or not word:
            raise ProtocolError(
                "value",
                "4017 looks for a part of a branch's name within one bank: name both, or give "
                "the number of any branch of that bank beside the name",
            )
        answer = yield from self._ask(
            "4017", requests.request(requests.BRANCHES, requests.AskedBranches(number, word)), context, 0
        )
        if has_no_rows(self.meanings, "4017", answer):
            return DirectoryPage(())
        rows, _findings = readable(several(self._accepted("4017", answer), "list"), _branch, "4017")
        exact = tuple(one for one in rows if one.cnaps == question.cnaps)
        return DirectoryPage(exact or tuple(rows))

    def probe(self, context: Context) -> Conversation[None]:
        """Ask S001, to check that the front end reaches the bank. Raises Declined if it answers with any code but
        000000."""
        answer = yield from self._ask("S001", Markup("<Result></Result>"), context, 0)
        if not answer.accepted:
            decline(self.meanings, "S001", answer)

    def ask(self, operation: str, body: Markup, context: Context) -> Conversation[Answer]:
        """Ask one question and return its answer, whatever the answer's code is."""
        return (yield from self._ask(operation, body, context, 0))

    def _ask(self, operation: str, body: Markup, context: Context, nth: int) -> Conversation[Answer]:
        wire = self.sender.message(operation, build(body, GBK), serial=context.serials[nth], now=context.now)
        return read_answer((yield Ask("business", wire)), operation)

    def _accepted(self, operation: str, answer: Answer) -> etree._Element:
        if not answer.accepted or answer.body is None:
            decline(self.meanings, operation, answer)
        return answer.body


def _asked(account: str, place: Place) -> Markup:
    """The request for the page at `place`: 4008, 4013 or 4019."""
    page = requests.AskedLines(account, place.number, place.size, place.first, place.last, place.journal, place.count)
    return requests.request(_TABLES[place.style], page)


def _calendar(context: Context) -> date:
    """The business date by the calendar, by which today's list is asked for."""
    return context.bank_date - timedelta(days=context.host.ahead)


def _page(result: etree._Element, place: Place, question: LinesQuestion, context: Context) -> tuple[Page, Place | None]:
    """The page in an answer, and the next page of the same leg if the bank states that there is one."""
    elements = several(result, "list")
    count = value_or(result, "PageRecCount")
    if count and digits(count) != len(elements):
        raise ProtocolError("value", f"the page says it has {count} rows, it has {len(elements)}")
    head = value_or(result, "AcctNo")
    if head not in ("", question.account.clear):
        raise ProtocolError("correlation", f"the entries are of account {head}")
    # 4008 states its day in the head. A walk over today accepts the accounting dates that the answer states.
    day = stated_day(value_or(result, "TranDate")) or place.first
    slack = timedelta(days=context.host.bound) if place.today else timedelta()
    evening = _EVENING_DAYS if place.today else timedelta()
    read, stated = row_of_4008 if place.style == "4008" else row_of_4013, list[date]()

    def checked(element: etree._Element) -> RawRow:
        row = read(element, day)
        if not row.trace:
            raise ProtocolError("missing", "an entry without the bank's trace number")
        row.check(question.account, place.first - slack, place.last + slack + evening)
        if (on := row.host_day) is not None:
            stated.append(on)
        if place.today and abs(row.day - place.first) > _EVENING_DAYS and len(row.clock) < _CLOCK_WITH_DAY:
            return replace(row, clock="")  # the host's date is not the calendar's: the row's calendar day is not known
        return row

    rows, findings = readable(elements, checked, place.style)
    lines, carry = _numbered(rows, place.carry, question)
    page = Page(lines, findings=findings, unread=len(findings), host_date=_host_date(result, place, stated, context))
    end = value(result, "EndFlag")
    if end == "Y":
        return page, None
    if end != "N":
        raise ProtocolError("value", f"EndFlag {end!r} is neither Y nor N")
    following = replace(_next_number(place, elements), carry=carry)
    if place.style == "4008":
        following = replace(following, journal=value(result, "JournalNo"), count=value(result, "LogCount"))
    return page, following


def _host_date(result: etree._Element, place: Place, stated: list[date], context: Context) -> date | None:
    """The host's date as a list of today states it: in the head of 4008, in the newest entry of 4013.

    In the evening the head may have the next accounting date already, so that it is not believed then.
    """
    if not place.today:
        return None
    if place.style == "4013":
        return stated[-1] if stated else None
    evening = f"{context.now.astimezone(BEIJING):%H%M%S}" >= EVENING
    return None if evening else stated_day(value_or(result, "TranDate"))


def _numbered(rows: list[RawRow], carry: Carry, question: LinesQuestion) -> tuple[tuple[Line, ...], Carry]:
    """The lines, each with its number among equal ones, also across pages. The rows of a booking are neighbours."""
    counts: Counter[str] = Counter(carry.counts)
    lines: list[Line] = []
    for row in rows:
        lines.append(line(row, question.account, counts[row.key]))
        counts[row.key] += 1
    if not rows:
        return (), carry
    last = rows[-1].booking
    return tuple(lines), Carry(last, {key: n for key, n in counts.items() if key.startswith(f"{last}-")})


def _branch(row: etree._Element) -> Branch:
    return Branch(value(row, "NodeCode"), plain(value(row, "NodeName")))


def _more_returns(result: etree._Element, place: Place, rows: int) -> bool:
    """True if 4019 has a further page, by IsEnd. Without IsEnd: by TotalCts, or because this page is full."""
    end, total = value_or(result, "IsEnd"), value_or(result, "TotalCts")
    if end in ("Y", "N"):
        return end == "N"
    return place.number * place.size < digits(total) if total else rows >= place.size


def _next_number(place: Place, elements: list[etree._Element]) -> Place:
    """The page after `place`. Raises "paging" if this page was empty, or the same as the one before."""
    if not elements:
        raise ProtocolError("paging", f"{place.style}: a page without rows that is not the last one")
    mark = zlib.crc32(b"".join(etree.tostring(element) for element in elements)) or 1
    if mark == place.mark:
        raise ProtocolError("paging", f"{place.style}: the same page came twice, the bank repeats its pages")
    return replace(place, number=place.number + 1, mark=mark)


def _returns_leg(first: date, last: date) -> Place:
    return Place("4019", first, min(last, first + RETURNS_SPAN), 1, RETURNS_LINES)


def _returned(row: etree._Element) -> Return:
    """A row of 4019 (banks/pab.md 9): the reference in SThirdVoucher, the amount in Amount, RejectDate of 14 digits."""
    # A line of a batch is named by SThirdVoucher. ThirdVoucher is then that of the whole batch, or empty.
    reference = value_or(row, "SThirdVoucher") or value_or(row, "ThirdVoucher")
    if not reference:
        raise ProtocolError("missing", "4019: a returned payment without voucher")
    amount = money_or_none(row, "Amount") or money_or_none(row, "TranAmount")
    day = stated_day(value_or(row, "RejectDate"))
    return Return(reference, amount, day, plain(value_or(row, "RejectRemark")))


def _fingerprint(what: str, question: LinesQuestion | ReturnsQuestion) -> str:
    return fingerprint(what, question.account.clear, date_text(question.first), date_text(question.last))


def _of_account(result: etree._Element, account: str) -> etree._Element:
    stated, currency = value_or(result, "Account"), value_or(result, "CcyCode")
    if stated and stated != account:
        raise ProtocolError("correlation", f"the balance is of account {stated}, we asked about {account}")
    if currency not in ("", "RMB", "CNY"):
        raise ProtocolError("correlation", f"the balance is in {currency!r}, we asked for RMB")
    return result
