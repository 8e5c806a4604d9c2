"""Money in integer minor units. No float and no Decimal ever reaches a bank or the journal."""

from __future__ import annotations

import re
from dataclasses import dataclass

# ISO 4217 minor-unit exponents that differ from two; every other known currency has two.
_EXPONENT_NOT_TWO = {"JPY": 0, "KRW": 0, "VND": 0, "CLP": 0, "ISK": 0, "BHD": 3, "KWD": 3, "JOD": 3, "OMR": 3, "TND": 3}
_CURRENCY = re.compile(r"[A-Z]{3}\Z", re.ASCII)
AMOUNT_PATTERN = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$"
_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,4}))?\Z", re.ASCII)


class BadMoney(ValueError):
    """The text is not an amount of that currency; the message says why."""


def exponent(currency: str) -> int:
    """Digits after the decimal point of one unit of `currency` (ISO 4217)."""
    return _EXPONENT_NOT_TWO.get(currency, 2)


@dataclass(frozen=True, slots=True, order=True)
class Money:
    """`minor` units (fen, cents) of `currency`. Only same-currency values add or compare."""

    minor: int
    currency: str = "CNY"

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise BadMoney(f"minor units must be an int, not {type(self.minor).__name__}")
        if not _CURRENCY.match(self.currency):
            raise BadMoney(f"{self.currency!r} is not an ISO 4217 currency code")

    @classmethod
    def parse(cls, text: str, currency: str = "CNY") -> Money:
        """Read `12345.67`: ASCII digits, no sign, no exponent. Raises BadMoney."""
        found = _AMOUNT.match(text)
        if found is None:
            raise BadMoney("an amount is digits with at most four decimals, without sign, space or exponent")
        whole, fraction = found.group(1), found.group(2) or ""
        digits = exponent(currency)
        if len(fraction) > digits and fraction[digits:].strip("0"):
            raise BadMoney(f"{currency} has {digits} decimals, the amount has {len(fraction)}")
        return cls(int(whole) * 10**digits + int((fraction[:digits]).ljust(digits, "0") or "0"), currency)

    def __str__(self) -> str:
        digits, text = exponent(self.currency), str(abs(self.minor))
        sign = "-" if self.minor < 0 else ""
        if not digits:
            return sign + text
        text = text.zfill(digits + 1)
        return f"{sign}{text[:-digits]}.{text[-digits:]}"

    def __add__(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise BadMoney(f"cannot add {other.currency} to {self.currency}")
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        return self + Money(-other.minor, other.currency)
