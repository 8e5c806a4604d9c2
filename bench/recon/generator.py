"""Generates statement lines with the truth about them: the payment and the book row of each.

It knows no rule of the matching. It writes what happens on accounts, and leaves out what banks and bookkeepers leave
out.

The mix: 70 % of the lines are own payments, 15 % other book entries, 10 % only the bank's, 5 % traps. Half of the
payments have a code that comes back. A fifth of all amounts are round, so they meet again by chance; the first of the
300 suppliers gets 8 % of the payments.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate

from gateway.reconciliation.rules.rows import MatchRow, plain_name
from gateway.register.match_terms import NumberRange, Tariff
from protocols.canon.statement import Direction

FIRST_DAY = date(2026, 9, 1)
DAYS = 30
INVOICES = NumberRange("INV", 10_000_000, 99_999_999, 8)
TARIFF = Tariff(((1_000_000, 500), (10_000_000, 1_000), (100_000_000, 1_500)))
_ROUND = (100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)
_WEIGHTS = list(accumulate((place + 1) ** -0.8 for place in range(300)))
_DEBIT, _CREDIT = Direction.DEBIT, Direction.CREDIT


@dataclass(frozen=True, slots=True)
class LineTruth:
    """The truth about one line in one matching: the ids of the other side, and whether both sides have a code."""

    entries: frozenset[str]
    lines: frozenset[str]
    coded: bool


@dataclass(slots=True)
class AccountMonth:
    """One account's month. `truth_a` and `truth_b` are by line; `reversed_lines` take each other back."""

    account: str
    payments: list[MatchRow] = field(default_factory=list)
    book: list[MatchRow] = field(default_factory=list)
    lines: list[MatchRow] = field(default_factory=list)
    truth_a: dict[str, LineTruth] = field(default_factory=dict)
    truth_b: dict[str, LineTruth] = field(default_factory=dict)
    reversed_lines: set[frozenset[str]] = field(default_factory=set)
    reversed_book: set[frozenset[str]] = field(default_factory=set)


@dataclass(slots=True)
class _Party:
    account: str
    name: str


def account_month(number: int, lines: int, seed: int) -> AccountMonth:
    """Make about `lines` statement lines of one account, with their payments and book rows."""
    return _Writer(number, random.Random(f"{seed}/{number}")).write_month(lines)


