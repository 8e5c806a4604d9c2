"""Questions about accounts: b2e0005 balance, b2e0012 past balances, b2e0035 entries, the heartbeat.

b2e0035 has one type for today and one for the past, which covers a month: a period is read in legs. A leg keeps its
type and its days from the first page to the last, even if the date changes in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.boc.options import Options
from protocols.banks.boc.requests import PAGE_LINES, OwnAccount, WrittenList, balance_row, list_row
from protocols.banks.boc.table import check_signed_on
from protocols.banks.boc.wire import DONE, Answer, Status, Wire, status_of
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import BalanceQuestion, LinesQuestion, ReturnsQuestion
from protocols.canon.statement import Balance, Direction, Line, Page, Return, ReturnsPage
from protocols.kit.china import check_renminbi, moment_or_none, money_or_none, row_balance
from protocols.kit.declined import Declined
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, date_text, digits, parse_date, plain, stated_day
from protocols.kit.meanings import Meanings
from protocols.kit.paging import fingerprint
from protocols.kit.readable import readable
from protocols.kit.walk import WalkPlace, entered, line_key
from protocols.kit.xmldoc import Markup, one, value, value_or

SPAN: Final = timedelta(days=27)
"""From the first to the last day of one question about the past: 28 days are a month in any month."""
TODAY, PAST = "2001", "2002"
_DAY: Final = timedelta(days=1)
_DIRECTIONS: Final = {"1": Direction.CREDIT, "2": Direction.DEBIT}


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one customer."""

    options: Options
    wire: Wire
    meanings: Meanings

    def probe(self, context: Context) -> Conversation[None]:
        """Ask b2e0005 about the probe account, which also checks the token. Raises Declined on a code of the message,
        and if its row rejects the token; the row's other statements do not matter here."""
        account = AccountNumber(self.options.probe_account)
        yield from self.asked("b2e0005", context, balance_row(OwnAccount(account, self.options)))

    def asked(self, code: str, context: Context, row: Markup) -> Conversation[Answer]:
        """The answer, if its message worked. Raises Declined for another code, and if a row rejects the token."""
        frame = yield Ask("business", self.wire.message(code, context, [row]))
        answer = self.wire.read(frame, code, self.wire.number(context))
        status = answer.status
        if not status.done and not self._is_empty(status):
            self.meanings.decline("question", "message", status.code, status.text, asked=code)
        rows, _ = readable(answer.rows, _status, code)
        check_signed_on(self.meanings, code, *rows)
        return answer

    def _is_empty(self, status: Status) -> bool:
        return self.meanings.is_empty("question", "message", status.code, status.text)

    # ---- balance ----------------------------------------------------------------------------------------------

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance, by b2e0005 now or b2e0012 for a past day. Raises Declined if the bank answers with a code."""
        check_renminbi("boc", question.currency)
        account, day = question.account, question.on
        if day is None or day >= context.bank_date:
            answer = yield from self.asked("b2e0005", context, balance_row(OwnAccount(account, self.options)))
            row = self._only("b2e0005", answer.rows, account)
            sums = one(row, "balance")
            return Balance(
                account,
                money_or_none(sums, "bokbal"),
                money_or_none(sums, "avabal"),
                frozen=money_or_none(sums, "stpamt"),
            )
        answer = yield from self.asked("b2e0012", context, balance_row(OwnAccount(account, self.options), day))
        # The answer may hold one or two days (banks/boc.md 9). Rows of another day are not looked at.
        rows = [row for row in answer.rows if not _status(row).done or stated_day(value_or(row, "baldat")) == day]
        sums = one(self._only("b2e0012", rows, account), "balance")
        return Balance(account, money_or_none(sums, "bokbal"), money_or_none(sums, "avabal"))

    def _only(self, code: str, rows: Iterable[etree._Element], account: AccountNumber) -> etree._Element:
        """The only row, if it worked and is of `account`. Raises Declined if its own code is not B001."""
        found = list(rows)
        if len(found) != 1:
            raise ProtocolError("missing" if not found else "ambiguous", f"{len(found)} rows about one account")
        status = _status(found[0])
        if not status.done:
            raise Declined(code, status.code, status.text, None)
        stated, currency = value(found[0], "account/actacn"), value_or(found[0], "account/curcde")
        if stated != account.clear:
            raise ProtocolError("correlation", f"the balance is of account {stated}")
        if currency not in ("", *self.options.renminbi):
            raise ProtocolError("correlation", f"the balance is in currency {currency!r}")
        return found[0]

    # ---- entries ----------------------------------------------------------------------------------------------

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of one leg. Raises Declined if the bank answers with a code, "paging" on a stale cursor."""
        check_renminbi("boc", question.currency)
        page, _ = yield from self._walked("lines", question, context)
        return page

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns: money that came in under the insid of a payment of this account.

        An entry that cannot be read as an entry may still be read as a return. Raises as `lines`.
        """
        page, rows = yield from self._walked("returns", question, context)
        back = [row for row in rows if _DIRECTIONS.get(value_or(row, "direction")) is Direction.CREDIT]
        found, findings = readable([row for row in back if value_or(row, "insid")], _return, "b2e0035, money in")
        return ReturnsPage(tuple(found), page.cursor, findings)

    def _walked(
        self, what: str, question: LinesQuestion | ReturnsQuestion, context: Context
    ) -> Conversation[tuple[Page, tuple[etree._Element, ...]]]:
        """The answer to one page of b2e0035, and its rows."""
        account, today = question.account, context.bank_date
        last = min(question.last, today)
        mark = fingerprint(what, account.clear, date_text(question.first), date_text(question.last))
        if question.cursor is None and question.first > last:
            return Page(()), ()
        cursor = entered(question.cursor, mark, lambda: _leg(question.first, last, today).text())
        place, end = _planned(WalkPlace.of(cursor.value), last, today)
        asked = list_row(OwnAccount(account, self.options), WrittenList(place.kind, place.day, end, place.number))
        answer = yield from self.asked("b2e0035", context, asked)
        page, following = self._page(answer, place, end, account)
        if following is None and end < last:
            following = _leg(end + _DAY, last, today)
        if following is not None:
            page = replace(page, cursor=cursor.then(following.text()).encode())
        return page, answer.rows

    def _page(
        self, answer: Answer, place: WalkPlace, end: date, account: AccountNumber
    ) -> tuple[Page, WalkPlace | None]:
        """The lines of one answer, and the next place of its leg if there is one.

        A row that cannot be read, or that has another code than B001, is left out and becomes a finding; it does not
        hide other rows.
        """
        rows = answer.rows
        if not answer.status.done:
            return Page(()), None
        refused = [status for status in readable(rows, status_of, "b2e0035")[0] if not status.done]
        if refused and len(refused) == len(rows):
            if len(rows) == 1 and self._is_empty(refused[0]):
                return Page(()), None
            raise Declined("b2e0035", refused[0].code, refused[0].text, None)
        stated = value_or(answer.within, "totalnum")
        if not stated and len(rows) >= PAGE_LINES:
            # A full page taken for the only one would end the walk before all entries are read.
            raise ProtocolError("missing", f"a full page of {len(rows)} entries without totalnum")
        total = digits(stated or str(len(rows)))
        told = digits(value_or(answer.within, "notenum") or str(len(rows)))
        if told != len(rows):
            raise ProtocolError("value", f"notenum says {told}, the page has {len(rows)}")
        since = date.fromisoformat(self.options.line_ids_from)
        read, findings = readable(rows, lambda row: _line(row, account, place.day, end, since), "b2e0035")
        again = place.told_again(read, total) if stated else 0
        lines, unread = place.counted(read[again:]), len(findings)
        behind = replace(place, number=place.number + unread + again)
        page = Page(lines, findings=findings, unread=unread)
        if lines or not unread:
            return page, behind.onward(lines, total)
        return page, behind if behind.number <= total else None


def _leg(first: date, last: date, today: date) -> WalkPlace:
    """The leg of a walk from `first` to `last` that begins on `first`: up to 28 past days, or today."""
    if first >= today:
        return WalkPlace(first, last=today, kind=TODAY)
    return WalkPlace(first, last=min(first + SPAN, last, today - _DAY), kind=PAST)


def _planned(place: WalkPlace, last: date, today: date) -> tuple[WalkPlace, date]:
    """The place to ask for today, and the last day of its leg. Raises "paging" if the walk cannot continue from
    there."""
    if place.kind not in (TODAY, PAST) or place.last is None:
        raise ProtocolError("paging", "this page cursor was not made here")
    if place.kind == TODAY and place.day != today:
        if place.begun:
            # Type 2001 knows the current day only: the entries counted so far belong to the list of a day that is over.
            raise ProtocolError("paging", "the bank's day changed in the middle of it: begin this walk again")
        place = _leg(place.day, last, today)
    assert place.last is not None
    return place, place.last


def _status(row: etree._Element) -> Status:
    """The status of a balance's row. A row of b2e0012 has none, and counts as done."""
    return Status(DONE, "") if row.find("status") is None else status_of(row)


