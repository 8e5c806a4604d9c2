"""Rows of an account's entries: 4008 and 4013 name the same things differently.

A fee is a row of its own with the trace of its payment (banks/pab.md 4). Neither operation marks it as a fee;
it is recognised as a later row of the same trace whose amount is one of the fees the first row states.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from lxml import etree

from protocols.canon.money import Money
from protocols.canon.party import AccountNumber, Name
from protocols.canon.statement import Direction, Line
from protocols.kit.china import moment_or_none
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, date_text, parse_date, plain
from protocols.kit.xmldoc import value, value_or

_CLOCK = re.compile(r"(?:[0-9]{8})?([0-9]{6})")


@dataclass(frozen=True, slots=True)
class Carry:
    """What the next page must know of this one: its last key, how many rows had it, their fees in fen."""

    key: str = ""
    count: int = 0
    fees: tuple[int, ...] = ()

    def parts(self) -> list[Any]:
        """As plain values for a cursor."""
        return [self.key, self.count, *self.fees]

    @staticmethod
    def of(parts: Sequence[Any]) -> Carry:
        """Reads what `parts` gave. Raises ValueError or TypeError."""
        key, count, *fees = parts
        return Carry(str(key), int(count), tuple(int(fee) for fee in fees))


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two parties of a row."""

    account: str
    name: str
    bank: str


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row of either operation. `trace` is the bank's key of the whole booking, `fees` are amounts in fen.

    `sides_known`: the page says which field is the payer's and which the payee's.
    """

    trace: str
    direction: Direction
    amount: int
    day: date
    clock: str
    payer: Side
    payee: Side
    text: str
    balance: str
    fees: tuple[int, ...]
    sides_known: bool = True

    def check(self, account: AccountNumber, first: date, last: date) -> None:
        """Raises "correlation" for an entry that was not asked about: of another day, or of another account.

        Our side is the payer of what goes out and the payee of what comes in. Where that is only reconstructed (4008,
        not `sides_known`), one of the two must be ours if both are stated.
        """
        if not first <= self.day <= last:
            raise ProtocolError("correlation", f"an entry of {self.day}, which was not asked for")
        ours, other = (self.payer, self.payee) if self.direction is Direction.DEBIT else (self.payee, self.payer)
        stated = {ours.account} if self.sides_known else {ours.account, other.account}
        if not stated & {"", account.clear}:
            raise ProtocolError("correlation", "an entry whose own account is not the one asked about")

    @property
    def key(self) -> str:
        """The bank's key as we hand it on; traces are taken to be unique within a day only."""
        return f"{date_text(self.day)}-{self.trace}"


def row_of_4013(row: etree._Element, _day: date) -> RawRow:
    """A row of 4013. Raises ProtocolError if date, trace, direction or amount is missing or odd."""
    return RawRow(
        trace=value(row, "HostTrace"),
        direction=_direction(value(row, "DcFlag")),
        amount=amount_minor(value(row, "TranAmount"), signed=True),
        day=parse_date(value(row, "AcctDate")),
        clock=value_or(row, "TxTime"),
        payer=_side(row, "OutAcctNo", "OutAcctName", "OutBankName"),
        payee=_side(row, "InAcctNo", "InAcctName", "InBankName"),
        text=_words(row, ("AbstractStr_Desc", "AbstractStr"), ("Purpose",)),
        balance=value_or(row, "AcctBalance"),
        fees=_fees(row, "TranFee", "PostFee"),
    )


def row_of_4008(row: etree._Element, day: date) -> RawRow:
    """A row of 4008, which states no date: it is of the day asked about."""
    return RawRow(
        trace=value(row, "HostSeqNo"),
        direction=_direction(value(row, "TxType")),
        amount=amount_minor(value(row, "TxAmount"), signed=True),
        day=day,
        clock=value_or(row, "TranTime1"),
        payer=_side(row, "SendAccount", "SendName", "SendBank"),
        payee=_side(row, "AcctAccount", "AcctName", "AcctBank"),
        text=_words(row, ("AbstractStr_Desc", "AbstractStr"), ("Notes",)),
        balance=value_or(row, "Balance"),
        fees=_fees(row, "Fee1", "Fee2"),
        sides_known=False,
    )


def line(row: RawRow, account: AccountNumber, occurrence: int, *, is_fee: bool) -> Line:
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
        balance=Money(amount_minor(row.balance, signed=True)) if row.balance else None,
        occurrence=occurrence,
        fee=is_fee,
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


def _fees(row: etree._Element, *tags: str) -> tuple[int, ...]:
    """The fees a row states and their sum, without zeros: the bank may book them one by one or together."""
    stated = [amount_minor(text) for tag in tags if (text := value_or(row, tag))]
    return tuple(sorted({fee for fee in (*stated, sum(stated)) if fee}))


def _moment(day: date, clock: str) -> datetime | None:
    """The time of day where the bank writes one we can read (HHmmss, HH:mm:ss, or behind a date)."""
    found = _CLOCK.fullmatch(clock.replace(":", "").replace("-", "").replace(" ", ""))
    return None if found is None else moment_or_none(day, found.group(1))