class _Writer:
    def __init__(self, number: int, chance: random.Random) -> None:
        self.chance = chance
        self.month = AccountMonth(f"0000{number:012d}")
        self.count = 0
        self.suppliers = [_party("供应商", number * 1000 + place) for place in range(300)]
        self.customers = [_party("客户", number * 1000 + 500 + place) for place in range(200)]
        self.traps: tuple[Callable[[], None], ...] = (
            self.same_amount,
            self.fee_deducted,
            self.returned,
            self.split,
            self.batched,
            self.shifted,
            self.reversal,
            self.decoy,
        )

    def write_month(self, lines: int) -> AccountMonth:
        while len(self.month.lines) < lines:
            lot = self.chance.random()
            if lot < 0.70:
                self.own_payment()
            elif lot < 0.85:
                self.other_entry()
            elif lot < 0.95:
                self.bank_only()
            elif self.chance.random() < 0.45:
                # Most traps write several lines, so they are chosen more rarely.
                self.chance.choice(self.traps)()
            if self.chance.random() < 0.03:
                self.book_only()
        for side in (self.month.payments, self.month.book, self.month.lines):
            self.chance.shuffle(side)
        return self.month

    # ---- what happens in a month ---------------------------------------------------------------------------

    def own_payment(self) -> None:
        """Add a payment, its line and its book row."""
        coded = self.chance.random() < 0.5
        self.pay(self.supplier(), self.amount(), self.day(), coded)

    def pay(
        self, party: _Party, amount: int, day: date, coded: bool, late: int | None = None, reference: str | None = None
    ) -> str:
        """Add all three sides of a payment; returns the line's id."""
        lag = self.lag((0.88, 0.10, 0.015, 0.005)) if late is None else late
        order, code = f"order:{self.next('SO')}", f"code:{self.next('K')}"
        payment = self.payment(party, amount, day, {order, code})
        line = self.line(_DEBIT, party, amount, day + timedelta(lag), {code} if coded else set())
        named = self.chance.random() < 0.8
        book = self.book(_DEBIT, party, amount, day + timedelta(self.lag((0.8, 0.2))), {order} if named else set())
        self.true(line, payment, book, coded, coded and named)
        return line

    def other_entry(self) -> None:
        """Add a receipt, or a payment made at the bank's counter: a line and a book row without a payment of ours."""
        if self.chance.random() < 0.6:
            party, amount, day = self.chance.choice(self.customers), self.amount(), self.day()
            number = str(self.chance.randint(10_000_000, 99_999_999)) if self.chance.random() < 0.4 else ""
            line = self.line(_CREDIT, party, amount, day, set(), text=f"货款 INV{number}" if number else "货款")
            later = day + timedelta(self.lag((0.55, 0.3, 0.1, 0.05)))
            book = self.book(_CREDIT, party, amount, later, set(), numbers={number} if number else set())
        else:
            party, amount, day = self.supplier(), self.amount(), self.day()
            serial = {f"serial:{self.next('T')}"}
            line = self.line(_DEBIT, party, amount, day, set(), serials=serial)
            seen = serial if self.chance.random() < 0.3 else set[str]()
            book = self.book(_DEBIT, party, amount, day + timedelta(self.lag((0.7, 0.3))), set(), serials=seen)
        self.true(line, None, book, False, False)

    def bank_only(self) -> None:
        """Add a fee, interest, or money of an unknown payer, which the book does not have yet."""
        lot = self.chance.random()
        if lot < 0.6:
            flagged = self.chance.random() < 0.5
            self.line(
                _DEBIT, _Party("", "银行"), self.chance.choice((500, 1_000, 1_500)), self.day(), set(), fee=flagged
            )
        elif lot < 0.7:
            self.line(_CREDIT, _Party("", "银行"), self.chance.randint(100, 90_000), self.day(), set())
        else:
            party = self.chance.choice(self.customers) if self.chance.random() < 0.2 else _party("未知", self.number())
            self.line(_CREDIT, party, self.amount(), self.day(), set())

    def book_only(self) -> None:
        """Add a cheque that nobody presented, or a payment that the bank has not booked."""
        if self.chance.random() < 0.5:
            self.book(_DEBIT, self.supplier(), self.amount(), self.day(), set())
        else:
            order = f"order:{self.next('SO')}"
            party, amount, day = self.supplier(), self.amount(), self.day()
            self.payment(party, amount, day, {order, f"code:{self.next('K')}"})
            self.book(_DEBIT, party, amount, day, {order})

    # ---- traps ----------------------------------------------------------------------------------------------

    def same_amount(self) -> None:
        """Add two payments that differ only in their codes."""
        party, amount, day = self.supplier(), self.amount(), self.day()
        coded = self.chance.random() < 0.5
        self.pay(party, amount, day, coded)
        self.pay(party, amount, day, coded)

    def fee_deducted(self) -> None:
        """Add a receipt from which another bank has deducted its fee; half of them with a code."""
        party, amount, day = self.chance.choice(self.customers), self.amount(), self.day()
        coded = self.chance.random() < 0.5
        code = {f"code:{self.next('V')}"}
        fee = (TARIFF.fee_of(amount) or 1_500) if coded else self.chance.randint(300, 5_000)
        line = self.line(_CREDIT, party, amount - fee, day, code if coded else set())
        book = self.book(_CREDIT, party, amount, day, code if coded else set())
        self.true(line, None, book, coded, coded)

    def returned(self) -> None:
        """Add a payment that came back and was paid again."""
        party, amount, day = self.supplier(), self.amount(), self.day()
        coded = self.chance.random() < 0.5
        self.pay(party, amount, day, coded, late=0)
        back = day + timedelta(self.chance.randint(1, 3))
        line = self.line(_CREDIT, party, amount, back, set(), text="退汇")
        book = self.book(_CREDIT, party, amount, back, set())
        self.true(line, None, book, False, False)
        self.pay(party, amount, back + timedelta(self.chance.randint(0, 2)), coded)

    def split(self) -> None:
        """Add one payment that the bank booked in parts."""
        party, day, coded = self.supplier(), self.day(), self.chance.random() < 0.5
        parts = [self.amount() for _ in range(self.chance.randint(2, 4))]
        order, code = f"order:{self.next('SO')}", f"code:{self.next('K')}"
        payment = self.payment(party, sum(parts), day, {order, code})
        lines = [self.line(_DEBIT, party, part, day, {code} if coded else set()) for part in parts]
        book = self.book(_DEBIT, party, sum(parts), day, {order})
        for line in lines:
            self.month.truth_a[line] = LineTruth(frozenset({payment}), frozenset(lines), coded)
            self.month.truth_b[line] = LineTruth(frozenset({book}), frozenset(lines), coded)

    def batched(self) -> None:
        """Add several payments to one payee that the bank booked as one; half of them with the batch's code."""
        party, day, coded = self.supplier(), self.day(), self.chance.random() < 0.5
        batch = f"batch:{self.next('B')}"
        amounts = [self.amount() for _ in range(self.chance.randint(3, 12))]
        payments, book = [], []
        for amount in amounts:
            order = f"order:{self.next('SO')}"
            payments.append(self.payment(party, amount, day, {order, batch}))
            book.append(self.book(_DEBIT, party, amount, day, {order}))
        line = self.line(_DEBIT, party, sum(amounts), day, {batch} if coded else set())
        self.month.truth_a[line] = LineTruth(frozenset(payments), frozenset({line}), coded)
        self.month.truth_b[line] = LineTruth(frozenset(book), frozenset({line}), coded)

    def shifted(self) -> None:
        """Add payments of the same amount to the same payee every few days, booked so late that their dates cross."""
        party, amount, day = self.supplier(), self.amount(), self.day()
        coded = self.chance.random() < 0.5
        for _ in range(3):
            self.pay(party, amount, day, coded, late=self.chance.randint(0, 3))
            day += timedelta(self.chance.randint(1, 3))

    def reversal(self) -> None:
        """Add a line that the bank takes back (冲正) beside the right one; half of the books take it back in red."""
        party, amount, day = self.supplier(), self.amount(), self.day()
        coded = self.chance.random() < 0.5
        serial = {f"serial:{self.next('T')}"}
        wrong = self.line(_DEBIT, party, amount, day, set(), serials=serial)
        back = self.line(_CREDIT, party, amount, day, set(), serials=serial, reversal=True)
        self.month.reversed_lines.add(frozenset({wrong, back}))
        if self.chance.random() < 0.5:
            voucher = {f"voucher:{self.next('W')}"}
            pair = (self.book(_DEBIT, party, amount, day, voucher), self.book(_DEBIT, party, -amount, day, voucher))
            self.month.reversed_book.add(frozenset(pair))
        self.pay(party, amount, day, coded, late=1)

    def decoy(self) -> None:
        """Add a payment, and lines that look similar: to another payee on that day, and to the same payee much
        later."""
        party, amount, day = self.supplier(), self.amount(), self.day()
        self.pay(party, amount, day, self.chance.random() < 0.5)
        self.line(_DEBIT, _party("他人", self.number()), amount, day, set())
        self.line(_DEBIT, party, amount, day + timedelta(20), set())

    # ---- rows ----------------------------------------------------------------------------------------------

    def true(self, line: str, payment: str | None, book: str, coded: bool, coded_b: bool) -> None:
        if payment is not None:
            self.month.truth_a[line] = LineTruth(frozenset({payment}), frozenset({line}), coded)
        self.month.truth_b[line] = LineTruth(frozenset({book}), frozenset({line}), coded_b)

    def payment(self, party: _Party, amount: int, day: date, codes: set[str]) -> str:
        row = MatchRow(
            self.next("P"),
            self.month.account,
            _DEBIT,
            amount,
            "CNY",
            day,
            party.account,
            plain_name(party.name),
            frozenset(codes),
        )
        self.month.payments.append(row)
        return row.id

    def book(
        self,
        direction: Direction,
        party: _Party,
        amount: int,
        day: date,
        codes: set[str],
        *,
        serials: set[str] | None = None,
        numbers: set[str] | None = None,
    ) -> str:
        lot = self.chance.random()
        account, name = ("" if lot < 0.2 else party.account), ("" if lot > 0.97 else plain_name(party.name))
        row = MatchRow(
            self.next("W"),
            self.month.account,
            direction,
            amount,
            "CNY",
            day,
            account,
            name,
            frozenset(codes),
            frozenset(serials or ()),
            frozenset(numbers or ()),
        )
        self.month.book.append(row)
        return row.id

    def line(
        self,
        direction: Direction,
        party: _Party,
        amount: int,
        day: date,
        codes: set[str],
        *,
        text: str = "",
        serials: set[str] | None = None,
        reversal: bool = False,
        fee: bool = False,
    ) -> str:
        # Banks cut long names and leave accounts out now and then.
        lot = self.chance.random()
        account, name = ("" if lot < 0.02 else party.account), plain_name(party.name[:6] if lot > 0.97 else party.name)
        row = MatchRow(
            self.next("L"),
            self.month.account,
            direction,
            amount,
            "CNY",
            day,
            account,
            name,
            frozenset(codes),
            frozenset(serials or ()),
            text=text,
            reversal=reversal,
            fee=fee,
        )
        self.month.lines.append(row)
        return row.id

    # ---- chance --------------------------------------------------------------------------------------------

    def next(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.month.account[-4:]}{self.count:08d}"

    def number(self) -> int:
        return self.chance.randint(10**8, 10**9)

    def day(self) -> date:
        return FIRST_DAY + timedelta(self.chance.randrange(DAYS))

    def lag(self, shares: tuple[float, ...]) -> int:
        return self.chance.choices(range(len(shares)), shares)[0]

    def supplier(self) -> _Party:
        return self.chance.choices(self.suppliers, cum_weights=_WEIGHTS)[0]

    def amount(self) -> int:
        if self.chance.random() < 0.2:
            return self.chance.choice(_ROUND)
        return max(100, int(self.chance.lognormvariate(13, 1.6)))


def _party(kind: str, number: int) -> _Party:
    return _Party(f"0000{number:015d}", f"{kind}{number}(中国)有限公司")
