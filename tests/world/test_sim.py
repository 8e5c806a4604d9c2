"""The simulation as a test: a fixed corpus whose traces never change, and fresh seeds each day."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest

from gateway.kernel.core.flow import TABLE
from tests.world import corpus, sim
from tests.world.clock import HeapClock
from tests.world.history import standing, violations
from tests.world.life_clock import LifeClock
from tests.world.story import StoryTotals

# With the corpus, which takes as long, well under the 120 s that the simulation may take of `make test`.
DAILY_S = 30.0
DAILY_LEAST = 6


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", [str(seed) for seed in corpus.SEEDS])
def test_a_seed_tells_the_same_story_for_ever(name: str) -> None:
    story = corpus.played(name)
    assert story.violations == []
    assert story.trace == corpus.traces().get(name), "a deliberate change: python -m tests.world.sim --write-corpus"


def test_the_corpus_is_complete() -> None:
    assert set(corpus.traces()) == set(corpus.STORIES), "python -m tests.world.sim --write-corpus"


@pytest.mark.timeout(120)
def test_every_row_of_the_table_and_every_fault_is_reached() -> None:
    assert corpus.unreached() == []
    assert set(corpus.UNREACHABLE) <= {rule.name for rule in TABLE}


@pytest.mark.timeout(120)
def test_a_story_told_twice_is_the_same(tmp_path: Path) -> None:
    assert sim.tell(4, tmp_path, orders=40).trace == sim.tell(4, _other(tmp_path), orders=40).trace


def test_what_a_killed_life_leaves_to_the_garbage_collector_does_nothing() -> None:
    """Python ends a dead life's coroutines whenever it finds them. The world, and so the trace, must not notice."""
    clock = HeapClock()
    ran: list[object] = []
    life = LifeClock(clock)
    life.dead = True
    life.later(1.0, ran.append, "still here").cancel()
    life.later(1.0, ran.append, "still here")
    clock.advance(10.0)
    assert (clock.scheduled, ran) == (0, [])


def _other(folder: Path) -> Path:
    other = folder / "again"
    other.mkdir()
    return other


@pytest.mark.timeout(180)
def test_the_seeds_of_the_day() -> None:
    first = datetime.date.today().toordinal() * 1_000
    until_s, sums = time.monotonic() + DAILY_S, StoryTotals()
    # Where pytest has a worker for each core, a pool beside it would only be in the way.
    processes = 1 if "PYTEST_XDIST_WORKER" in os.environ else os.cpu_count() or 1
    for story in sim.tell_many(range(first, first + 1_000), processes):
        sums.add(story)
        assert story.violations == [], f"rerun: python -m tests.world.sim --seed {story.seed}"
        # One story may have few payments; the average of several has many.
        if time.monotonic() > until_s and sums.played >= DAILY_LEAST:
            break
    print(sums.last_line())
    assert sums.payments >= 200 * sums.played > 0


def test_a_payment_that_stands_still_is_seen(tmp_path: Path) -> None:
    world = sim.quick_world(tmp_path)
    life = world.start()
    life.gateway.lanes["sample.main"].pause("test")
    world.submit("AP-1")
    world.submit("AP-2", not_before=world.moment(3_600.0))
    world.run(5)
    assert standing(world) == []
    world.run(10)
    [found] = standing(world)
    assert found.startswith("AP-1 may be sent")


def test_a_bank_that_books_twice_is_seen(tmp_path: Path) -> None:
    """The history checker counts a planted second execution."""
    world = sim.quick_world(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    [execution] = world.bank.ledger.executions
    world.bank.ledger.executions.append(execution)
    assert any("executed twice" in violation for violation in violations(world))
