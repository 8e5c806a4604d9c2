"""Questions about accounts: NTQADINF balance, SDKNTQABINF past balances, GetTransInfoEX entries, returns, probe.

GetTransInfoEX answers about one day, from a running number (TRSSEQ) on. So entries are read day by day, and the
cursor is a day and a number; today and the past are never in one question.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from lxml import etree

from protocols.bank import Ask, Context, Conversation
from protocols.banks.cmb.options import Options
from protocols.banks.cmb.payment import NO_ERROR, SPAN, Payments, bank_number
from protocols.banks.cmb.refunds import Refunds
from protocols.banks.cmb.requests import BALANCE, BY_NUMBER, ENTRIES, MODES, PAST_BALANCE, AccountAsked, written
from protocols.banks.cmb.table import FINISHED, decline, status
from protocols.banks.cmb.wire import RENMINBI, Answer, Wire
from protocols.canon.money import Money
from protocols.canon.outcome import Fate
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
from protocols.kit.walk import carried, counted, entered, line_key
from protocols.kit.xmldoc import Markup, maybe, several, value, value_or

RETURNS_REACH: Final = timedelta(days=7)
"""Returns are asked about by the day a payment was handed in; one may come back days later."""
REVERSAL: Final = "*"
MARKS: Final = {REVERSAL: "冲账", "X": "补账"}
"""RSVFLG of an entry that takes another back, and of one that was added afterwards; in the text for its reader."""
_DAY: Final = timedelta(days=1)
_Groups = dict[Direction, tuple[str, str]]
_SUMS: Final[_Groups] = {Direction.DEBIT: ("DBTNBR", "DBTAMT"), Direction.CREDIT: ("CRTNBR", "CRTAMT")}


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a page: the day, the number from which the next page begins, and the last row's key with its count
    so far."""

    day: date
    number: int = 0
    key: str = ""
    count: int = 0

    def text(self) -> str:
        """The place as the value of a PageCursor."""
        return json.dumps([date_text(self.day), self.number, self.key, self.count], separators=(",", ":"))

    @staticmethod
    def of(text: str) -> Place:
        """The place that `text` wrote. PageCursor has checked that the cursor is ours."""
        try:
            day, number, key, count = json.loads(text)
            return Place(parse_date(day), int(number), str(key), int(count))
        except (ValueError, TypeError, AttributeError, ProtocolError):
            raise ProtocolError("paging", "this page cursor was not made by cmb") from None


