"""The register's terms for positions: the tree of own accounts, opening balances, and exchange rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from protocols.canon.money import Money, exponent


@dataclass(frozen=True, slots=True)
class RegisteredAccount:
    """An own account in the tree: its name for people, its nature, and the account above it.

    `opening` is its balance at the start of a day, for the time before the bank closed one.
    """

    title: str
    nature: str
    parent: str | None = None
    opening: tuple[date, Money] | None = None


@dataclass(frozen=True, slots=True)
class GroupRates:
    """The rates of a currency in the group's `currency`: (from this day, rate), oldest first."""

    currency: str
    rates: Mapping[str, tuple[tuple[date, Decimal], ...]] = field(default_factory=dict)

    def of(self, currency: str, day: date) -> tuple[date | None, Decimal] | None:
        """The rate on a day, and the day since which it is valid (None for the group's own currency); None without a
        rate.
        """
        if currency == self.currency:
            return None, Decimal(1)
        return next((one for one in reversed(self.rates.get(currency, ())) if one[0] <= day), None)

    def converted(self, minor: int, currency: str, rate: Decimal) -> int:
        """Convert minor units of a currency into minor units of the group's currency, rounded half to even."""
        amount = Decimal(minor).scaleb(-exponent(currency)) * rate
        return int(amount.scaleb(exponent(self.currency)).to_integral_value(ROUND_HALF_EVEN))


@dataclass(frozen=True, slots=True)
class PositionTerms:
    """The register's accounts by number, and the rates if totals over all currencies are wanted."""

    accounts: Mapping[str, RegisteredAccount] = field(default_factory=dict)
    group: GroupRates | None = None


NO_POSITION_TERMS = PositionTerms()
