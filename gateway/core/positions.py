"""What the register says for positions: the tree of own accounts, opening balances, and what currencies are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from protocols.canon.money import Money, exponent


@dataclass(frozen=True, slots=True)
class RegisteredAccount:
    """An own account in the tree: what people call it, its nature, the account it stands under.

    `opening` is its balance at the start of a day, for the time before the bank closed one.
    """

    title: str
    nature: str
    parent: str | None = None
    opening: tuple[date, Money] | None = None


@dataclass(frozen=True, slots=True)
class GroupRates:
    """What one unit of a currency is worth in the group's `currency`: (from this day, rate), oldest first."""

    currency: str
    rates: Mapping[str, tuple[tuple[date, Decimal], ...]] = field(default_factory=dict)

    def of(self, currency: str, day: date) -> tuple[date | None, Decimal] | None:
        """The rate on a day and since when it holds (None for the group's own currency); None if there is none yet."""
        if currency == self.currency:
            return None, Decimal(1)
        return next((one for one in reversed(self.rates.get(currency, ())) if one[0] <= day), None)

    def converted(self, minor: int, currency: str, rate: Decimal) -> int:
        """Minor units of a currency as minor units of the group's, rounded half to even."""
        amount = Decimal(minor).scaleb(-exponent(currency)) * rate
        return int(amount.scaleb(exponent(self.currency)).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class PositionTerms:
    """The register's accounts by number, and the rates if totals over all currencies are wanted."""

    accounts: Mapping[str, RegisteredAccount] = field(default_factory=dict)
    group: GroupRates | None = None


NO_POSITION_TERMS = PositionTerms()