@dataclass(frozen=True, slots=True)
class Statements:
    """Asks questions about the accounts of one enterprise."""

    options: Options
    wire: Wire
    meanings: Meanings
    payments: Payments

    def ask(self, function: str, *parts: Markup) -> Conversation[Answer]:
        """Ask a question and return an answer whose RETCOD is 0. Raises Declined on another."""
        answer = self.wire.read((yield Ask("business", self.wire.message(function, *parts))), function)
        if not answer.done:
            decline(self.meanings, function, answer)
        return answer

    def probe(self, context: Context) -> Conversation[None]:
        """Ask ListMode, to check that the front end is logged in and reaches the bank. It moves nothing and needs no
        account."""
        yield from self.ask("ListMode", written(MODES, self.options.payment_code))

    # ---- balance ----------------------------------------------------------------------------------------------

    def balance(self, question: BalanceQuestion, context: Context) -> Conversation[Balance]:
        """The balance, by NTQADINF now or SDKNTQABINF for a past day. Raises Declined if the bank answers with a
        code."""
        check_renminbi("cmb", question.currency)
        if question.on is None or question.on >= context.bank_date:
            return self._balance_now(question)
        return self._balance_on(question, question.on)

    def _balance_now(self, question: BalanceQuestion) -> Conversation[Balance]:
        account = question.account.clear
        answer = yield from self.ask("NTQADINF", written(BALANCE, AccountAsked(self.options, account)))
        row = _only(several(answer.root, "NTQADINFZ"), account)
        error = value_or(row, "ERRCOD")
        if error not in ("", NO_ERROR):
            # Each line has a code of its own: an answer that worked may still refuse this account.
            self.meanings.decline("question", "errcod", error, plain(value_or(row, "ERRTXT")), asked="NTQADINF")
        if value_or(row, "CCYNBR") not in ("", RENMINBI):
            raise ProtocolError("correlation", f"the balance is in currency {value_or(row, 'CCYNBR')!r}")
        return Balance(
            question.account,
            book=money_or_none(row, "ONLBLV"),
            available=money_or_none(row, "AVLBLV"),
            frozen=money_or_none(row, "HLDBLV"),
            previous_day=money_or_none(row, "ACCBLV"),
        )

    def _balance_on(self, question: BalanceQuestion, day: date) -> Conversation[Balance]:
        account = question.account.clear
        asked = AccountAsked(self.options, account, (day, day))
        answer = yield from self.ask("SDKNTQABINF", written(PAST_BALANCE, asked))
        rows = [row for row in several(answer.root, "NTQABINFZ") if stated_day(value_or(row, "TRSDAT")) == day]
        return Balance(question.account, book=money_or_none(_only(rows, account), "BALAMT"), available=None)

    # ---- entries ----------------------------------------------------------------------------------------------

    def lines(self, question: LinesQuestion, context: Context) -> Conversation[Page]:
        """One page of one day. Raises Declined if the bank answers with a code, "paging" on a stale cursor."""
        check_renminbi("cmb", question.currency)
        account = question.account.clear
        last = min(question.last, context.bank_date)
        mark = fingerprint("lines", account, date_text(question.first), date_text(question.last))
        if question.cursor is None and question.first > last:
            return Page(())
        cursor = entered(question.cursor, mark, lambda: Place(question.first).text())
        place = Place.of(cursor.value)
        number = str(place.number) if place.number else ""
        asked = AccountAsked(self.options, account, (place.day, place.day), number)
        answer = yield from self.ask("GetTransInfoEX", written(ENTRIES, asked))
        lines, findings, following = _page(answer.root, place, question, date.fromisoformat(self.options.line_ids_from))
        if following is None and place.day < last:
            following = Place(place.day + _DAY)
        onward = None if following is None else cursor.then(following.text()).encode()
        return Page(lines, onward, findings=findings, unread=len(findings))

    # ---- returns ----------------------------------------------------------------------------------------------

    def returns(self, question: ReturnsQuestion, context: Context) -> Conversation[ReturnsPage]:
        """One page of returns: NTQRYSTN in legs of a week, and NTSTLINF for the day and reason of each return.

        NTQRYSTN asks by the day on which a payment was submitted, so the walk begins a week before `first`. After that,
        lines of payrolls are asked about (NTAGDRFD), if our reference is in them according to the settings.
        """
        refunds = Refunds(self.payments)
        account, codes = question.account.clear, _codes(self.options)
        mark = fingerprint("returns", account, date_text(question.first), date_text(question.last))
        last = min(question.last, context.bank_date)
        if question.cursor is None and question.first > last:
            return ReturnsPage(())
        cursor = entered(question.cursor, mark, lambda: f"0 {date_text(question.first - RETURNS_REACH)}")
        which, begin, key = _leg(cursor.value, len(codes) + refunds.asked)
        end = min(begin + SPAN, last)
        if which == len(codes):
            back, odd, key = yield from refunds.page(account, begin, end, key)
            onward = f"{which} {date_text(begin)} {key}" if key else f"{which} {date_text(end + _DAY)}"
            return ReturnsPage(tuple(back), cursor.then(onward).encode() if key or end < last else None, odd)
        answer = yield from self.ask("NTQRYSTN", self.payments.by_date(codes[which], (begin, end)))
        told, odd = readable(
            several(answer.root, "NTSTLLSTZ"), lambda row: (row, self._came_back(row, account)), "NTQRYSTN"
        )
        rows = [row for row, came_back in told if came_back]
        details = (yield from self._details(rows)) if rows else {}
        found, unread = readable(rows, lambda row: _returned(row, details.get(bank_number(row))), "NTQRYSTN")
        kept = tuple(one for one in found if one.returned_on is None or question.first <= one.returned_on <= last)
        onward = f"{which} {date_text(end + _DAY)}"
        if end >= last:
            is_last = which + 1 == len(codes) + refunds.asked
            onward = "" if is_last else f"{which + 1} {date_text(question.first - RETURNS_REACH)}"
        return ReturnsPage(kept, cursor.then(onward).encode() if onward else None, odd + unread)

    def _came_back(self, row: etree._Element, account: str) -> bool:
        debtor, reqsts = value(row, "DBTACC"), value(row, "REQSTS")
        if not debtor or not reqsts:
            raise ProtocolError("missing", "a record without its account (DBTACC) or status (REQSTS)")
        if debtor != account or reqsts != FINISHED:
            return False
        return status(self.meanings, "status", FINISHED, value_or(row, "RTNFLG")).fate is Fate.RETURNED

    def _details(self, rows: list[etree._Element]) -> Conversation[dict[str, etree._Element]]:
        asks = [written(BY_NUMBER, number) for number in map(bank_number, rows) if number]
        if not asks:
            return {}
        try:
            answer = yield from self.ask("NTSTLINF", *asks)
        except Declined as declined:
            if declined.outcome == "rate_limited":
                raise
            # Day and reason are not known. That the payments came back is known: NTQRYSTN says so.
            return {}
        return {bank_number(row): row for row in several(answer.root, "NTQPAYQYZ")}


