"""Rows of an account's entries: 4008 and 4013 name the same things differently.

A fee is a separate row with the trace of its payment and a mark (banks/pab.md 9). Today's list has a payment before its
fee, the history has the fee first. So an entry is identified by the values of its row, never by its place in the list.

The date of a row is the bank's accounting date. Bookings of the evening have the next one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit.china import moment_or_none, row_balance
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, date_text, parse_date, plain, stated_day
from protocols.kit.xmldoc import value, value_or

_CLOCK = re.compile(r"([0-9]{8})?([0-9]{6})")
EVENING: Final = "213000"
"""From this time of day on, entries have the next accounting date (banks/pab.md 9: seen from 21:35 to 21:39)."""
FEE_MARK: Final = ("FEE", "手续费")
"""AbstractStr and AbstractStr_Desc of a fee's row."""
_CARRIED: Final = 12


@dataclass(frozen=True, slots=True)
class Carry:
    """The values that the next page needs from this one: the last trace, and by key the number of equal rows with
    it."""

    trace: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    def parts(self) -> list[Any]:
        """The values for a cursor: of the last kinds of rows only, so that the cursor stays short."""
        return [self.trace, *(part for one in list(self.counts.items())[-_CARRIED:] for part in one)]

    @staticmethod
    def of(parts: Sequence[Any]) -> Carry:
        """The values that `parts` gave. Raises ValueError or TypeError."""
        trace, *rest = parts
        return Carry(str(trace), {str(key): int(n) for key, n in zip(rest[::2], rest[1::2], strict=True)})


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two parties of a row."""

    account: str
    name: str
    bank: str


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of 4013 or 4008. `trace` is the bank's key of the whole booking, `fee` whether the row is marked as a fee.

    `sides_known`: the page states which field is the payer's and which the payee's.
    """

    trace: str
    direction: Direction
    amount: int
    day: date
    clock: str
    payer: Side
    payee: Side
    text: str
    balance: Money | None
    fee: bool
    sides_known: bool = True

    def check(self, account: AccountNumber, first: date, last: date) -> None:
        """Raises "correlation" for an entry of another day or of another account.

        An entry of today has the accounting date that the bank states; the caller gives the permitted difference.

        Our side is the payer of outgoing money and the payee of incoming money. If that is only reconstructed (4008,
        not `sides_known`), one of the two must be ours if both are stated.
        """
        if not first <= self.day <= last:
            raise ProtocolError("correlation", f"an entry of {self.day}, which was not asked for")
        ours, other = (self.payer, self.payee) if self.direction is Direction.DEBIT else (self.payee, self.payer)
        stated = {ours.account} if self.sides_known else {ours.account, other.account}
        if not stated & {"", account.clear}:
            raise ProtocolError("correlation", "an entry whose own account is not the one asked about")

    @property
    def host_day(self) -> date | None:
        """The host's date when the row was booked; None if its time of day cannot be read, so that the accounting date
        may be the next one."""
        found = _clock(self.clock)
        return None if found is None else self.day - timedelta(days=found.group(2) >= EVENING)

    @property
    def booking(self) -> str:
        """The day and trace of the row's booking. Traces are unique within a day only."""
        return f"{date_text(self.day)}-{self.trace}"

    @property
    def key(self) -> str:
        """The bank's key in our form: the booking, and the fields that distinguish the rows of one booking."""
        side = "D" if self.direction is Direction.DEBIT else "C"
        return f"{self.booking}-{side}{self.amount}{'F' if self.fee else ''}"


def row_of_4013(row: etree._Element, _day: date) -> RawRow:
    """A row of 4013. Raises ProtocolError if date, trace, direction or amount is missing or wrong."""
    return RawRow(
        trace=value(row, "HostTrace"),
        direction=_direction(value(row, "DcFlag")),
        amount=amount_minor(value(row, "TranAmount"), signed=True),
        day=parse_date(value(row, "AcctDate")),
        clock=value_or(row, "TxTime"),
        payer=_side(row, "OutAcctNo", "OutAcctName", "OutBankName"),
        payee=_side(row, "InAcctNo", "InAcctName", "InBankName"),
        text=_words(row, ("AbstractStr_Desc", "AbstractStr"), ("Purpose",)),
        balance=row_balance(row, "AcctBalance"),
        fee=_is_fee(row),
    )


def row_of_4008(row: etree._Element, day: date) -> RawRow:
    """A row of 4008. A row has no date of its own: its day is that in the list's head."""
    return RawRow(
        trace=value(row, "HostSeqNo"),
        direction=_direction(value(row, "TxType")),
        amount=amount_minor(value(row, "TxAmount"), signed=True),
        day=day,
        clock=value_or(row, "TranTime1"),
        payer=_side(row, "SendAccount", "SendName", "SendBank"),
        payee=_side(row, "AcctAccount", "AcctName", "AcctBank"),
        text=_words(row, ("AbstractStr_Desc", "AbstractStr"), ("Notes",)),
        balance=row_balance(row, "Balance"),
        fee=_is_fee(row),
        sides_known=False,
    )


def line(row: RawRow, account: AccountNumber, occurrence: int) -> Line:
    """The row as a canonical line of `account`. Raises "missing" where the bank gave it no trace."""
    if not row.trace:
        raise ProtocolError("missing", "an entry without the bank's trace number")
    other = row.payee if row.direction is Direction.DEBIT else row.payer
    return Line(
        account=account,
        bank_line_id=row.key,
        direction=row.direction,
        amount=Money(row.amount),
        bank_date=row.day,
        booked_at=_moment(row.day, row.clock),
        counterparty_account=AccountNumber(other.account) if other.account else None,
        counterparty_name=Name(other.name) if other.name else None,
        counterparty_bank=other.bank or None,
        text=row.text,
        balance=row.balance,
        occurrence=occurrence,
        fee=row.fee,
    )


def _direction(flag: str) -> Direction:
    if flag not in ("D", "C"):
        raise ProtocolError("value", f"{flag!r} is neither D nor C")
    return Direction.DEBIT if flag == "D" else Direction.CREDIT


def _side(row: etree._Element, account: str, name: str, bank: str) -> Side:
    return Side(value_or(row, account), plain(value_or(row, name)), plain(value_or(row, bank)))


def _words(row: etree._Element, *groups: tuple[str, ...]) -> str:
    """The first filled field of each group, joined."""
    texts = (next((text for tag in group if (text := value_or(row, tag))), "") for group in groups)
    return plain(" ".join(text for text in texts if text))


def _is_fee(row: etree._Element) -> bool:
    return FEE_MARK[0] == value_or(row, "AbstractStr") or FEE_MARK[1] == value_or(row, "AbstractStr_Desc")


def _clock(text: str) -> re.Match[str] | None:
    return _CLOCK.fullmatch(text.replace(":", "").replace("-", "").replace(" ", ""))


def _moment(day: date, clock: str) -> datetime | None:
    """The time of the booking, if the bank writes it in a form that we can read (HHmmss, HH:mm:ss, or after a date).

    `day` is the accounting date: a time in the evening is of the calendar day before it.
    """
    found = _clock(clock)
    if found is None:
        return None
    stated, time_of_day = found.groups()
    calendar = stated_day(stated) if stated else day - timedelta(days=time_of_day >= EVENING)
    return None if calendar is None else moment_or_none(calendar, time_of_day)
