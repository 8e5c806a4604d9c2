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
from protocols.banks.boc.table import check_signed_on
from protocols.banks.boc.wire import DONE, Answer, Status, Wire, fields, status_of
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
from protocols.kit.walk import Place, entered, line_key
from protocols.kit.xmldoc import Markup, el, one, value, value_or

PAGE_LINES: Final = 50
SPAN: Final = timedelta(days=27)
"""From the first to the last day of one question about the past: 28 days are a month in any month."""
TODAY, PAST = "2001", "2002"
AMOUNTS: Final = (("from", "0"), ("to", "9999999999"))
_DAY: Final = timedelta(days=1)
_DIRECTIONS: Final = {"1": Direction.CREDIT, "2": Direction.DEBIT}


@dataclass(frozen=True, slots=True)
class Statements:
    """Questions about the accounts of one customer."""

    options: Options
    wire: Wire
    meanings: Meanings

    def probe(self, context: Context) -> Conversation[None]:
        """b2e0005 of the probe account: it proves the token too. Raises Declined on a code of the message, and where
        its row does not know the token; what else the row says of the account is no matter here.
        """
        account = AccountNumber(self.options.probe_account)
        yield from self.asked("b2e0005", context, el("account", fields(self._account(account))))

    def _account(self, account: AccountNumber) -> tuple[tuple[str, str], ...]:
        return ("ibknum", self.wire.branch(account)), ("actacn", account.clear)

    def asked(self, code: str, context: Context, row: Markup) -> Conversation[Answer]:
        """An answer whose message worked. Raises Declined on another code, and where a row knows no such token."""
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
        """b2e0005 now, b2e0012 for a past day. Raises Declined if the bank answers with a code."""
        check_renminbi("boc", question.currency)
        account, day = question.account, question.on
        if day is None or day >= context.bank_date:
            answer = yield from self.asked("b2e0005", context, el("account", fields(self._account(account))))
            row = self._only("b2e0005", answer.rows, account)
            sums = one(row, "balance")
            return Balance(
                account,
                money_or_none(sums, "bokbal"),
                money_or_none(sums, "avabal"),
                frozen=money_or_none(sums, "stpamt"),
            )
        span = el("datescope", fields((("from", date_text(day)), ("to", date_text(day)))))
        asked = Markup(el("account", fields(self._account(account))) + span)
        answer = yield from self.asked("b2e0012", context, asked)
        # One or two days in one answer (banks/boc.md 9): what another day's row is like is no matter.
        rows = [row for row in answer.rows if not _status(row).done or stated_day(value_or(row, "baldat")) == day]
        sums = one(self._only("b2e0012", rows, account), "balance")
        return Balance(account, money_or_none(sums, "bokbal"), money_or_none(sums, "avabal"))

    def _only(self, code: str, rows: Iterable[etree._Element], account: AccountNumber) -> etree._Element:
        """The one row, if it worked and is of `account`. Raises Declined if its own code is not B001."""
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
        """One page of one leg. Raises Declined on a code for an answer, "paging" on a stale cursor."""
        check_renminbi("boc", question.currency)
        page, _ = yield from self._walked("lines", question, context)
        return page

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of the money that came in under an insid: of a payment of this account, it came back.

        An entry that cannot be read as one may still be read as a return. Raises as `lines`.
        """
        page, rows = yield from self._walked("returns", question, context)
        back = [row for row in rows if _DIRECTIONS.get(value_or(row, "direction")) is Direction.CREDIT]
        found, findings = readable([row for row in back if value_or(row, "insid")], _return, "b2e0035, money in")
        return ReturnsPage(tuple(found), page.cursor, findings)

    def _walked(
        self, what: str, question: LinesQuestion | ReturnsQuestion, context: Context
    ) -> Conversation[tuple[Page, tuple[etree._Element, ...]]]:
        """One page of b2e0035, and its rows."""
        account, today = question.account, context.bank_date
        last = min(question.last, today)
        mark = fingerprint(what, account.clear, date_text(question.first), date_text(question.last))
        if question.cursor is None and question.first > last:
            return Page(()), ()
        cursor = entered(question.cursor, mark, lambda: _leg(question.first, last, today).text())
        place, end = _planned(Place.of(cursor.value), last, today)
        answer = yield from self.asked("b2e0035", context, Markup("".join((
            *fields((*self._account(account), ("type", place.kind))),
            el("datescope", fields((("from", date_text(place.day)), ("to", date_text(end))))),
            el("amountscope", fields(AMOUNTS)),
            *fields((("begnum", str(place.number)), ("recnum", f"{PAGE_LINES:02d}"), ("direction", "0"))),
        ))))  # fmt: skip
        page, following = self._page(answer, place, end, account)
        if following is None and end < last:
            following = _leg(end + _DAY, last, today)
        if following is not None:
            page = replace(page, cursor=cursor.then(following.text()).encode())
        return page, answer.rows

    def _page(
        self, answer: Answer, place: Place, end: date, account: AccountNumber
    ) -> tuple[Page, Place | None]:
        """The lines of one answer, and where its leg goes on, if it does.

        A row that cannot be read, or with another code than B001, is left out and said as a finding: it hides no other.
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
            # Taken for the only page, a full one would end the walk with entries untold.
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


def _leg(first: date, last: date, today: date) -> Place:
    """The leg of a walk from `first` to `last` that begins on `first`: up to 28 days of the past, or today."""
    if first >= today:
        return Place(first, last=today, kind=TODAY)
    return Place(first, last=min(first + SPAN, last, today - _DAY), kind=PAST)


def _planned(place: Place, last: date, today: date) -> tuple[Place, date]:
    """The place as it is asked about today, and its leg's last day. Raises "paging" if it cannot be gone on with."""
    if place.kind not in (TODAY, PAST) or place.last is None:
        raise ProtocolError("paging", "this page cursor was not made here")
    if place.kind == TODAY and place.day != today:
        if place.begun:
            # Type 2001 knows the current day only; the numbers that were counted belong to a list that is gone.
            raise ProtocolError("paging", "the bank's day changed in the middle of it: begin this walk again")
        place = _leg(place.day, last, today)
    assert place.last is not None
    return place, place.last


def _status(row: etree._Element) -> Status:
    """A balance's own status; in b2e0012 the page's rows have none."""
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