def _page(
    root: etree._Element, place: Place, question: LinesQuestion, since: date
) -> tuple[tuple[Line, ...], tuple[str, ...], Place | None]:
    """The lines of one answer, the findings about unreadable rows, and the day's next place if the bank states one."""
    rows = several(root, "NTQTSINFZ")
    end = maybe(root, "NTRBPTRSZ1")
    if end is None:
        if rows:
            raise ProtocolError("missing", "entries without NTRBPTRSZ1: whether there are more is not said")
        return (), (), None
    read, findings = readable(rows, lambda row: _line(row, question.account, place.day, since), "GetTransInfoEX")
    lines = counted(read, place.key, place.count)
    _check_sums(lines, end, unread=len(rows) - len(lines))
    more = value(end, "COTFLG")
    if more not in ("Y", "N"):
        raise ProtocolError("value", f"COTFLG {more!r} is neither Y nor N")
    if more == "N":
        return lines, findings, None
    number = digits(value(end, "TRSSEQ")) + 1
    if not rows or number <= place.number:
        raise ProtocolError(
            "paging", f"more is said to follow, but the place stays at {number}: the bank repeats its pages"
        )
    key, count = carried(lines, place.key, place.count) if lines else (place.key, place.count)
    return lines, findings, Place(place.day, number, key, count)


def _check_sums(lines: tuple[Line, ...], end: etree._Element, unread: int) -> None:
    """Check the bank's own counts and sums of this answer. Raises "value" if they differ from its rows.

    If there are `unread` rows, only the counts of both sides together are compared, because the side of such a row is
    not known.
    """
    if unread:
        counts = [value_or(end, count) for count, _ in _SUMS.values()]
        if all(counts) and sum(map(digits, counts)) != len(lines) + unread:
            raise ProtocolError("value", f"the bank counts {' + '.join(counts)}, the page has {len(lines) + unread}")
        return
    for direction, (count_tag, amount_tag) in _SUMS.items():
        amounts = [line.amount.minor for line in lines if line.direction is direction]
        count, amount = value_or(end, count_tag), value_or(end, amount_tag)
        if count and digits(count) != len(amounts):
            raise ProtocolError("value", f"{count_tag} says {count}, the page has {len(amounts)}")
        if amount and amount_minor(amount, signed=True) != sum(amounts):
            raise ProtocolError("value", f"{amount_tag} says {amount}, the page's rows have another sum")


