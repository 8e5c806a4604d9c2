"""A failing story is cut down to the steps that it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.simbank.ledger import BookingRules
from tests.world import sim
from tests.world.planted import doubled
from tests.world.reduce import first_difference, reduced, shape
from tests.world.story import Story
from tests.world.world import World


def _story(steps: list[int], *, needs: set[int]) -> Story:
    story = Story(1, steps=[(step, "order") for step in steps], decided=[f"{step}" for step in steps])
    if needs <= set(steps):
        story.violations = [f"AP-1-{min(needs)} (01M7Q): told settled, the bank says None"]
    return story


@pytest.mark.parametrize("needs", [{7}, {3, 90}, {1, 50, 100}, {41, 42, 43, 44}])
def test_only_the_steps_that_it_needs_are_left(needs: set[int]) -> None:
    whole = _story(list(range(1, 101)), needs=needs)
    found = reduced(whole, lambda keep: _story(sorted(keep), needs=needs))
    assert {step for step, _action in found.failing.steps} == needs
    if len(needs) > 1:
        assert found.needless and found.passing is not None
        assert found.passing.violations == [] and len(found.passing.steps) == len(needs) - 1


def test_a_story_that_fails_otherwise_is_another_story() -> None:
    def told(keep: frozenset[int]) -> Story:
        story = _story(sorted(keep), needs={2, 5})
        story.violations = story.violations or ["a zombie said 3 words to a bank"]
        return story

    whole = _story([1, 2, 3, 4, 5, 6], needs={2, 5})
    assert [step for step, _action in reduced(whole, told).failing.steps] == [2, 5]


def test_violations_are_compared_without_names() -> None:
    one, other = "AP-1-15 (01M7Q5CQNP): told failed", "AP-1-7-2 (01M9XXXXX0): told failed"
    assert shape(one) == shape(other) != shape("AP-1-15 (01M7Q5CQNP): told settled")


def test_the_first_difference_is_told_with_what_came_before() -> None:
    said = first_difference(["a", "b", "c", "d"], ["a", "b", "x"])
    assert said == ["    both     a", "    both     b", "    failing  c", "    passing  x"]
    assert first_difference(["a"], ["a", "b"])[-2:] == ["    failing  nothing more", "    passing  b"]


def test_steps_stay_what_they_are_when_others_are_left_out(tmp_path: Path) -> None:
    """A real story with a planted defect is reduced to one order."""
    sim.quiet()
    seen = 0

    def told(keep: frozenset[int] | None) -> Story:
        nonlocal seen
        seen += 1
        folder = tmp_path / str(seen)
        folder.mkdir()
        world = World(
            folder, 1, banks=("pab",), conduct=BookingRules(dedup=False), wrap=lambda _life, parts: doubled(parts)
        )
        return sim.tell(1, folder, orders=6, world=world, keep=keep)

    whole = told(None)
    found = reduced(whole, told)
    assert len(found.failing.steps) == 1 < len(whole.steps)
    assert found.failing.steps[0] in whole.steps
    assert any("executed twice" in violation for violation in found.failing.violations)
