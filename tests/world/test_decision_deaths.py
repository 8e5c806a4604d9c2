"""The daemon dies at points of persons' decisions: an approval that releases an order, and the end of SAFE MODE.
Committed facts hold in the next life, nothing leaves before its decision, and each order is paid once."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from tests.world import between, sim
from tests.world.approving import BAND_MINOR, SETTINGS, Approving
from tests.world.crashes import settle
from tests.world.world import World

STRIDE = 9
LARGE = 2 * BAND_MINOR


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


def _killed_at_each(memory: Path, tell: Callable[[Path, int], str | None]) -> list[str]:
    """Run the story again and again, killing the process at every STRIDE-th point, until one run ends by itself. Yields
    the point of each kill."""
    passed: list[str] = []
    for n in count(1, STRIDE):
        folder = memory / str(n)
        folder.mkdir()
        killed = tell(folder, n)
        shutil.rmtree(folder)
        if killed is None:
            return passed
        passed.append(killed)
    raise AssertionError("a story has an end")


def _paid(world: World) -> list[int]:
    return [one.instruction.amount.minor for one in world.bank.ledger.executions if not one.refused]


def _approved(folder: Path, n: int) -> str | None:
    world = World(folder, settings=SETTINGS)
    world.start()
    world.run(2)
    approving = world.approving = Approving(world)
    approving.begin()
    world.run(1)
    world.submit("AP-1", LARGE, **approving.made("AP-1", minor=LARGE))
    world.run(5)
    assert (world.state("AP-1"), _paid(world)) == ("held", [])
    world.points.kill_at = world.points.passed + n
    approving.all_approve()
    world.run(20)
    killed = world.points.killed
    world.points.kill_at = None
    if world.life is None:
        world.start()
        world.run(5)
        approving.all_approve()
    assert settle(world) == [], f"killed at point {n}, {killed}"
    assert approving.complaints() == [] and _paid(world) == [LARGE], f"killed at point {n}, {killed}"
    world.crash()
    return killed


def _safe_mode_left(folder: Path, n: int) -> str | None:
    world = World(folder)
    world.start()
    world.run(2)
    copy = folder / "older.db"
    with closing(sqlite3.connect(folder / "journal.db")) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    world.submit("AP-1", 1_000)
    world.run(5)
    assert _paid(world) == [1_000]
    world.crash()
    for file in folder.glob("journal.db*"):
        file.unlink()
    copy.rename(folder / "journal.db")
    # It may die during the start itself: the comparison is written down, the lanes are held.
    world.points.kill_at = world.points.passed + n
    world.start()
    world.run(3)
    if world.life is not None:
        world.submit("AP-2", 2_000)
        world.run(3)
    if world.life is not None:
        assert (bool(world.life.gateway.safe_mode.reason), _paid(world)) == (True, [1_000]), f"point {n}"
        between.let_go(world)
        world.run(5)
    killed = world.points.killed
    world.points.kill_at = None
    if world.life is None:
        world.start()
        world.run(3)
    assert world.life is not None
    if world.life.gateway.safe_mode.reason:
        assert _paid(world) == [1_000], f"killed at point {n}, {killed}: sent before two persons allowed it"
        between.let_go(world)
    if world.state("AP-2") is None:
        world.submit("AP-2", 2_000)
    world.run(200)
    assert sorted(_paid(world)) == [1_000, 2_000] and world.bank.ledger.doubles() == [], (
        f"killed at point {n}, {killed}"
    )
    world.crash()
    return killed


@pytest.mark.timeout(240)
def test_an_approval_may_be_cut_off_at_its_points(memory: Path) -> None:
    passed = _killed_at_each(memory, _approved)
    assert len(passed) >= 3 and {one.split(".")[0] for one in passed} >= {"journal"}, passed


@pytest.mark.timeout(240)
def test_the_end_of_safe_mode_may_be_cut_off_at_its_points(memory: Path) -> None:
    passed = _killed_at_each(memory, _safe_mode_left)
    assert len(passed) >= 4 and any(one.startswith("journal.commit") for one in passed), passed
