"""The fixed corpus: a few seeds and every scene, with the traces they have for ever.

A trace changes only with a deliberate change of what the gateway says or when. Then: `python -m tests.world.sim
--write-corpus`, and look at the difference.
"""

from __future__ import annotations

import json
import zlib
from functools import cache
from pathlib import Path

from gateway.core.flow import TABLE
from gateway.simbank.faults import BankFault
from tests.gateway.core import decisions
from tests.world import scenes, scenes_between, scenes_repeats, sim
from tests.world.stage import SCENES
from tests.world.story import Story

FILE = Path(__file__).with_name("corpus.json")
SEEDS = (1, 2, 3, 5, 8, 13)
TOLD_IN = (scenes, scenes_repeats, scenes_between)
"""What registers the scenes."""
STORIES = (*map(str, SEEDS), *SCENES)
UNREACHABLE: dict[str, str] = {}
"""Rows that nothing can bring about in the simulated site, each with the reason. None is left."""


@cache
def played(name: str) -> Story:
    """One story of the corpus, played once a process. Raises AssertionError where a scene does not end as it must."""
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
    return [name for name in wanted if name not in rows] + [fault.value for fault in BankFault if fault.value not in faults]


def write() -> None:
    """Play the corpus and keep its traces; and what the table decides, beside them."""
    kept = {}
    for name in STORIES:
        story = played(name)
        assert not (name.isdigit() and story.violations), f"{name}: {story.violations}"
        kept[name] = story.trace
    FILE.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    decisions.write()
