"""A run of a cash pool is killed at every point, one after the other: nothing is moved twice, and no money is lost."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.pools.rows import pools
from gateway.pools.rows.pool_runs import RunRequest
from gateway.pools.rules import pool as pool_text
from tests.world import sim
from tests.world.crashes import settle
from tests.world.world import World

RICH, KEPT, LACK = 10**12, 5_000, 700
HOUR_MS = 3_600_000


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else tmp_path) as folder:
        yield Path(folder)


def run(world: World) -> None:
    """Run the pool under the same name, as a person does who sees no run yet."""
    life = world.life
    assert life is not None
    service = life.gateway.pools
    pool = pool_text.parse(_text(world))
    assert pool is not None
    until_ms = life.clock.now_ms() + HOUR_MS
    wanted = RunRequest("group", service.local().date(), "now", until_ms, "uid:1")
    Deferred.fromCoroutine(service.run(wanted, pool)).addErrback(lambda _failure: None)
    world.run(10)


def _text(world: World) -> str:
    header, rich, poor = world.bank.accounts
    return (
        f"pool CNY header={header} most-run=90000000000.00 most-day=90000000000.00; child {rich} up=keep:{KEPT // 100}.00; "
        f"child {poor} down=target:{(RICH + LACK) // 100}.{LACK % 100:02d}"
    )


def story(folder: Path, after: int | None, step: int = 0) -> tuple[World, str | None]:
    """Run a pool of three accounts; the process ends `after` this many points of the run, the next process `step`
    points later. Returns the name of the point at which the first process ended; None if it did not end."""
    folder.mkdir()
    world = World(folder, accounts=3, settings={"senders": {"treasury": {"operations": ["transfer.submit"]}}})
    life = world.start()
    world.run(3)
    text = _text(world)
    life.store.write(lambda tx: pools.put_in_force(tx, "group", text, "P"))
    world.run(1)
    world.points.kill_at = None if after is None else world.points.passed + after
    run(world)
    killed = world.points.killed
    if not lives(world):
        world.points.kill_at = world.points.passed + step if step else None
        world.start()
        world.run(5)
        if lives(world):
            run(world)
    return world, killed


def lives(world: World) -> bool:
    """Whether a daemon runs."""
    return world.life is not None


def check(world: World, where: str) -> None:
    """Check that the run is done, that each move became one payment that was executed once, and that no fen appeared or
    was lost."""
    assert settle(world) == [], where
    if lives(world) and not _rows(world, "select 1 from pool_runs"):
        run(world)  # the life ended before anything was written down
        assert settle(world) == [], where
    assert _rows(world, "select state from pool_runs") == [("done",)], where
    moves = _rows(world, "select order_id, amount_minor, state from pool_moves order by place")
    assert [one[1:] for one in moves] == [(RICH - KEPT, "ordered"), (LACK, "ordered")], where
    paid = _rows(world, "select order_id, state from payments where sender = 'treasury' order by order_id")
    assert [one[0] for one in paid] == [one[0] for one in moves], where
    done = list(world.bank.ledger.truth().values())
    assert all(len(executed) == 1 for executed in done), f"{where}: moved twice"
    amounts = sorted(one.instruction.amount.minor for executed in done for one in executed)
    settled = [move[1] for move, one in zip(moves, paid, strict=True) if one[1] == "settled"]
    assert [amount for amount in amounts if amount in settled] == sorted(settled), where
    held = [world.bank.ledger.holding(account) for account in world.bank.accounts]
    books = [one.book.minor for one in held if one is not None and one.book is not None]
    assert sum(books) == 3 * RICH, f"{where}: the sum is not conserved"
    assert books[1] >= KEPT and books[2] <= RICH + LACK, where


def _rows(world: World, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(world.folder / "journal.db") as db:
        return db.execute(statement).fetchall()


def every(memory: Path, stride: int, step: int = 0) -> list[str]:
    passed: list[str] = []
    for n in count(1, stride):
        world, killed = story(memory / str(n), n, step)
        check(world, f"killed at point {n}, {killed}")
        if lives(world):
            world.crash()
        shutil.rmtree(world.folder)
        if killed is None:
            return passed
        passed.append(killed)
    raise AssertionError("a run has an end")


@pytest.mark.timeout(300)
def test_a_run_may_be_killed_here_and_there_and_nothing_moves_twice(memory: Path) -> None:
    assert len(every(memory, 7)) >= 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("step", [0, 3, 11])
def test_a_run_may_be_killed_at_any_point_and_the_next_life_too(memory: Path, step: int) -> None:
    passed = every(memory, 1, step)
    print(f"{len(passed)} points of {len(set(passed))} names")
    assert {"journal.commit.group.before", "journal.commit.group.after", "bank.write.request.before"} <= set(passed)
