"""Questions about accounts: DLBALQRY balance, DLHBLQRY past balances, DLTRNALL entries and returns, the probe.

DLTRNALL answers about 92 days at most, 20 entries a page, from a running number on; a period is read in legs, and
today is a leg of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.citic import requests
from protocols.banks.citic.options import Options
from protocols.banks.citic.requests import PAGE_LINES, Asked
from protocols.banks.citic.table import declined, is_empty
from protocols.banks.citic.wire import DONE, Answer, Wire, rows, status_of
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
from protocols.kit.walk import WalkPlace, entered
from protocols.kit.xmldoc import value, value_or

SPAN: Final = timedelta(days=91)
"""From the first to the last day of one question: 92 days with both."""
RECORD_MOST: Final = 9999
"""startRecord has four places."""
RETURNED: Final = "0"
"""e3rtFlag of an entry that is a payment coming back (退汇)."""
_IDENTITY: Final = ("tranDate", "tranTime", "tranNo", "sumTranNo", "creditDebitFlag", "tranAmount", "balance")
_DAY: Final = timedelta(days=1)
_PAGES_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one enterprise."""

    options: Options
    wire: Wire
    meanings: Meanings

    def answered(self, answer: Answer, action: str) -> Answer:
        """Return `answer` if it worked. Raises Declined on any other status."""
        if not answer.done:
            raise declined(self.meanings, action, answer)
        return answer

    def is_empty(self, answer: Answer, action: str) -> bool:
        """True if the status says that there are no rows. Raises "value" if the answer has rows all the same."""
        return is_empty(self.meanings, action, answer)

    def probe(self, context: Context) -> Conversation[None]:
        """Ask for the balance of the probe account (DLBALQRY), because the bank has no other heartbeat. Raises Declined
        on a status."""
        yield from self._balances(self.options.probe_account)

    # ---- balance ----------------------------------------------------------------------------------------------

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance, by DLBALQRY now or DLHBLQRY for a past day. Raises Declined if the bank answers with a
        status."""
        check_renminbi("citic", question.currency)
        if question.on is None or question.on >= context.bank_date:
            return self._balance_now(question)
        return self._balance_on(question, question.on)

    def _balances(self, account: str) -> Conversation[Answer]:
        asked = Asked(account=account)
        answer = yield from self.wire.asked(requests.DLBALQRY, asked, rows(requests.DLBALQRY_ROW, [asked]))
        return self.answered(answer, "DLBALQRY")

    def _balance_now(self, question: BalanceQuestion) -> Conversation[Balance]:
        row = _only((yield from self._balances(question.account.clear)).rows, question.account.clear)
        status = status_of(row)
        if status != DONE:
            # Each account has a status of its own: an answer that worked may still refuse this one.
            stated = plain(value_or(row, "statusText"))
            meant = self.meanings.table.look_up("question", "outer", status, stated)
            raise Declined("DLBALQRY", status, stated, meant)
        currency = value_or(row, "currencyID")
        if self.options.currency_id and currency != self.options.currency_id:
            raise ProtocolError("correlation", f"the balance is in currency {currency!r}")
        return Balance(
            question.account,
            book=money_or_none(row, "balance"),
            available=money_or_none(row, "usableBalance"),
            frozen=money_or_none(row, "forzenAmt"),
        )

    def _balance_on(self, question: BalanceQuestion, day: date) -> Conversation[Balance]:
        account = question.account.clear
        asked = Asked(account=account, first=day, last=day)
        answer = self.answered((yield from self.wire.asked(requests.DLHBLQRY, asked)), "DLHBLQRY")
        stated = value_or(answer.root, "accountNo")
        if stated not in ("", account):
            raise ProtocolError("correlation", f"the balance is of account {stated}")
        found = [row for row in answer.rows if parse_date(value(row, "date")) == day]
        if len(found) != 1:
            raise ProtocolError("missing" if not found else "ambiguous", f"{len(found)} balances of one day")
        return Balance(question.account, book=money_or_none(found[0], "balance"), available=None)

    # ---- entries ----------------------------------------------------------------------------------------------

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of entries. Raises Declined if the bank answers with a status, "paging" on a stale cursor."""
        check_renminbi("citic", question.currency)
        page, _ = yield from self._walked("lines", question, context)
        return page

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns: entries with e3rtFlag 0, matched to their payment by oriNum.

        An entry that cannot be read as an entry may still be read as a return. Raises as `lines`.
        """
        page, rows = yield from self._walked("returns", question, context)
        back = [row for row in rows if value_or(row, "e3rtFlag") == RETURNED]
        found, findings = readable(back, _return, "DLTRNALL, returned")
        return ReturnsPage(tuple(found), page.cursor, findings)

    def came_back(self, account: AccountNumber, first: date, context: Context) -> Conversation[list[CameBack]]:
        """All money that came back since `first`, from the entries.

        An entry that cannot be read is left out here; it is a finding where returns are listed.
        """
        found: list[CameBack] = []
        cursor: str | None = None
        for _ in range(_PAGES_MOST):
            question = ReturnsQuestion(account, first, context.bank_date, cursor)
            page, rows = yield from self._walked("returns", question, context)
            back = [row for row in rows if value_or(row, "e3rtFlag") == RETURNED]
            found += readable(back, _came_back, "DLTRNALL, returned")[0]
            cursor = page.cursor
            if cursor is None:
                return found
        raise ProtocolError("paging", f"more than {_PAGES_MOST} pages of entries since {first}")

    def _walked(
        self, what: str, question: LinesQuestion | ReturnsQuestion, context: Context
    ) -> Conversation[tuple[Page, Sequence[etree._Element]]]:
        """One page of DLTRNALL, with its rows, without rows that the page before had."""
        account, today = question.account.clear, context.bank_date
        last = min(question.last, today)
        mark = fingerprint(what, account, date_text(question.first), date_text(question.last))
        if question.cursor is None and question.first > last:
            return Page(()), ()
        cursor = entered(question.cursor, mark, lambda: _leg(question.first, last, today).text())
        leg = Leg.of(cursor.value)
        place = leg.place
        asked = Asked("", "", account, place.day, leg.end, place.number, kind=self.options.control_flag)
        answer = yield from self.wire.asked(requests.DLTRNALL, asked)
        page, rows, following = self._page(answer, leg, question.account)
        if following is None and leg.end < last:
            following = _leg(leg.end + _DAY, last, today)
        if following is not None:
            page = replace(page, cursor=cursor.then(following.text()).encode())
        return page, rows

    def _page(
        self, answer: Answer, leg: Leg, account: AccountNumber
    ) -> tuple[Page, Sequence[etree._Element], Leg | None]:
        """The page of an answer, its rows, and the next place of its leg if there is one."""
        place = leg.place
        if self.is_empty(answer, "DLTRNALL"):
            if place.number <= leg.total:
                raise ProtocolError("paging", f"{leg.total} entries were said to be there, and now none is")
            return Page(()), (), None
        self.answered(answer, "DLTRNALL")
        stated = value_or(answer.root, "accountNo")
        if stated not in ("", account.clear):
            raise ProtocolError("correlation", f"the entries are of account {stated}")
        found = answer.rows
        told = digits(value_or(answer.root, "returnRecords") or str(len(found)))
        if told != len(found):
            raise ProtocolError("value", f"returnRecords says {told}, the page has {len(found)}")
        counted = value_or(answer.root, "totalRecords")
        if not counted and len(found) >= PAGE_LINES:
            raise ProtocolError("missing", "a full page without totalRecords: whether there are more is not said")
        total = digits(counted) if counted else place.number - 1 + len(found)
        again = leg.told_again(found, total)
        rows = found[again:]
        read, findings = readable(rows, lambda row: _line(row, account, place.day, leg.end), "DLTRNALL")
        page = Page(place.counted(read), findings=findings, unread=len(findings))
        # Rows that cannot be read have numbers too.
        onward = replace(place, number=place.number + again + page.unread)
        following = onward.onward(page.lines, total) if page.lines or not findings or onward.number > total else onward
        if following is None:
            return page, rows, None
        if following.number > RECORD_MOST:
            raise ProtocolError("paging", f"{total} entries, and startRecord has four places; ask about fewer days")
        return page, rows, Leg(following, leg.end, total, _mark(found[-1]))


@dataclass(frozen=True, slots=True)
class CameBack:
    """Money that came back: the number of its payment (oriNum), the paying account, the amount, the bank's text."""

    number: str
    other: str
    amount: Money
    text: str


