"""Stories with people, pools, linked payments and restored databases: each seed gives the same story, and the referee
notices violations."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocols.canon.money import Money
from protocols.twin import Instruction
from tests.world import governed, sim
from tests.world.governed_referee import GovernedReferee, LinkedOrder
from tests.world.world import World

FEW = frozenset(range(1, 22))
WHOLE = (10, 11, 13)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.mark.timeout(120)
def test_a_governed_story_told_twice_is_the_same(tmp_path: Path) -> None:
    first = sim.tell(13, _folder(tmp_path, "1"), govern=True, keep=FEW)
    again = sim.tell(13, _folder(tmp_path, "2"), govern=True, keep=FEW)
    assert first.trace == again.trace
    assert first.actions[governed.LINKED] and first.actions[governed.MOVED]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", WHOLE)
def test_a_governed_story_keeps_its_promises(seed: int) -> None:
    story = sim.tell_one(seed, govern=True)
    assert story.violations == []
    assert story.actions[governed.MOVED] and story.actions[governed.LINKED] and story.actions[governed.HALF_SIGNED]


def _folder(parent: Path, name: str) -> Path:
    (parent / name).mkdir()
    return parent / name


def _paid(world: World, reference: str, debtor: int, creditor: int, minor: int) -> None:
    """Let the bank carry out a transfer between own accounts."""
    accounts = world.bank.accounts
    world.bank.ledger.book_once(
        Instruction(reference, accounts[debtor], accounts[creditor], "示例甲公司", Money(minor), "", False)
    )


def test_money_that_no_pool_planned_is_seen(tmp_path: Path) -> None:
    world, referee = World(tmp_path, accounts=3), GovernedReferee()
    _paid(world, "R1", 0, 1, 700)
    assert ["no pool planned that" in one for one in referee.complaints(world)] == [True]


def test_a_slot_that_moves_twice_under_two_references_is_seen(tmp_path: Path) -> None:
    world, referee = World(tmp_path, accounts=3), GovernedReferee()
    for n, reference in enumerate(("R1", "R2"), 1):
        referee._orders[f"sample {reference}"] = f"group.20261118.1908.{n}"
        referee._moves[f"group.20261118.1908.{n}"] = ("group.20261118.1908", 1)
        _paid(world, reference, 0, 1, 700)
    (found,) = referee.complaints(world)
    assert found.startswith("group.20261118.1908") and "moved 2 times" in found


def test_a_leg_beyond_its_order_and_a_second_leg_are_seen(tmp_path: Path) -> None:
    world, referee = World(tmp_path, accounts=3), GovernedReferee()
    referee.links["AP-1"] = LinkedOrder(world.bank.accounts[1], 500, may_fund=True)
    for run, reference in (("group.1.la", "R1"), ("group.2.la", "R2")):
        referee._leg_runs[run] = "AP-1"
        referee._orders[f"sample {reference}"], referee._moves[f"{run}.1"] = f"{run}.1", (run, 1)
        _paid(world, reference, 0, 1, 700 if reference == "R1" else 500)
    beyond, twice = referee.complaints(world)
    assert "the order is over 500" in beyond and "leg 1 of AP-1 was moved 2 times" in twice


def test_a_leg_2_that_leaves_before_its_money_came_is_seen(tmp_path: Path) -> None:
    world, referee = World(tmp_path, accounts=2, holdings=(10**12, 1_000)), GovernedReferee()
    referee.links["AP-1"] = LinkedOrder(world.bank.accounts[1], 1_700, may_fund=True)
    now_ms = round(world.clock.seconds() * 1000)
    assert len(list(referee._leg_2_left(world.bank.ledger, "AP-1", 1_700, now_ms))) == 1
    _paid(world, "R1", 0, 1, 700)
    world.bank.ledger.now()
    world.clock.advance(1)
    world.bank.ledger.find("R1")
    assert list(referee._leg_2_left(world.bank.ledger, "AP-1", 1_700, now_ms + 1_000)) == []