def _return(row: etree._Element) -> Return:
    status = _status(row)
    if not status.done:
        raise ProtocolError("value", f"the row says {status.code}")
    amount, day = Money(amount_minor(value(row, "txnamt"))), stated_day(value_or(row, "txndate"))
    return Return(value(row, "insid"), amount, day, plain(value_or(row, "furinfo")))


def _line(row: etree._Element, account: AccountNumber, first: date, last: date, since: date) -> Line:
    status = status_of(row)
    if not status.done:
        raise ProtocolError("value", f"the row says {status.code}")
    day, number = parse_date(value(row, "txndate")), value_or(row, "transid") or value_or(row, "vchnum")
    if not first <= day <= last:
        raise ProtocolError("value", f"an entry of {day}, which was not asked for")
    if not number:
        raise ProtocolError("missing", "an entry without the bank's number (transid, vchnum)")
    direction = _DIRECTIONS.get(value(row, "direction"))
    if direction is None:
        raise ProtocolError("value", f"direction {value(row, 'direction')!r} is neither 1 nor 2")
    ours, theirs = ("fractn", "toactn") if direction is Direction.DEBIT else ("toactn", "fractn")
    stated, other = value_or(row, f"{ours}/actacn"), value_or(row, f"{theirs}/actacn")
    if stated not in ("", account.clear):
        raise ProtocolError("value", "the entry's direction and its two accounts contradict each other")
    if value_or(row, "trncur") not in ("", "CNY", "001"):
        raise ProtocolError("value", f"an entry in currency {value_or(row, 'trncur')!r}")
    tags = ("toname", "tobank") if theirs == "toactn" else ("acntname", "ibkname")
    name, bank = (plain(value_or(row, f"{theirs}/{tag}")) for tag in tags)
    amount = Money(amount_minor(value(row, "txnamt")))
    return Line(
        account=account,
        bank_line_id=line_key(day, (number,), direction, amount.minor, since),
        direction=direction,
        amount=amount,
        bank_date=day,
        booked_at=moment_or_none(day, value_or(row, "txntime")),
        value_date=stated_day(value_or(row, "valdat")),
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(name) if name else None,
        counterparty_bank=bank or None,
        text=plain(" ".join(text for tag in ("useinfo", "furinfo") if (text := value_or(row, tag)))),
        balance=row_balance(row, "acctbal"),
        reference=value_or(row, "insid") or None,
    )