@dataclass(frozen=True, slots=True)
class Leg:
    """The place of a page.

    `end` is the last day of the leg, fixed when it begins, because an answer's numbers count only its own days. `total`
    is the number of entries that the previous page stated, `last` a fingerprint of its last row.
    """

    place: WalkPlace
    end: date
    total: int = 0
    last: str = ""

    def text(self) -> str:
        """As the value of a PageCursor."""
        return f"{date_text(self.end)} {self.total} {self.last} {self.place.text()}"

    @staticmethod
    def of(text: str) -> Leg:
        """Reads what `text` wrote. Raises "paging" on anything else."""
        try:
            end, total, last, place = text.split(" ", 3)
            return Leg(WalkPlace.of(place), parse_date(end), digits(total), last)
        except (ValueError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made here") from None

    def told_again(self, rows: list[etree._Element], total: int) -> int:
        """The number of a page's first rows that the page before had already, because the list has grown since.

        The bank's page does not say whether the newest entry is first or last. If it is last, a new entry changes
        nothing here. If it is first, it moves all others on, and the page begins with rows that we have already. Raises
        "paging" if this cannot be decided, or if the list has shrunk: the walk must begin again.
        """
        grown = total - self.total if self.total else 0
        if grown < 0 or grown >= PAGE_LINES:
            raise ProtocolError("paging", f"{self.total} entries, and then {total}: the list changed during the walk")
        if not grown:
            return 0
        marks = [_mark(row) for row in rows]
        if self.last not in marks:
            return 0
        if grown > len(rows) or marks[grown - 1] != self.last or not value_or(rows[grown - 1], "balance"):
            raise ProtocolError("paging", "the list changed during the walk, and an entry may be one we have already")
        return grown


def _leg(first: date, last: date, today: date) -> Leg:
    """The leg of a walk to `last` that begins on `first`. Today is a leg of its own, because only its list still
    grows."""
    end = min(first + SPAN, last)
    return Leg(WalkPlace(first), today - _DAY if first < today <= end else end)


def _mark(row: etree._Element) -> str:
    """A fingerprint of the fields of an entry that never change. The bank may add other fields at any time."""
    return fingerprint(*(value_or(row, tag) for tag in _IDENTITY))


def _line(row: etree._Element, account: AccountNumber, first: date, last: date) -> Line:
    day, flag = parse_date(value(row, "tranDate")), value(row, "creditDebitFlag")
    number, within = _numbers(row)
    if not first <= day <= last:
        raise ProtocolError("correlation", f"an entry of {day}, which was not asked for")
    if flag not in ("D", "C"):
        raise ProtocolError("value", f"creditDebitFlag {flag!r} is neither D nor C")
    other, name = value_or(row, "oppAccountNo"), value_or(row, "oppAccountName")
    value_day, amount = value_or(row, "valueDate"), amount_minor(value(row, "tranAmount"))
    returned = value_or(row, "e3rtFlag") == RETURNED
    return Line(
        account=account,
        # The id is made of the row's content and not of its place, because the order of two rows under one number may
        # differ tomorrow.
        bank_line_id="-".join(part for part in (date_text(day), number, within, f"{flag}{amount}") if part),
        direction=Direction.DEBIT if flag == "D" else Direction.CREDIT,
        amount=Money(amount),
        bank_date=day,
        booked_at=moment_or_none(day, value_or(row, "tranTime")),
        value_date=stated_day(value_day),
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(plain(name)) if name else None,
        counterparty_bank=plain(value_or(row, "oppOpenBankName")) or None,
        text=("(退汇)" if returned else "") + plain(value_or(row, "abstract")),
        balance=row_balance(row, "balance"),
    )


def _numbers(row: etree._Element) -> tuple[str, str]:
    """The number of an entry, and the values that distinguish it from others under that number.

    tranNo with sumTranNo within it. tranNo may be empty (banks/citic.md 9.2): then sumTranNo, else oriNum, each with
    the balance after the entry. Raises "missing" if an entry has none of them.
    """
    number, within = value_or(row, "tranNo"), value_or(row, "sumTranNo")
    if number:
        return number, within
    other = within or value_or(row, "oriNum")
    if not other:
        raise ProtocolError("missing", "an entry without a number of the bank (tranNo, sumTranNo, oriNum)")
    return other, value_or(row, "balance")


def _return(row: etree._Element) -> Return:
    """The payment's number (oriNum), amount and day of an entry that is flagged as returned."""
    day = stated_day(value_or(row, "e3rtDate")) or stated_day(value_or(row, "tranDate"))
    amount = Money(amount_minor(value(row, "tranAmount")))
    reference = value_or(row, "oriNum")
    if not reference:
        raise ProtocolError("missing", f"{amount} came back on {day}, and oriNum does not say of which payment")
    return Return(reference, amount, day, plain(value_or(row, "abstract")))


def _came_back(row: etree._Element) -> CameBack:
    told = _return(row)
    assert told.amount is not None
    return CameBack(told.reference, value_or(row, "oppAccountNo"), told.amount, told.text)


def _only(found: list[etree._Element], account: str) -> etree._Element:
    """The one row, if it is of `account`."""
    if len(found) != 1:
        raise ProtocolError("missing" if not found else "ambiguous", f"{len(found)} rows about one account")
    stated = value(found[0], "accountNo")
    if stated != account:
        raise ProtocolError("correlation", f"the balance is of account {stated}, we asked about {account}")
    return found[0]
