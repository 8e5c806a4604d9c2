"""A planted double-send is caught by the model, by the simulation and (tests/faults) by the campaign alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simbank.ledger import BookingRules
from tests.world import sim
from tests.world.explore import explore
from tests.world.history import violations
from tests.world.planted import doubled
from tests.world.policies import BAD
from tests.world.policy import DOUBLE
from tests.world.world import World


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


def test_the_model_catches_it() -> None:
    planted = next(policy for policy in BAD if policy.name == "planted")
    assert explore(planted).broken == DOUBLE


@pytest.mark.parametrize("planted", [True, False])
def test_the_simulation_catches_it(planted: bool, tmp_path: Path) -> None:
    """Without the defect the same forgetful bank books each payment once."""
    wrap = (lambda _life, parts: doubled(parts)) if planted else None
    world = World(tmp_path, banks=("pab",), conduct=BookingRules(dedup=False), wrap=wrap)
    world.start()
    world.run(5)
    for n in range(5):
        world.submit(f"AP-{n}")
    world.run(60)
    twice = [violation for violation in violations(world) if "executed twice" in violation]
    assert len(twice) == (5 if planted else 0)


def test_the_simulated_stories_catch_it(tmp_path: Path) -> None:
    world = World(
        tmp_path, 1, banks=("pab",), conduct=BookingRules(dedup=False), wrap=lambda _life, parts: doubled(parts)
    )
    story = sim.tell(1, tmp_path, orders=20, world=world)
    assert any("executed twice" in violation for violation in story.violations)
