"""Entries of an account: 8924, one day a question, by a running number.

The bank's page names the message and little more (banks/spdb.md 4 and 9). The form of the question and of a row is
taken from a public client's model of both: reconstructed. Today is asked about in the same way as any other day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Context, Conversation
from protocols.banks.spdb.envelope import FrontEnd, Refused
from protocols.banks.spdb.requests import ENTRIES, ENTRY_ROWS, QueryFilter, QueryPage
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.query import LinesQuestion
from protocols.canon.statement import Direction, Line, Page
from protocols.kit.china import check_renminbi, moment_or_none, row_balance
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, date_text, digits, parse_date, plain
from protocols.kit.meanings import Meanings
from protocols.kit.paging import fingerprint
from protocols.kit.readable import readable
from protocols.kit.walk import WalkPlace, entered, line_key
from protocols.kit.xmldoc import el, several, value, value_or

OPERATION: Final = "8924"
RENMINBI: Final = ("", "01")
"""currency of an answer: 01 in the one sample, as other banks write CNY."""
_DAY: Final = timedelta(days=1)
_DIRECTIONS: Final = {"0": Direction.DEBIT, "1": Direction.CREDIT}


@dataclass(frozen=True, slots=True)
class Entries:
    """Asks for the entries of one customer's accounts."""

    front: FrontEnd
    meanings: Meanings
    ids_from: date

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of one day. Raises Declined if the bank answers with a code, "paging" on a stale cursor or repeated
        page."""
        check_renminbi("spdb", question.currency)
        account, last = question.account.clear, min(question.last, context.bank_date)
        mark = fingerprint(OPERATION, account, date_text(question.first), date_text(question.last))
        if question.cursor is None and question.first > last:
            return Page(())
        cursor = entered(question.cursor, mark, lambda: WalkPlace(question.first).text())
        place = WalkPlace.of(cursor.value)
        wanted = QueryFilter(account, place.day, place.day)
        body = el("body", ENTRIES.elements(QueryPage(wanted, ENTRY_ROWS, place.number)))
        told = yield from self.front.ask(OPERATION, body, self.front.packet_ids(context), context)
        if not isinstance(told, Refused):
            page, following = _page(told, question.account, place, self.ids_from)
        elif self.meanings.is_empty(OPERATION, "head", told.code, told.text):
            page, following = Page(()), None
        else:
            self.meanings.decline(OPERATION, "head", told.code, told.text)
        if following is None and place.day < last:
            following = WalkPlace(place.day + _DAY)
        return page if following is None else replace(page, cursor=cursor.then(following.text()).encode())


def _page(told: etree._Element, account: AccountNumber, place: WalkPlace, since: date) -> tuple[Page, WalkPlace | None]:
    """The entries of one answer, and the day's next place. Raises "correlation" for entries of another account."""
    stated, currency = value_or(told, "acctNo"), value_or(told, "currency")
    if stated not in ("", account.clear) or currency not in RENMINBI:
        raise ProtocolError("correlation", f"8924: the answer is about another account, or in currency {currency!r}")
    rows, total = several(told, "lists/list"), value_or(told, "totalCount")
    if len(rows) > ENTRY_ROWS:
        raise ProtocolError("value", f"8924: {len(rows)} rows, {ENTRY_ROWS} were asked for")
    read, findings = readable(rows, lambda row: _line(row, account, place, since), OPERATION)
    # Without a count a page that is not full is the last one.
    end = place.number - 1 + len(rows)
    count = digits(total, most=9) if total else end + (len(rows) == ENTRY_ROWS)
    if count < end:
        raise ProtocolError("value", f"8924: totalCount is {count}, and {end} entries were told")
    again = place.told_again(read, count) if total else 0
    lines = place.counted(read[again:])
    page = Page(lines, findings=findings, unread=len(findings))
    behind = replace(place, number=place.number + len(findings) + again)
    if lines or not findings:
        return page, behind.onward(lines, count) if rows or total else None
    return page, behind if end < count else None


def _line(row: etree._Element, account: AccountNumber, place: WalkPlace, since: date) -> Line:
    """A row as a line. Its key is its day and seqNo, and seqNum if the bank writes one, for the slips of one
    booking."""
    day, number, flag = parse_date(value(row, "transDate")), value(row, "seqNo"), value(row, "tranFlag")
    if day != place.day:
        raise ProtocolError("value", f"an entry of {day}, which was not asked for")
    if not number or flag not in _DIRECTIONS:
        raise ProtocolError("value", f"an entry without a number (seqNo), or with tranFlag {flag!r}")
    other, name, slip = (value_or(row, tag) for tag in ("payeeAcctNo", "payeeName", "seqNum"))
    amount = amount_minor(value(row, "txAmount"))
    texts = (value_or(row, tag) for tag in ("note", "remark"))
    return Line(
        account=account,
        bank_line_id=line_key(day, (number, slip), _DIRECTIONS[flag], amount, since),
        direction=_DIRECTIONS[flag],
        amount=Money(amount),
        bank_date=day,
        booked_at=moment_or_none(day, value_or(row, "transTime").zfill(6)),
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(plain(name)) if name else None,
        counterparty_bank=plain(value_or(row, "payeeBankName")) or None,
        text=plain(" ".join(text for text in texts if text)),
        balance=row_balance(row, "balance"),
    )
