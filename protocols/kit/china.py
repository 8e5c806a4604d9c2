"""The common rules of banks in mainland China: Beijing time, renminbi, and limits counted in GBK bytes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Final

from lxml import etree

from protocols.canon.limits import AmountLimit, FieldLimit, Hours, Limits, Pace, ReferenceForm
from protocols.canon.money import Money
from protocols.canon.order import Channel, Urgency
from protocols.kit.errors import ProtocolError
from protocols.kit.fields import amount_minor, parse_time
from protocols.kit.xmldoc import value_or

BEIJING: Final = timezone(timedelta(hours=8), "CST")
"""China keeps one time all year."""
CNAPS: Final = "[0-9]{12}"
"""Form of a payment-system bank number (联行号)."""
_ROUND_THE_CLOCK: Final = Hours()


def gbk_limits(
    fields: tuple[FieldLimit, ...],
    channels: Iterable[Channel],
    pace: Pace,
    reference: ReferenceForm,
    max_minor: int | None,
    *,
    hours: Hours = _ROUND_THE_CLOCK,
    urgencies: Iterable[Urgency] = Urgency,
) -> Limits:
    """The limits of a bank that carries renminbi and counts lengths in GBK bytes; `max_minor` is in fen."""
    return Limits(
        charset="gbk",
        channels=frozenset(channels),
        urgencies=frozenset(urgencies),
        fields=fields,
        amount=AmountLimit(max_minor=max_minor, currencies=("CNY",)),
        hours=hours,
        pace=pace,
        reference=reference,
    )


def check_amount(bank: str, amount: Money, max_minor: int | None = None) -> None:
    """Raises "value" for a currency other than CNY, for zero, and for an amount that is too large for the bank's
    form."""
    if amount.currency != "CNY" or amount.minor <= 0 or (max_minor is not None and amount.minor > max_minor):
        most = "" if max_minor is None else f" and up to {Money(max_minor)}"
        raise ProtocolError("value", f"{bank} carries CNY amounts over zero{most}, not {amount}")


def check_renminbi(bank: str, currency: str) -> None:
    """Raises "value" for a question about another currency than CNY."""
    if currency != "CNY":
        raise ProtocolError("value", f"{bank} is asked about CNY only, not {currency}")


def money_or_none(parent: etree._Element, path: str) -> Money | None:
    """The amount in yuan at `path`, which may be negative; None if the bank states none."""
    stated = value_or(parent, path)
    return Money(amount_minor(stated, signed=True)) if stated else None


def row_balance(parent: etree._Element, path: str) -> Money | None:
    """The balance beside an entry. None if it cannot be read, and for 0.00, which banks write if they state no
    balance."""
    try:
        stated = money_or_none(parent, path)
    except ProtocolError:
        return None  # a balance that cannot be read is no reason to doubt the entry
    return stated if stated is not None and stated.minor else None


def moment_or_none(day: date, clock: str) -> datetime | None:
    """The time `clock` (HHmmss) on a day in Beijing; None if it cannot be read, because the entry itself is still
    valid."""
    try:
        return datetime.combine(day, parse_time(clock), BEIJING)
    except ProtocolError:
        return None
