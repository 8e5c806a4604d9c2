"""Questions about accounts: QACCBAL balance and work date, QPD today's entries, QHISD entries of the past.

The bank answers about today or about the past, never about both in one question. So a period is read in legs: the
closed days first, then today. The cursor names the leg and the bank's NextTag, which is opaque.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.icbc.options import Options
from protocols.banks.icbc.requests import (
    BALANCE,
    BALANCES,
    NEW_BALANCE,
    NEW_PAST,
    NEW_TODAY,
    PAST,
    TODAY,
    WrittenList,
    elements,
)
from protocols.banks.icbc.rows import line, row_of_past, row_of_today
from protocols.banks.icbc.wire import RENMINBI, Message, Refused, Wire, fen, number
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion, LinesQuestion
from protocols.canon.statement import Balance, Line, Page
from protocols.kit.china import BEIJING, check_renminbi
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, parse_date, stated_day
from protocols.kit.meanings import Meanings
from protocols.kit.paging import PageCursor, fingerprint
from protocols.kit.readable import readable
from protocols.kit.walk import counted
from protocols.kit.xmldoc import Markup, el, several, value, value_or

TODAY_OPERATION: Final = "QPD"
PAST_OPERATION: Final = "QHISD"
_QUERY_TIME = re.compile(r"([0-9]{14})[0-9]{0,6}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a page: the operation, its dates, the bank's NextTag (empty for a leg's first page)."""

    operation: str
    first: date
    last: date
    tag: str = ""

    def text(self) -> str:
        """The place as the value of a PageCursor."""
        return json.dumps([self.operation, date_text(self.first), date_text(self.last), self.tag], ensure_ascii=False)

    @staticmethod
    def of(text: str) -> Place:
        """The place that `text` wrote. PageCursor has checked that the cursor is ours."""
        try:
            operation, first, last, tag = json.loads(text)
            if operation not in (TODAY_OPERATION, PAST_OPERATION):
                raise ValueError(operation)
            return Place(operation, parse_date(first), parse_date(last), str(tag))
        except (ValueError, TypeError, AttributeError, ProtocolError):
            raise _not_ours() from None


@dataclass(frozen=True, slots=True)
class Carry:
    """The values that the next page needs from this one: the last key, and the number of rows with that key so far.

    It is beside the PageCursor and not in it. Otherwise a NextTag that the bank repeats would not be detected.
    """

    key: str = ""
    count: int = 0

    def beside(self, cursor: PageCursor) -> str:
        """The whole cursor of a page: this value and the PageCursor."""
        return f"{cursor.encode()}.{self.count}.{base64.urlsafe_b64encode(self.key.encode()).decode()}"

    @staticmethod
    def apart(text: str, question: str) -> tuple[PageCursor, Carry]:
        """The two parts that `beside` joined. Raises "paging" on any other text."""
        try:
            encoded, count, key = text.split(".")
            carry = Carry(base64.b64decode(key, altchars=b"-_", validate=True).decode(), int(count))
        except (ValueError, binascii.Error):
            raise _not_ours() from None
        return PageCursor.decode(encoded, question), carry


