"""The demo ERP's bank journal: a voucher for each order that was reported as carried out, and last month's book. Pure.

Last month has the usual differences of a real one: payments that are alike in amount and day, a fee and money received
that the book does not have yet, and a payment that the bank does not have yet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.demo.daily_operations import COLLECTION, TRANSFER
from gateway.demo.erp import ReceivedNews
from gateway.demo.orders import PAYEES, DemoOrder, amount_text
from gateway.demo.verdict import SETTLED, is_news
from protocols.canon.money import Money
from protocols.canon.outcome import State
from protocols.canon.statement import Direction

ROWS_A_PART = 400
_BACK = (State.RETURNED, State.REVERSED)
_OUT, _IN = Direction.DEBIT, Direction.CREDIT
_NAMED_EVERY = 3
"""The share of vouchers that name their order. The others must be recognised by their content."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """One row of the book of `account`, and the order behind it."""

    id: str
    order: str
    account: str
    direction: Direction
    minor: int
    day: date
    party: str
    party_name: str = ""
    reference: str = ""

    @property
    def effect_minor(self) -> int:
        """The row's effect on the account's balance."""
        return self.minor if self.direction is _IN else -self.minor

    def fields(self) -> dict[str, str]:
        """The voucher as a row of `ledger.submit`."""
        said = {
            "id": self.id,
            "date": self.day.isoformat(),
            "direction": self.direction.value,
            "amount": amount_text(self.minor),
            "counterparty_account": self.party,
            "counterparty_name": self.party_name,
            "reference": self.reference,
            "voucher": f"银付-{self.id}"[:32],
        }
        return {name: value for name, value in said.items() if value}


@dataclass(frozen=True, slots=True)
class ReportedState:
    """The last state of an order that the ERP received."""

    state: State
    minor: int


def told(heard: Iterable[ReceivedNews]) -> dict[str, ReportedState]:
    """The last state of each of the ERP's orders, with the amount that the gateway took."""
    last: dict[str, tuple[int, ReportedState]] = {}
    for one in heard:
        if is_news(one) and "amount" in one.said:
            order, seq = str(one.said["id"]), int(one.said["seq"])
            if order not in last or last[order][0] < seq:
                last[order] = seq, ReportedState(State(one.said["state"]), Money.parse(str(one.said["amount"])).minor)
    return {order: what for order, (_seq, what) in last.items()}


def of_orders(
    orders: Iterable[DemoOrder], last: Mapping[str, ReportedState], own: frozenset[str], day: date
) -> list[Voucher]:
    """The vouchers of orders that were carried out; two for an order whose money came back."""
    found: list[Voucher] = []
    for n, order in enumerate(orders):
        what = last.get(order.id)
        if what is None or what.state not in SETTLED:
            continue
        way = _IN if order.kind == COLLECTION else _OUT
        reference = order.id if n % _NAMED_EVERY == 0 else ""
        name = order.creditor_name if order.kind != TRANSFER else ""
        found.append(
            Voucher(f"V-{order.id}", order.id, order.debtor, way, what.minor, day, order.creditor, name, reference)
        )
        if order.creditor in own:
            found.append(Voucher(f"V-{order.id}-IN", order.id, order.creditor, _IN, what.minor, day, order.debtor))
        if what.state in _BACK:
            back = _OUT if way is _IN else _IN
            found.append(
                Voucher(f"V-{order.id}-TH", order.id, order.debtor, back, what.minor, day, order.creditor, name)
            )
    return found


def of_moves(moves: Iterable[tuple[str, str, str, int]], day: date) -> list[Voucher]:
    """The vouchers of the pools' moves: order, from, to, minor units."""
    return [
        voucher
        for order, debit, credit, minor in moves
        for voucher in (
            Voucher(f"V-{order}", order, debit, _OUT, minor, day, credit),
            Voucher(f"V-{order}-IN", order, credit, _IN, minor, day, debit),
        )
    ]


