"""The fixed corpus: a few seeds and every scene, with traces that never change.

A trace changes only with a deliberate change of what the gateway says or when. Then: `python -m tests.world.sim
--write-corpus`, and look at the difference.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

from gateway.kernel.core.flow import TABLE
from gateway.simbank.faults import BankFault
from tests.gateway.kernel.core import decisions
from tests.world import (
    scenes,
    scenes_amnesia,
    scenes_between,
    scenes_broker,
    scenes_mandates,
    scenes_persons,
    scenes_pools,
    scenes_repeats,
    scenes_seals,
    scenes_seals_of_pools,
    sim,
)
from tests.world.stage import SCENES
from tests.world.story import Story

FILE = Path(__file__).with_name("corpus.json")
SEEDS = (1, 2, 3, 5, 8, 13)
TOLD_IN = (
    scenes,
    scenes_repeats,
    scenes_between,
    scenes_amnesia,
    scenes_persons,
    scenes_mandates,
    scenes_seals,
    scenes_seals_of_pools,
    scenes_pools,
    scenes_broker,
)
"""The modules that register the scenes."""
STORIES = (*map(str, SEEDS), *SCENES)
UNREACHABLE: dict[str, str] = {}
"""Rows that nothing can reach in the simulated site, each with the reason. There are none."""


@cache
def played(name: str) -> Story:
    """Run one story of the corpus, at most once in a process. Raises AssertionError if a scene does not end as it
    must."""
    with sim.memory_folder() as folder:
        if name.isdigit():
            return sim.tell(int(name), folder)
        story = Story(zlib.crc32(name.encode()))
        sim.close(story, SCENES[name](folder))
        return story


def traces() -> dict[str, str]:
    """The committed traces by story."""
    kept: dict[str, str] = json.loads(FILE.read_text("utf-8"))
    return kept


def unreached() -> list[str]:
    """Rows of the table and kinds of faults that no story of the corpus reaches."""
    stories = [played(name) for name in STORIES]
    rows = {rule for story in stories for rule in story.rules}
    faults = {fault for story in stories for fault in story.faults}
    wanted = [rule.name for rule in TABLE if rule.name not in UNREACHABLE]
    return [name for name in wanted if name not in rows] + [
        fault.value for fault in BankFault if fault.value not in faults
    ]


def keep_traces() -> None:
    """Run the corpus and store its traces, and what the state table decides."""
    kept = {}
    for name in STORIES:
        story = played(name)
        assert not (name.isdigit() and story.violations), f"{name}: {story.violations}"
        kept[name] = story.trace
    FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    decisions.keep_decisions()
