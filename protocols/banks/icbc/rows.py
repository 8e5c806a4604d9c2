"""Rows of an account's entries: QPD (today) and QHISD (the past) write the same things differently.

QPD has one amount; QHISD has a column each for debit and credit, of which the unused one is empty. The bank's own key
of an entry is OnlySequence in both; if it is missing, the microsecond time stamp replaces it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from lxml import etree

from protocols.banks.icbc.wire import fen
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit.china import BEIJING
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import date_text, parse_date, plain
from protocols.kit.xmldoc import value, value_or

_STAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})-([0-9]{2})\.([0-9]{2})\.([0-9]{2})(?:\.([0-9]{1,6}))?", re.ASCII
)
_DIRECTIONS: Final = {"1": Direction.DEBIT, "2": Direction.CREDIT}


@dataclass(frozen=True, slots=True)
class Column:
    """A value whose element has different names in the two operations."""

    stamp: str
    day: str
    bank: tuple[str, ...]


TODAY: Final = Column("TimeStamp", "TradeDate", ("RecBankName", "OpenBankName"))
PAST: Final = Column("Time", "Date", ("RecipBkName1", "RecipBkName"))
NO_NAME: Final = re.compile("0*", re.ASCII)
"""What stands in the place of a bank's name that is not there: real rows say 00000 in RecipBkName."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of QPD or QHISD. `own` is the bank's key of the entry."""

    own: str
    direction: Direction
    amount: int
    day: date
    booked_at: datetime | None
    balance: str
    element: etree._Element
    column: Column

    @property
    def key(self) -> str:
        """The bank's key with its day in front, because the key is taken to be unique within a day only."""
        return f"{date_text(self.day)}-{self.own}"


def row_of_today(row: etree._Element, today: date, days: tuple[date, date]) -> RawRow:
    """A row of QPD, of the bank's `today` if it states no date. Raises ProtocolError if key, direction or amount is
    missing or wrong, or for a date outside `days`."""
    day = _date(value_or(row, TODAY.day)) or today
    return _row(row, TODAY, _within(day, *days), fen(value(row, "Amount")), "")


def row_of_past(row: etree._Element, first: date, last: date) -> RawRow:
    """A row of QHISD: the amount stands in the column that Drcrf names, and the other one is empty or zero.

    Raises ProtocolError as `row_of_today` does.
    """
    direction = _direction(row)
    ours, other = ("DebitAmount", "CreditAmount") if direction is Direction.DEBIT else ("CreditAmount", "DebitAmount")
    unused = value_or(row, other)
    if unused and fen(unused) != 0:
        raise ProtocolError("value", f"Drcrf and {other} contradict each other")
    day = _date(value(row, PAST.day))
    if day is None:
        raise ProtocolError("value", "an entry without a date that can be read")
    return _row(row, PAST, _within(day, first, last), fen(value(row, ours)), value_or(row, "Balance"))


def _within(day: date, first: date, last: date) -> date:
    if not first <= day <= last:
        raise ProtocolError("value", f"an entry of {day}, which was not asked for")
    return day


def _row(row: etree._Element, column: Column, day: date, amount: int, balance: str) -> RawRow:
    stamp = value_or(row, column.stamp)
    own = value_or(row, "OnlySequence") or stamp
    if not own:
        raise ProtocolError("missing", "an entry without OnlySequence and without time stamp")
    return RawRow(own, _direction(row), amount, day, _booked_at(stamp), balance, row, column)


def line(row: RawRow, account: AccountNumber, *, reference_in_ref: bool) -> Line:
    """The row as a canonical line of `account`."""
    element = row.element
    other, name = value_or(element, "RecipAccNo"), plain(value_or(element, "RecipName"))
    texts = (value_or(element, tag) for tag in ("Summary", "UseCN", "PostScript", "AddInfo", "RefundMsg"))
    names = (value_or(element, tag) for tag in row.column.bank)
    bank = next((text for text in names if not NO_NAME.fullmatch(text)), "")
    return Line(
        account=account,
        bank_line_id=row.key,
        direction=row.direction,
        amount=Money(row.amount),
        bank_date=row.day,
        booked_at=row.booked_at,
        value_date=_date(value_or(element, "ValueDate")),
        counterparty_account=AccountNumber(other) if other else None,
        counterparty_name=Name(name) if name else None,
        counterparty_bank=plain(bank) or None,
        text=plain(" ".join(text for text in texts if text)),
        balance=_balance(row.balance),
        reference=(value_or(element, "Ref") or None) if reference_in_ref else None,
    )


def _balance(text: str) -> Money | None:
    """The balance after an entry; None for zero, and for text that cannot be read.

    A zero is not believed, because banks fill the field with it. A text that is no number of fen is ignored, because
    the entry itself must not be lost.
    """
    try:
        return Money(fen(text, signed=True)) if text.strip("-0.") else None
    except ProtocolError:
        return None


def _direction(row: etree._Element) -> Direction:
    flag = value(row, "Drcrf")
    if flag not in _DIRECTIONS:
        raise ProtocolError("value", f"Drcrf {flag!r} is neither 1 nor 2")
    return _DIRECTIONS[flag]


def _date(text: str) -> date | None:
    """A date with or without hyphens, because the bank's page does not say which. None if it cannot be read."""
    try:
        return parse_date(text.replace("-", "")) if text else None
    except ProtocolError:
        return None


def _booked_at(stamp: str) -> datetime | None:
    """The bank's time stamp, yyyy-MM-dd-HH.mm.ss.SSSSSS. In real messages its day may differ from the booking's."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return None
    year, month, day, hour, minute, second, fraction = found.groups()
    try:
        return datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second),
            int((fraction or "0").ljust(6, "0")),
            BEIJING,
        )
    except ValueError:
        return None
