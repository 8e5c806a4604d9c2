"""The rows of a matching. A statement line is matched with a payment (matching A) and with a book row (matching B)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from gateway.register.match_terms import NumberRange
from protocols.canon.statement import Direction

_BRACKETS = str.maketrans("", "", "()()[]【】 \t ·.,-")
BATCH = "batch:"
NOBODY: frozenset[str] = frozenset()


class Matching(StrEnum):
    """The two matchings. A line is used once in each."""

    PAYMENTS = "A"
    BOOK = "B"


@dataclass(frozen=True, slots=True)
class MatchRow:
    """One payment, book row or statement line. Directions are the own account's: money out is a debit on every side.

    `amount_minor` is negative for a row that takes another back (红字). `codes` and `serials` are `kind:value`; rows
    that share one name the same thing. `numbers` are those that a book row or payment is known by, as digits. `party`
    is the counterparty's account, `party_name` its name as `plain_name` writes it. `reversal`: the bank says that the
    line takes another back (冲正). `fee`: the bank says that the line is a fee. `shadow`: a book row among payments: it
    is not matched there, but a line that may be its own is not confirmed as another payment's.
    """

    id: str
    account: str
    direction: Direction
    amount_minor: int
    currency: str
    day: date
    party: str = ""
    party_name: str = ""
    codes: frozenset[str] = NOBODY
    serials: frozenset[str] = NOBODY
    numbers: frozenset[str] = NOBODY
    text: str = ""
    reversal: bool = False
    fee: bool = False
    shadow: bool = False

    @property
    def place(self) -> AccountSide:
        """The fields that must be equal in matched rows, besides the amount."""
        return self.account, self.direction.value, self.currency

    @property
    def effect_minor(self) -> int:
        """The row's effect on the account's balance."""
        return self.amount_minor if self.direction is Direction.CREDIT else -self.amount_minor


AccountSide = tuple[str, str, str]


def plain_name(name: str) -> str:
    """A counterparty's name, without the differences of writing between two systems: width, case, brackets, spaces,
    dots."""
    return unicodedata.normalize("NFKC", name).translate(_BRACKETS).casefold()


def same_party(one: MatchRow, other: MatchRow) -> bool:
    """True when both rows name the same counterparty: by account where both have one, else by name."""
    if one.party and other.party:
        return one.party == other.party
    return bool(one.party_name) and one.party_name == other.party_name


def other_party(one: MatchRow, other: MatchRow) -> bool:
    """True when the two rows clearly name different counterparties."""
    if one.party and other.party:
        return one.party != other.party
    return bool(one.party_name and other.party_name) and one.party_name != other.party_name


def party_tokens(row: MatchRow) -> tuple[str, ...]:
    """The identifiers of a row's counterparty: its account, its name, both or neither."""
    by_account = (f"account:{row.party}",) if row.party else ()
    return (*by_account, f"name:{row.party_name}") if row.party_name else by_account


def contradicts(one: MatchRow, other: MatchRow) -> bool:
    """True when the rows have codes of one kind but none in common, because each then belongs to another row."""
    if not one.codes or not other.codes or one.codes & other.codes:
        return False
    return bool({_kind(code) for code in one.codes} & {_kind(code) for code in other.codes})


def numbers_in(text: str, ranges: tuple[NumberRange, ...]) -> frozenset[str]:
    """The numbers of the declared ranges that a text names."""
    return frozenset(number for declared in ranges for number in _in_range(text, declared)) if text else NOBODY


def _in_range(text: str, declared: NumberRange) -> Iterator[str]:
    start = 0
    for run_start, run_end in _digit_runs(text):
        digits = text[run_start:run_end]
        prefix = text[start:run_start]
        start = run_end
        if len(digits) != declared.digits or not prefix.endswith(declared.prefix):
            continue
        if declared.first <= int(digits) <= declared.last:
            yield digits


def _digit_runs(text: str) -> Iterator[tuple[int, int]]:
    start = -1
    for place, letter in enumerate(text + " "):
        if letter in "0123456789":
            start = place if start < 0 else start
        elif start >= 0:
            yield start, place
            start = -1


def _kind(code: str) -> str:
    return code.partition(":")[0]
