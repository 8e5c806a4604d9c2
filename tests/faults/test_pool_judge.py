"""The judge of a campaign's pools finds each violation, and nothing in a correct campaign."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from faults import pools
from faults.pool_judge import PoolEvidence, judge, moved
from gateway.demo.verdict import FindingKind, Journalled
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun, RunState
from gateway.simbank.record import Execution
from protocols.canon.money import Money
from protocols.canon.outcome import State
from protocols.twin import Instruction

DAY = date(2026, 11, 24)
POOLS = pools.made(("sample",), datetime(2026, 11, 24, 10, tzinfo=UTC), 60)
GROUP, TOP = POOLS
PAYING, PART, FIXED, KEEP = (one.account for one in GROUP.pool.children)
HEADER, ABOVE = GROUP.pool.header, TOP.pool.header
MILLION = 100_000_000
NOW_MS = 1_000_000


@dataclass
class World:
    """Two runs of the pool, one of the pool above, and a payment of the ERP, all correct."""

    runs: list[PoolRun] = field(default_factory=list)
    moves: list[PoolMove] = field(default_factory=list)
    payments: list[Journalled] = field(default_factory=list)
    done: list[Execution] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    lost_minor: int = 0

    def __post_init__(self) -> None:
        self.pay(PAYING, "6222", 5_000)
        slot = GROUP.pool.slots[0].name
        self.run("group-sample", slot, (KEEP, HEADER, MILLION), (FIXED, HEADER, 700), (HEADER, PAYING, 5_000))
        self.run("top", slot, (HEADER, ABOVE, 300))
        self.run("group-sample", "hand-1", (FIXED, HEADER, 700), (PART, HEADER, MILLION // 10))
        self.asked.add("hand-1")

    def pay(self, debit: str, credit: str, minor: int, reference: str = "ERP") -> None:
        """Record a transfer by a bank."""
        asked = Instruction(reference, debit, credit, "", Money(minor, "CNY"), "", False, "", False)
        at_ms = len(self.done) + 1
        self.done.append(Execution(at_ms, asked, "", at_ms, at_ms))

    def run(self, pool: str, slot: str, *ways: tuple[str, str, int]) -> None:
        """Record a run whose moves are settled."""
        run = PoolRun(f"{pool}.20261124.{slot}", pool, 1, DAY, slot, "uid:0", 1, NOW_MS, RunState.DONE)
        self.runs.append(run)
        for place, (debit, credit, minor) in enumerate(ways, 1):
            move = PoolMove(
                run.run,
                place,
                pool,
                1,
                DAY,
                debit,
                credit,
                debit != HEADER or pool == "top",
                False,
                "CNY",
                minor,
                MoveState.ORDERED,
            )
            self.moves.append(move)
            self.pay(debit, credit, minor, f"R{len(self.moves)}")
            self.payments.append(Journalled("P", move.order_id, State.SETTLED, 2, "sample", f"R{len(self.moves)}", 1))

    def change(self, what: str, place: int, **values: Any) -> None:
        """Replace a move by another one."""
        rows = getattr(self, what)
        rows[place] = replace(rows[place], **values)

    def evidence(self) -> PoolEvidence:
        """The evidence for the judge."""
        books = dict.fromkeys([*GROUP.pool.accounts, ABOVE], pools.OPENING_MINOR)
        for one in self.done:
            asked = one.instruction
            for account, sign in ((asked.debtor_account, -1), (asked.creditor_account, 1)):
                if account in books and not one.refused:
                    books[account] += sign * asked.amount.minor
        books[HEADER] -= self.lost_minor
        return PoolEvidence(
            POOLS, self.asked, self.runs, self.moves, self.payments, {"sample": self.done}, books, NOW_MS
        )


def _twice_as_another_order(world: World) -> None:
    world.payments.append(replace(world.payments[1], order_id="group-sample.20261124.1000.102", reference="R99"))
    world.pay(FIXED, HEADER, 700, "R99")


def _twice_by_the_bank(world: World) -> None:
    world.done.append(world.done[1])


def _refused_and_settled(world: World) -> None:
    world.change("done", 2, refused="no")


def _too_much(world: World) -> None:
    world.run("group-sample", "hand-1", (KEEP, HEADER, 1))


def _over_the_day(world: World) -> None:
    for _ in range(10):
        world.run("top", "hand-1", (HEADER, ABOVE, 300))


def _over_the_target(world: World) -> None:
    world.run("group-sample", "hand-1", (HEADER, PAYING, 1))


WRONG: list[tuple[str, Callable[[World], object], FindingKind, str]] = [
    ("a bank moves one twice", _twice_by_the_bank, FindingKind.DUPLICATED, "sample moved it 2 times"),
    (
        "a move is ordered twice",
        _twice_as_another_order,
        FindingKind.DUPLICATED,
        "700 minor units 3 times, runs ordered it 2",
    ),
    ("what no run planned", _twice_as_another_order, FindingKind.DUPLICATED, "treasury ordered what no run planned"),
    (
        "money of a pool leaves it",
        lambda world: world.pay(KEEP, "6222", 1),
        FindingKind.DISAGREES,
        "what no run planned so",
    ),
    (
        "another amount",
        lambda world: world.change("moves", 1, amount_minor=699),
        FindingKind.DISAGREES,
        "no run planned so",
    ),
    ("settled and refused", _refused_and_settled, FindingKind.DISAGREES, "it is settled; the bank's book says refused"),
    (
        "settled and not there",
        lambda world: world.done.pop(2),
        FindingKind.DISAGREES,
        "it is settled; the bank never got it",
    ),
    (
        "left in doubt",
        lambda world: world.change("payments", 1, state=State.IN_DOUBT),
        FindingKind.LOST,
        "left in doubt",
    ),
    (
        "left unknown",
        lambda world: world.change("payments", 1, state=State.SENDING),
        FindingKind.LOST,
        "ended as sending",
    ),
    (
        "held and moved",
        lambda world: world.change("payments", 1, state=State.HELD),
        FindingKind.DISAGREES,
        "waits for persons or a balance",
    ),
    ("repeated against the rules", lambda world: world.change("payments", 1, unfit=("x",)), FindingKind.DISAGREES, "x"),
    (
        "planned for ever",
        lambda world: world.change("moves", 1, state=MoveState.PLANNED),
        FindingKind.LOST,
        "neither ordered",
    ),
    ("ordered and no payment", lambda world: world.payments.pop(1), FindingKind.LOST, "ordered and is 0 payments"),
    (
        "a run that has no end",
        lambda world: world.change("runs", 1, state=RunState.PLANNED),
        FindingKind.LOST,
        "is not done",
    ),
    ("a run of nobody", lambda world: world.asked.clear(), FindingKind.DISAGREES, "a run that nobody asked for"),
    (
        "no slot was run",
        lambda world: world.change("runs", 1, slot="hand-1"),
        FindingKind.LOST,
        "no slot of the pool was run",
    ),
    ("below what must stay", _too_much, FindingKind.DISAGREES, "must stay"),
    ("above the target", _over_the_target, FindingKind.DISAGREES, f"its target is {pools.OPENING_MINOR}"),
    ("above the ceiling", _over_the_day, FindingKind.DISAGREES, "3300 minor units were moved, 3000 is the most"),
    (
        "not the fixed amount",
        lambda world: world.run("top", "hand-1", (HEADER, ABOVE, 299)),
        FindingKind.DISAGREES,
        "the rule says 300",
    ),
    ("money is gone", lambda world: setattr(world, "lost_minor", 1), FindingKind.DISAGREES, "the pools' accounts hold"),
]


def test_when_all_agree_nothing_is_found() -> None:
    evidence = World().evidence()
    assert list(judge(evidence)) == []
    assert moved(evidence) == 6, "what the ERP paid is no move"


@pytest.mark.parametrize(("name", "change", "wrong", "said"), WRONG, ids=[one[0] for one in WRONG])
def test_one_wrong_line_is_seen(name: str, change: Callable[[World], object], wrong: FindingKind, said: str) -> None:
    world = World()
    change(world)
    found = list(judge(world.evidence()))
    assert any(one.wrong is wrong and said in one.text for one in found), [str(one) for one in found]


def test_what_waits_or_was_turned_away_is_right() -> None:
    """One move above a ceiling waits for persons, the bank refused one, and one never arrived, so that its fate is
    unknown. All are correct."""
    world = World()
    for n, state in enumerate((State.HELD, State.FAILED, State.ESCALATED)):
        world.asked.add(f"hand-{n + 2}")
        world.run("group-sample", f"hand-{n + 2}", (FIXED, HEADER, 700))
        world.change("payments", -1, state=state)
        world.done.pop()
    assert list(judge(world.evidence())) == []


def test_money_that_came_back_is_not_held_against_a_pool() -> None:
    """The ERP's payment comes back after its account was filled again; a move up comes back after it was spent."""
    world = World()
    world.change("done", 0, returned_ms=100)
    assert [one.text for one in judge(world.evidence()) if "target" in one.text] == []
    world = World()
    world.change("done", 1, returned_ms=100)
    assert [one.text for one in judge(world.evidence()) if "must stay" in one.text] == []


def test_no_slot_goes_over_midnight() -> None:
    late = pools.made(("sample",), datetime(2026, 11, 24, 23, 59, 50, tzinfo=UTC), 600)
    assert [str(slot.opens) for slot in late[0].pool.slots] == ["00:01:50", "00:04:20", "00:06:50"]
    slots = pools.made(("sample",), datetime(2026, 11, 24, 10, tzinfo=UTC), 3_600)[0].pool.slots
    assert [str(one.opens) for one in slots] == ["09:59:30", "10:14:30", "10:29:30", "10:44:30"]