def _not_ours() -> ProtocolError:
    return ProtocolError("paging", "this page cursor was not made by icbc")


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one login."""

    options: Options
    wire: Wire
    meanings: Meanings

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance by QACCBAL, now or of the day before (AccBalance). Raises Declined if the bank answers with a
        code.

        The form of QHISBAL, which gives other days, is not public.
        """
        check_renminbi("icbc", question.currency)
        today, past = _today(context), question.on is not None and question.on < _today(context)
        if past and not (self.options.previous_balance and question.on == today - timedelta(days=1)):
            raise ProtocolError(
                "value", "icbc tells yesterday's balance at most (previous_balance): QHISBAL's form is not public"
            )
        row = yield from self._row(question.account, context)
        if past:
            asked = _as_of(value_or(row, "QueryTime"))
            if asked is None or asked.astimezone(BEIJING).date() not in (today, _calendar(context)):
                raise ProtocolError(
                    "value", "QACCBAL does not say that it was asked today, so AccBalance may be of another day"
                )
            return Balance(question.account, book=Money(fen(value(row, "AccBalance"), signed=True)), available=None)
        return Balance(
            question.account,
            book=_money(row, "Balance"),
            available=_money(row, "UsableBalance"),
            frozen=_money(row, "FrzAmt"),
            previous_day=_money(row, "AccBalance"),
            as_of=_as_of(value_or(row, "QueryTime")),
            # LastTranDate is the work date only where the settings say so: it may be that of the account's last entry.
            host_date=stated_day(value_or(row, "LastTranDate").replace("-", ""))
            if self.options.work_date == "balance"
            else None,
        )

    def work_date(self, account: AccountNumber, context: Context) -> Conversation[date]:
        """The bank's work date, by LastTranDate of QACCBAL. Raises Declined without one, and then nothing was sent."""
        try:
            row = yield from self._row(account, context)
            return parse_date(value(row, "LastTranDate").replace("-", ""))
        except Declined:
            raise
        except ProtocolError as error:
            raise Declined("QACCBAL", error.reason, error.text, "retry") from None

    def probe(self, context: Context) -> Conversation[None]:
        """Ask for the balance of an own account, because the bank has no message for a probe."""
        yield from self._row(AccountNumber(self.options.probe_account), context)

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of entries. Raises Declined if the bank answers with a code, "paging" on a stale cursor."""
        check_renminbi("icbc", question.currency)
        mark = fingerprint("lines", question.account.clear, date_text(question.first), date_text(question.last))
        carry = Carry()
        if question.cursor is None:
            begin = self._leg(question.first, question.last, context)
            if begin is None:
                return Page(())
            cursor = PageCursor(begin.text(), 1, mark)
        else:
            cursor, carry = Carry.apart(question.cursor, mark)
        place = Place.of(cursor.value)
        if place.operation == TODAY_OPERATION and place.first != _calendar(context):
            raise ProtocolError("paging", "the bank's day changed during this walk: begin again")
        answer = yield from self._ask(place.operation, self._request(question.account.clear, place), context)
        lines: tuple[Line, ...] = ()
        findings: tuple[str, ...] = ()
        following: Place | None = None
        host_date: date | None = None
        if not self.meanings.is_empty(place.operation, "package", answer.code, answer.text):
            out = self._accepted(place.operation, answer)
            read, findings, following = self._page(out, place, question.account, context)
            host_date = _host_date(out) if place.operation == TODAY_OPERATION else None
            lines = counted(read, carry.key, carry.count)
            carry = Carry(lines[-1].bank_line_id, lines[-1].occurrence + 1) if lines else carry
        if following is None and place.operation == PAST_OPERATION:
            following = self._leg(place.last + timedelta(days=1), question.last, context)
        onward = None if following is None else carry.beside(cursor.then(following.text()))
        return Page(lines, onward, findings=findings, unread=len(findings), host_date=host_date)

    def _leg(self, first: date, last: date, context: Context) -> Place | None:
        """The next leg of a walk from `first` to `last`, or None if the walk is complete. A walk over the bank's today
        has its list, and so has one over the calendar's day that the bank has yet to come to."""
        today, day = _today(context), _calendar(context)
        if first > last or (first > today and not first <= day <= last):
            return None
        if first >= today:
            return Place(TODAY_OPERATION, day, day)
        span = first + timedelta(days=self.options.history_span_days - 1)
        return Place(PAST_OPERATION, first, min(last, today - timedelta(days=1), span))

    def _request(self, account: str, place: Place) -> list[Markup]:
        today, past = (NEW_TODAY, NEW_PAST) if self.options.is_new else (TODAY, PAST)
        table = today if place.operation == TODAY_OPERATION else past
        return elements(table, WrittenList(account, place.first, place.last, place.tag))

    def _page(
        self, out: etree._Element, place: Place, account: AccountNumber, context: Context
    ) -> tuple[list[Line], tuple[str, ...], Place | None]:
        """The entries of one answer, the findings about unreadable rows, and the leg's next page if the bank names
        one."""
        _same(out, "AccNo", account.clear, must=True)
        currency = value_or(out, "CurrType")
        if currency and currency not in RENMINBI:
            raise ProtocolError("correlation", f"the entries are in {currency!r}, we asked for 001")
        past, rows = place.operation == PAST_OPERATION, several(out, "rd")
        slack = timedelta(days=context.host.bound)
        if past:
            _same(out, "BeginDate", date_text(place.first))
            _same(out, "EndDate", date_text(place.last))

        def read(row: etree._Element) -> Line:
            if past:
                raw = row_of_past(row, place.first, place.last)
            else:
                raw = row_of_today(row, _today(context), (place.first - slack, place.first + slack))
            return line(raw, account, reference_in_ref=self.options.reference_in_ref)

        lines, findings = readable(rows, read, place.operation)
        tag, total = value_or(out, "NextTag"), value_or(out, "TotalNum")
        # The bank does not say whether TotalNum counts the page or the whole walk. In neither case may rows be missing.
        if total and (number(total) < len(rows) or (not tag and not place.tag and number(total) != len(rows))):
            raise ProtocolError("value", f"{place.operation}: TotalNum is {total}, the page has {len(rows)} rows")
        return lines, findings, replace(place, tag=tag) if tag else None

    def _row(self, account: AccountNumber, context: Context) -> Conversation[etree._Element]:
        """The only row of a QACCBAL, checked to be about this account."""
        asked = elements(NEW_BALANCE if self.options.is_new else BALANCE, account.clear)
        answer = yield from self._ask("QACCBAL", [*elements(BALANCES, None), el("rd", asked)], context)
        out = self._accepted("QACCBAL", answer)
        rows = several(out, "rd")
        if len(rows) != 1:
            raise ProtocolError("missing" if not rows else "ambiguous", f"QACCBAL of one account has {len(rows)} rows")
        row = rows[0]
        _same(row, "AccNo", account.clear, must=True)
        currency, code = value_or(row, "CurrType"), value_or(row, "iRetCode")
        if currency and currency not in RENMINBI:
            raise ProtocolError("correlation", f"the balance is in {currency!r}, we asked for 001")
        if code not in ("", "0"):
            self.meanings.decline("QACCBAL", "line", code, value_or(row, "iRetMsg"))
        return row

    def _ask(self, operation: str, inner: list[Markup], context: Context) -> Conversation[Message]:
        answer = yield from self.wire.ask(operation, context.serials[0], context.bank_date, context.now, inner)
        if isinstance(answer, Refused):
            self.meanings.decline(operation, "nc", answer.code, "errorCode")
        return answer

    def _accepted(self, operation: str, answer: Message) -> etree._Element:
        if not answer.accepted:
            self.meanings.decline(operation, "package", answer.code, answer.text)
        if answer.out is None:
            raise ProtocolError("missing", f"{operation} was accepted, but the answer has no body")
        return answer.out


