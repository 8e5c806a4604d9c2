"""The register's terms for the matching of entries: dates, sizes of groups, ranges of numbers, banks' tariffs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol


class Dated(Protocol):
    """A row with a date, for the checks of dates."""

    @property
    def day(self) -> date:
        """The row's date."""


@dataclass(frozen=True, slots=True)
class NumberRange:
    """Numbers that texts may name: `prefix` and then exactly `digits` digits, from `first` to `last`."""

    prefix: str
    first: int
    last: int
    digits: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """A bank's fees for payments: (up to this amount, this fee) by rising amounts; no fee above the last."""

    bands: tuple[tuple[int, int], ...]

    def fee_of(self, amount_minor: int) -> int | None:
        """The fee for an amount; None where the tariff has none."""
        return next((fee for most, fee in self.bands if amount_minor <= most), None)


@dataclass(frozen=True, slots=True)
class MatchTerms:
    """The terms of one matching. A line is dated between `earliest_days` and `latest_days` after its counterpart.

    `earliest_days` is 0 if the counterpart causes the line (a payment), and negative if the counterpart may be written
    later; then the dates of two similar pairs may cross if they are at most `crossing_days` apart.
    """

    earliest_days: int = 0
    latest_days: int = 5
    crossing_days: int = 3
    group_most: int = 20
    numbers: tuple[NumberRange, ...] = ()
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)

    def reaches(self, entry: Dated, line: Dated) -> bool:
        """True if the dates of the entry and the line allow a match of the two."""
        return self.earliest_days <= (line.day - entry.day).days <= self.latest_days

    @property
    def is_causal(self) -> bool:
        """True if no line may be dated earlier than its counterpart."""
        return self.earliest_days >= 0

    @property
    def span_days(self) -> int:
        """The largest number of days between two rows that belong together."""
        return max(abs(self.earliest_days), abs(self.latest_days))

    @property
    def far_days(self) -> int:
        """The distance in days up to which rows are reported as dated too far from each other."""
        return 3 * self.span_days


PAYMENT_TERMS = MatchTerms()
BOOK_TERMS = MatchTerms(earliest_days=-5)


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """The terms of both matchings of an account."""

    payments: MatchTerms
    book: MatchTerms


DEFAULT_ACCOUNT_TERMS = AccountTerms(PAYMENT_TERMS, BOOK_TERMS)