def submissions(
    book: str, account: str, days: tuple[date, date], opening_minor: int, rows: Sequence[Voucher]
) -> Iterator[bytes]:
    """The bodies of `ledger.submit` for one book."""
    pieces = [rows[at : at + ROWS_A_PART] for at in range(0, len(rows), ROWS_A_PART)] or [rows]
    sums = {way: sum(one.minor for one in rows if one.direction is way) for way in Direction}
    closing = opening_minor + sums[_IN] - sums[_OUT]
    for part, piece in enumerate(pieces, 1):
        yield json.dumps(
            {
                "id": book,
                "account": account,
                "from": days[0].isoformat(),
                "to": days[1].isoformat(),
                "currency": "CNY",
                "opening": amount_text(opening_minor),
                "closing": amount_text(closing),
                "count": len(rows),
                "debit_sum": amount_text(sums[_OUT]),
                "credit_sum": amount_text(sums[_IN]),
                "part": part,
                "parts": len(pieces),
                "rows": [one.fields() for one in piece],
            },
            ensure_ascii=False,
        ).encode()


# ---- last month ----


@dataclass(frozen=True, slots=True)
class LastMonth:
    """A past month of one account: the entries of the bank's file, the rows of the book, and those that only one of the
    two has."""

    account: str
    first: date
    last: date
    opening_minor: int
    lines: tuple[Voucher, ...]
    book: tuple[Voucher, ...]

    @property
    def bank_only(self) -> frozenset[str]:
        """The entries that the book does not have yet."""
        return frozenset(one.order for one in self.lines) - {one.order for one in self.book}

    @property
    def book_only(self) -> frozenset[str]:
        """The rows that the bank does not have yet."""
        return frozenset(one.order for one in self.book) - {one.order for one in self.lines}

    @property
    def book_closing_minor(self) -> int:
        """The book's closing balance."""
        return self.opening_minor + sum(one.effect_minor for one in self.book)

    def csv(self) -> bytes:
        """The bank's statement as a file."""
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        writer.writerow(("id", "date", "direction", "amount", "counterparty_account", "counterparty_name", "text"))
        for one in self.lines:
            writer.writerow(
                (
                    one.id,
                    one.day.isoformat(),
                    one.direction.value,
                    amount_text(one.minor),
                    one.party,
                    one.party_name,
                    one.reference,
                )
            )
        return out.getvalue().encode()


_ITEMS: tuple[tuple[int, Direction, int, int], ...] = (
    # day of the bank, direction, minor units, payee; alike amounts on one day are for two payees
    (3, _OUT, 12_345_67, 0),
    (3, _OUT, 12_345_67, 1),
    (9, _IN, 880_000_00, 2),
    (12, _OUT, 3_999_90, 3),
    (18, _OUT, 45_000_00, 4),
    (23, _OUT, 1_111_11, 0),
    (26, _IN, 70_500_00, 1),
)
_BANK_ONLY: tuple[tuple[int, Direction, int, int], ...] = ((25, _OUT, 36_00, 2), (27, _IN, 5_432_10, 3))
_BOOK_ONLY: tuple[tuple[int, Direction, int, int], ...] = ((27, _OUT, 20_000_00, 4),)


def last_month(account: str, today: date, closing_minor: int) -> LastMonth:
    """The month before `today`, at whose end the bank's balance is `closing_minor`."""
    last = today.replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)

    def made(items: Sequence[tuple[int, Direction, int, int]], key: str, *, of_bank: bool) -> tuple[Voucher, ...]:
        # The book is a day earlier than the bank, as usual.
        return tuple(
            Voucher(
                f"{'B' if of_bank else 'V'}-{key}-{n}",
                f"{key}-{n}",
                account,
                way,
                minor,
                first.replace(day=day if of_bank else day - 1),
                f"0000{7_000_000_000 + payee}",
                PAYEES[payee],
            )
            for n, (day, way, minor, payee) in enumerate(items, 1)
        )

    lines = (*made(_ITEMS, "LM", of_bank=True), *made(_BANK_ONLY, "LM-B", of_bank=True))
    book = (*made(_ITEMS, "LM", of_bank=False), *made(_BOOK_ONLY, "LM-V", of_bank=False))
    return LastMonth(account, first, last, closing_minor - sum(one.effect_minor for one in lines), lines, book)
