"""The simulation as a test: a fixed corpus whose traces never change, and fresh seeds each day."""

from __future__ import annotations

import datetime
import json
import time
from pathlib import Path

import pytest

from tests.world import sim
from tests.world.history import violations

CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text("utf-8"))
DAILY_S = 30.0


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [int(seed) for seed in CORPUS])
def test_a_seed_tells_the_same_story_for_ever(seed: int, tmp_path: Path) -> None:
    story = sim.tell(seed, tmp_path)
    assert story.violations == []
    assert story.trace == CORPUS[str(seed)], "a deliberate change: python -m tests.world.sim --write-corpus"


@pytest.mark.timeout(180)
def test_the_seeds_of_the_day(tmp_path: Path) -> None:
    first = datetime.date.today().toordinal() * 1_000
    until_s, seed = time.monotonic() + DAILY_S, first
    while time.monotonic() < until_s:
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert sim.tell(seed, folder).violations == [], f"rerun: python -m tests.world.sim --seed {seed}"
        seed += 1
    assert seed > first


def test_a_bank_that_books_twice_is_seen(tmp_path: Path) -> None:
    """The history checker has teeth: a planted second execution is counted."""
    world = sim.quick_world(tmp_path)
    world.start()
    world.submit("AP-1")
    world.run(5)
    [execution] = world.bank.ledger.executions
    world.bank.ledger.executions.append(execution)
    assert any("executed twice" in violation for violation in violations(world))