def _calendar(context: Context) -> date:
    """The calendar's day at the bank."""
    return context.now.astimezone(BEIJING).date()


def _today(context: Context) -> date:
    """The bank's day, which is the limit between QPD and QHISD: the calendar's, unless the bank's answers state another
    date. After the cut-off the bank date of an order is a later day."""
    return _calendar(context) + timedelta(days=context.host.ahead)


def _day(row: etree._Element, tag: str) -> date | None:
    return stated_day(value_or(row, tag).replace("-", ""))


def _host_date(out: etree._Element) -> date | None:
    """The bank's date as a list of today states it: TradeDate of its newest entry."""
    days = [_day(row, "TradeDate") for row in several(out, "rd")]
    return max((day for day in days if day is not None), default=None)


def _same(parent: etree._Element, tag: str, ours: str, *, must: bool = False) -> None:
    stated = value(parent, tag) if must else value_or(parent, tag)
    if stated.replace("-", "") != ours and (must or stated):
        raise ProtocolError("correlation", f"the answer's {tag} is {stated!r}, we asked about {ours!r}")


def _money(parent: etree._Element, tag: str) -> Money | None:
    text = value_or(parent, tag)
    return Money(fen(text, signed=True)) if text else None


def _as_of(text: str) -> datetime | None:
    found = _QUERY_TIME.fullmatch(text)
    try:
        return datetime.strptime(found.group(1), "%Y%m%d%H%M%S").replace(tzinfo=BEIJING) if found else None
    except ValueError:
        return None  # an unreadable time does not make a clear balance doubtful
