"""Stories of the simulation over a journal on a real PostgreSQL and a real MariaDB: the same people, pools and kills."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import governed, sim
from tests.world.databases import database_for_tests

STORIES = ((13, frozenset(range(1, 25))), (2, frozenset(range(1, 25))))
"""Seeds, and which steps of each are run."""


@pytest.fixture(
    scope="module", params=[pytest.param(kind, marks=getattr(pytest.mark, kind)) for kind in ("postgresql", "mariadb")]
)
def server(request: pytest.FixtureRequest) -> str:
    """The kind of a server."""
    return str(request.param)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("seed", "keep"), STORIES)
def test_a_story_on_a_server_keeps_its_promises(server: str, seed: int, keep: frozenset[int], tmp_path: Path) -> None:
    sim.quiet()
    with database_for_tests(server, f"story{seed}") as url:
        story, world = governed.tell(seed, tmp_path, sim.governed_adapters(seed), keep=keep, url=url)
        if world.life is not None:
            world.crash()
    assert story.violations == []
    assert story.actions[governed.LINKED] and story.actions[governed.MOVED], dict(story.actions)
