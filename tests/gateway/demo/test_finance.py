"""The demo's finance department: its books add up, and its judge finds a wrong match and a wrong sweep."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest

from gateway.demo import pool_sweeps, vouchers
from gateway.demo.book_truth import BookTruth, add_ledger, wrong
from gateway.demo.finance import Reconciliation
from gateway.demo.orders import DemoOrder
from gateway.demo.pool_sweeps import KEEPS_MINOR
from gateway.demo.verdict import Executed, Journalled
from gateway.demo.vouchers import ReportedState, last_month, of_orders, submissions
from gateway.pools.rows.pool_moves import MoveState, PoolMove
from gateway.pools.rules import pool as pool_text
from gateway.reconciliation.rules.decision import Match, MatchRule
from gateway.reconciliation.rules.rows import MatchRow
from gateway.simbank.ledger import CHINA
from gateway.simbank.record import Execution
from protocols.canon.money import Money
from protocols.canon.outcome import State
from protocols.canon.statement import Direction
from protocols.twin import Booked, Instruction

OWN, SECOND, PAYEE, OTHER = "00000000000017", "00000000000025", "0000000000000000033", "0000000000000000041"
DAY = date(2026, 11, 25)
NOON = datetime(2026, 11, 25, 12, 0, 50, tzinfo=CHINA)
NOON_MS = int(NOON.timestamp() * 1000)


def execution(minor: int, payee: str = PAYEE, reference: str = "R1", payer: str = OWN, **more: Any) -> Execution:
    asked = Instruction(
        reference, payer, payee, "示例乙", Money(minor), "货款", collects=bool(more.pop("collects", False))
    )
    return Execution(1, asked, "B1", NOON_MS, NOON_MS, **more)


def truth(*found: Execution) -> BookTruth:
    made = BookTruth()
    add_ledger(made, found, {PAYEE: "AP-1", OTHER: "AP-2"}, {"R9": "T-1"}, frozenset({OWN, SECOND}), NOON_MS + 1)
    return made


def line(id: str, minor: int, party: str, way: Direction = Direction.DEBIT, account: str = OWN) -> MatchRow:
    return MatchRow(id, account, way, minor, "CNY", DAY, party)


LINES = {
    "out": line("out", 100, PAYEE),
    "other": line("other", 100, OTHER),
    "unnamed": line("unnamed", 300, ""),
    "back": line("back", 100, PAYEE, Direction.CREDIT),
    "in": line("in", 500, OWN, Direction.CREDIT, SECOND),
    "strange": line("strange", 7, PAYEE),
}
LEDGER = truth(
    execution(100, returned_ms=NOON_MS),
    execution(100, OTHER, "R2"),
    execution(300, OTHER, "R3"),
    execution(500, SECOND, "R9"),
    execution(900, PAYEE, "R4", refused="no"),
)
ORDERS = {"payment:1": "AP-1", "payment:2": "AP-2", "book:t": "T-1"}


@pytest.mark.parametrize(
    ("entries", "lines", "right"),
    [
        (("payment:1",), ("out",), True),
        (("payment:1",), ("other",), False),
        (("payment:2",), ("unnamed",), True),
        (("payment:1",), ("unnamed",), False),
        (("book:t",), ("in",), True),
        (("payment:1",), ("strange",), False),
        (("payment:1", "payment:2"), ("out", "other"), True),
        (("payment:1",), ("out", "other"), False),
        ((), ("out", "back"), True),
        ((), ("other", "back"), False),
    ],
)
def test_a_match_is_judged_by_the_ledger(entries: tuple[str, ...], lines: tuple[str, ...], right: bool) -> None:
    found = list(wrong([Match(MatchRule.CODE, entries, lines)], LINES, ORDERS, LEDGER))
    assert (not found) is right, found


def test_two_banks_may_have_the_same_reference() -> None:
    made = truth(execution(500, SECOND, "R9"))
    add_ledger(made, [execution(600, SECOND, "R9")], {}, {"R9": "T-2"}, frozenset({OWN, SECOND}), NOON_MS + 1)
    assert made.of(line("x", 500, SECOND)) == {"T-1"} and made.of(line("y", 600, SECOND)) == {"T-2"}


def order(id: str, kind: str = "payment", creditor: str = PAYEE) -> DemoOrder:
    return DemoOrder(id, "sample", OWN, creditor, "示例乙", (100,), "货款", "plain", kind=kind)


def test_the_book_has_what_the_erp_was_told_and_nothing_else() -> None:
    orders = [order("a"), order("b"), order("c", "collection"), order("d", "transfer", SECOND), order("e"), order("f")]
    last = {"a": State.SETTLED, "b": State.RETURNED, "c": State.SETTLED, "d": State.SETTLED, "e": State.FAILED}
    made = of_orders(
        orders, {id: ReportedState(state, 100) for id, state in last.items()}, frozenset({OWN, SECOND}), DAY
    )
    assert [(one.order, one.account, one.effect_minor) for one in made] == [
        ("a", OWN, -100),
        ("b", OWN, -100),
        ("b", OWN, 100),
        ("c", OWN, 100),
        ("d", OWN, -100),
        ("d", SECOND, 100),
    ]
    assert len({one.id for one in made}) == len(made)


def test_a_long_book_comes_in_parts_that_add_up() -> None:
    rows = [vouchers.Voucher(f"V{n}", f"o{n}", OWN, Direction.DEBIT, n, DAY, PAYEE) for n in range(1, 902)]
    parts = [json.loads(body) for body in submissions("B", OWN, (DAY, DAY), 1_000_000, rows)]
    assert [(one["part"], one["parts"], len(one["rows"])) for one in parts] == [(1, 3, 400), (2, 3, 400), (3, 3, 101)]
    assert sum(round(float(row["amount"]) * 100) for one in parts for row in one["rows"]) == 901 * 902 // 2
    assert {one["closing"] for one in parts} == {f"{(1_000_000 - 901 * 902 // 2) / 100:.2f}"}


def test_last_month_ends_with_what_the_bank_has() -> None:
    for today in (date(2026, 11, 29), date(2026, 3, 1), date(2026, 1, 31)):
        month = last_month(OWN, today, 10**11)
        assert month.opening_minor + sum(one.effect_minor for one in month.lines) == 10**11
        assert month.last < today and (month.first.day, month.first.month) == (1, month.last.month)
        assert len(month.bank_only) == 2 and len(month.book_only) == 1
        assert all(month.first <= one.day <= month.last for one in (*month.lines, *month.book))


# ---- pools ----

POOL = pool_sweeps.DemoPool("sweep-sample", OWN, SECOND, "")
MOVE = PoolMove(
    "sweep-sample.20261125.1201",
    1,
    "sweep-sample",
    1,
    DAY,
    SECOND,
    OWN,
    True,
    False,
    "CNY",
    500,
    MoveState.ORDERED,
    "P1",
)
ROW = Journalled("P1", MOVE.order_id, State.SETTLED, 3, "sample", "R1", 1, (), 500, "CNY", "treasury")
DONE = Executed("sample", "R1", SECOND, OWN, 500, Booked.SETTLED)


def test_the_demos_pools_can_be_read_and_open_within_a_minute() -> None:
    (pool,) = pool_sweeps.pools(["sample"], NOON)
    made = pool_text.parse(pool.text)
    assert made is not None and [one.name for one in made.slots] == ["1201"]
    assert pool_sweeps.pools(["sample"], NOON.replace(hour=23, minute=40)) == (), "no slot beyond midnight"


@pytest.mark.parametrize(
    ("moves", "rows", "done", "left", "said"),
    [
        ([MOVE], [ROW], [DONE], KEEPS_MINOR, ""),
        ([], [], [], KEEPS_MINOR, "no run"),
        ([MOVE], [ROW], [DONE, DONE], KEEPS_MINOR, "R1 2 times"),
        ([MOVE], [ROW], [replace(DONE, minor=501)], KEEPS_MINOR, "no run planned so"),
        ([MOVE], [ROW], [replace(DONE, reference="R2")], KEEPS_MINOR, "no run planned so"),
        ([MOVE], [ROW], [replace(DONE, booked=Booked.REFUSED)], KEEPS_MINOR, "is settled, its bank has it refused"),
        ([MOVE], [replace(ROW, state=State.FAILED)], [DONE], KEEPS_MINOR, "is failed, its bank has it settled"),
        ([MOVE], [ROW], [], KEEPS_MINOR, "its bank never got it"),
        ([MOVE], [], [], KEEPS_MINOR, "is no payment"),
        ([MOVE], [ROW], [DONE], KEEPS_MINOR - 1, "less is left"),
    ],
)
def test_a_sweep_is_judged_by_the_ledger(
    moves: list[PoolMove], rows: list[Journalled], done: list[Executed], left: int, said: str
) -> None:
    found = pool_sweeps.check([POOL], moves, rows, done, {SECOND: left})
    assert found.holds is (not said) and said in str(found.detail)


def test_the_last_line_says_what_was_matched() -> None:
    assert Reconciliation(3, 2, 1, ("x",)).last_words() == ", 3 reconciled, 1 wrong"
