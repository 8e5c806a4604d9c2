"""Every scene ends as it must, with an unchanged trace."""

from __future__ import annotations

import pytest

from tests.world import corpus, sim


@pytest.fixture(autouse=True)
def _quiet() -> None:
    sim.quiet()


@pytest.mark.parametrize("name", corpus.STORIES[len(corpus.SEEDS) :])
def test_scene(name: str) -> None:
    story = corpus.played(name)
    assert story.trace == corpus.traces().get(name), "a deliberate change: python -m tests.world.sim --write-corpus"