def _line(row: etree._Element, account: AccountNumber, day: date, since: date) -> Line:
    booked_on = parse_date(value(row, "ETYDAT"))
    if booked_on != day:
        raise ProtocolError("value", f"an entry of {booked_on} where {day} was asked for")
    number = value(row, "REFNBR")
    if not number:
        raise ProtocolError("missing", "an entry without the bank's number (REFNBR)")
    other, name = value_or(row, "RPYACC"), value_or(row, "RPYNAM")
    direction, amount, flag = _direction(value(row, "AMTCDR")), _amount(row), value_or(row, "RSVFLG")
    return Line(
        account=account,
        bank_line_id=line_key(day, (number,), direction, amount, since),
        direction=direction,
        amount=Money(amount),
        bank_date=day,
        booked_at=moment_or_none(day, value_or(row, "ETYTIM")),
        value_date=stated_day(value_or(row, "VLTDAT")),
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(plain(name)) if name else None,
        counterparty_bank=plain(value_or(row, "RPYBNK")) or None,
        text=plain(" ".join(filter(None, (MARKS.get(flag), value_or(row, "NARYUR"), value_or(row, "NUSAGE"))))),
        balance=row_balance(row, "TRSBLV"),
        reference=value_or(row, "YURREF") or None,
        reversal=flag == REVERSAL,
    )


def _amount(row: etree._Element) -> int:
    """TRSAMT, checked against the column of its side. Only a reversal has a sign; elsewhere it contradicts AMTCDR."""
    amount = amount_minor(value(row, "TRSAMT"), signed=True)
    if amount < 0 and value_or(row, "RSVFLG") != REVERSAL:
        raise ProtocolError("value", "an amount below zero beside AMTCDR: one of the two is wrong")
    columns = {"D": ("TRSAMTD", "TRSAMTC"), "C": ("TRSAMTC", "TRSAMTD")}[value(row, "AMTCDR")]
    mine, others = (value_or(row, tag) for tag in columns)
    if mine and amount_minor(mine, signed=True) != amount:
        raise ProtocolError("value", f"TRSAMT and {columns[0]} differ")
    if others and amount_minor(others, signed=True) != 0:
        raise ProtocolError("value", f"an entry of AMTCDR {value(row, 'AMTCDR')} with {columns[1]}")
    return amount


def _direction(flag: str) -> Direction:
    if flag not in ("D", "C"):
        raise ProtocolError("value", f"AMTCDR {flag!r} is neither D nor C")
    return Direction.DEBIT if flag == "D" else Direction.CREDIT


def _returned(row: etree._Element, detail: etree._Element | None) -> Return:
    amount, reference = value(row, "TRSAMT"), value(row, "YURREF")
    if not reference:
        raise ProtocolError("missing", "a returned payment without YURREF")
    if detail is None:
        return Return(reference, Money(amount_minor(amount)), None)
    stated = value_or(detail, "YURREF")
    if stated not in ("", reference):
        raise ProtocolError("correlation", f"NTSTLINF is about {stated!r}, not {reference!r}")
    returned_on = stated_day(value_or(detail, "RTNDAT"))
    return Return(reference, Money(amount_minor(amount)), returned_on, plain(value_or(detail, "RTNNAR")))


def _codes(options: Options) -> tuple[str, ...]:
    """The business codes under which payments were handed in."""
    return tuple(dict.fromkeys(code for code in (options.payment_code, options.transfer_code) if code))


def _leg(text: str, legs: int) -> tuple[int, date, str]:
    """The list that is read (of a business code, or of payroll lines), its first day, and the bank's key."""
    which, _, rest = text.partition(" ")
    day, _, key = rest.partition(" ")
    try:
        if 0 <= int(which) < legs:
            return int(which), parse_date(day), key
    except (ValueError, ProtocolError):
        pass
    raise ProtocolError("paging", "this page cursor was not made by cmb")


def _only(rows: list[etree._Element], account: str) -> etree._Element:
    """The one row, if it is of `account`."""
    if len(rows) != 1:
        raise ProtocolError("missing" if not rows else "ambiguous", f"{len(rows)} rows about one account")
    stated = value(rows[0], "ACCNBR")
    if stated != account:
        raise ProtocolError("correlation", f"the balance is of account {stated}, we asked about {account}")
    return rows[0]
