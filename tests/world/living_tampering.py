"""Alterations of a journal by SQL while the daemon runs: each story goes on from a moment of one life, in a process of
its own that is forked with the whole world as it is.

    python -m tests.world.tampering --mutations 5000 --living 5000 --seed 1

The forked process uses the open database of its parent, which waits meanwhile. Then every file is written back in place
as it was, so that the parent's connections find what they have left.
"""

from __future__ import annotations

import gc
import json
import os
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.world import tamper_rows, tampered_life
from tests.world.living_story import LAST_S, Acts, LivingStory, Site, Verdict
from tests.world.tamper_rows import Alteration, Attacker

AT_ONCE = 12
"""The alterations of one story."""
LEAST_GOING_ON = 0.7
"""The least share of the stories that must pay an order given after their first alteration."""
MOMENTS = 2
"""The moments of a life from which stories go on."""
SHARES = {Site.ONE: 3, Site.TWO: 1}
"""How many of the stories each site gets."""


@dataclass(frozen=True, slots=True)
class TimedAlteration:
    """An alteration, and the time of the story at which it is made."""

    at_s: float
    alteration: Alteration


@dataclass(slots=True)
class LivingTotals:
    """The sums of the stories. `went_on`: stories that paid an order given after their first alteration. `kinds` counts
    alterations by kind, `taken` those that the database accepted and that changed a row."""

    stories: int = 0
    drawn: int = 0
    taken: int = 0
    went_on: int = 0
    ended: int = 0
    halted: int = 0
    told: int = 0
    second: list[str] = field(default_factory=list)
    looser: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, other: LivingTotals) -> None:
        """Add the sums of another process."""
        for name in ("stories", "drawn", "taken", "went_on", "ended", "halted", "told"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.second += other.second
        self.looser += other.looser
        self.contradicted += other.contradicted
        self.untold += other.untold
        self.kinds.update(other.kinds)

    @property
    def wrong(self) -> list[str]:
        """Every sentence about something that went wrong."""
        return [*self.second, *self.looser, *self.contradicted, *self.untold]

    def line(self) -> str:
        """The last line of a run."""
        share = round(100 * self.went_on / max(1, self.stories))
        return (
            f"living: {self.drawn} mutations of a running daemon's journal, {self.went_on} of {self.stories} stories went on "
            f"({share} %), {self.halted} stopped a lane, {self.ended} ended a process, {self.told} told of it, "
            f"{len(self.second)} second executions, {len(self.looser)} looser rights, "
            f"{len(self.contradicted)} contradictions, {len(self.untold)} untold"
        )


def run(mutations: int, seed: int) -> LivingTotals:
    """Make this many alterations over the sites, and judge each story."""
    totals = LivingTotals()
    stories = max(len(SHARES) * MOMENTS, -(-mutations // AT_ONCE))
    for n, (site, share) in enumerate(SHARES.items()):
        count = max(MOMENTS, stories * share // sum(SHARES.values()))
        with living(seed * 10 + n, site) as moments:
            for moment, story in enumerate(moments):
                for one in range(count * moment // MOMENTS, count * (moment + 1) // MOMENTS):
                    _tell(story, f"living {seed} {site.value} {moment} {one}", totals)
    return totals


@contextmanager
def living(seed: int, site: Site) -> Iterator[Iterator[LivingStory]]:
    """The life of a site, at each of its moments."""
    folder = Path(tempfile.mkdtemp(prefix="bankgw-living-"))
    try:
        story = LivingStory(folder, seed, site)
        yield (story for _moment_s in story.begin())
    finally:
        shutil.rmtree(folder)


def _tell(story: LivingStory, seed: str, totals: LivingTotals) -> None:
    said = forked(story, partial(_drawn, seed=seed))
    found = Verdict(**said["verdict"])
    some = [_timed(one) for one in said["made"]]
    totals.stories += 1
    totals.drawn += len(some)
    totals.taken += said["taken"]
    totals.went_on += found.went_on
    totals.ended += bool(found.ended)
    totals.halted += bool(found.halted)
    totals.told += bool(found.signs)
    totals.kinds.update(one.alteration.kind for one in some)
    if found:
        words = _culprits(story, seed, some)
        for name in ("second", "looser", "contradicted", "untold"):
            getattr(totals, name).extend(f"{seed}: {one} [{words}]" for one in getattr(found, name))


def _culprits(story: LivingStory, seed: str, some: Sequence[TimedAlteration]) -> str:
    """The alterations that caused the result, each tried alone."""
    alone = [one for one in some if heard(story, seed, [one])]
    return " + ".join(f"{one.at_s:.2f} s {one.alteration.words}" for one in (alone or some))


def heard(story: LivingStory, seed: str, some: Sequence[TimedAlteration]) -> Verdict:
    """The verdict about the story of this seed with exactly these alterations."""
    return Verdict(**forked(story, partial(_replayed, seed=seed, some=some))["verdict"])


def played(story: LivingStory, acts: Callable[[LivingStory], Acts]) -> Verdict:
    """The verdict about a story of these acts."""

    def tell(story: LivingStory) -> dict[str, Any]:
        story.go_on(acts(story))
        return _said(story, [], 0)

    return Verdict(**forked(story, tell)["verdict"])


# ---- in the forked process ---------------------------------------------------------------------------------------


def _drawn(story: LivingStory, seed: str) -> dict[str, Any]:
    """Tell the story of this seed, and draw its alterations from the journal as it is at their moments."""
    chance = random.Random(f"{seed} alterations")
    acts = story.script(random.Random(seed))
    journal = story.world.folder / "journal.db"
    attacker = Attacker(journal, story.older, chance)
    made: list[TimedAlteration] = []
    taken: list[int] = []
    began_s = story.now_s

    def alter() -> None:
        one = attacker.draw()
        made.append(TimedAlteration(story.now_s - began_s, one))
        taken.append(altered(story, one))

    for _ in range(AT_ONCE):
        # Half of them come shortly after an act, while its payment is on its way.
        soon = chance.random() < 0.5  # noqa: PLR2004
        at_s = chance.choice(acts)[0] + chance.choice((0.005, 0.05, 0.5)) if soon else chance.uniform(0.0, LAST_S - 5)
        acts.append((min(at_s, LAST_S - 2), alter))
    acts.append((chance.uniform(5.0, 30.0), lambda: attacker.remember(_copied(story))))
    story.go_on(sorted(acts, key=lambda one: one[0]))
    return _said(story, made, sum(taken))


def _replayed(story: LivingStory, seed: str, some: Sequence[TimedAlteration]) -> dict[str, Any]:
    acts = story.script(random.Random(seed))
    acts += [(one.at_s, partial(altered, story, one.alteration)) for one in some]
    story.go_on(sorted(acts, key=lambda one: one[0]))
    return _said(story, some, len(some))


def _said(story: LivingStory, made: Sequence[TimedAlteration], taken: int) -> dict[str, Any]:
    return {
        "verdict": asdict(story.judged()),
        "taken": taken,
        "made": [[one.at_s, one.alteration.kind, one.alteration.words, one.alteration.statements] for one in made],
    }


def altered(story: LivingStory, one: Alteration) -> int:
    """Make an alteration. Returns 1 if the database accepted it and a row changed, else 0."""
    taken = tamper_rows.applied(story.world.folder / "journal.db", [one], checkpoint=False)
    if taken and story.altered_s is None:
        story.altered_s = story.now_s
    return taken


def _copied(story: LivingStory) -> Path:
    tampered_life.copy(story.world, story.older)
    return story.older[-1]


def _timed(said: Sequence[Any]) -> TimedAlteration:
    at_s, kind, words, statements = said
    return TimedAlteration(
        at_s, Alteration(kind, words, "", tuple((sql, _values(values)) for sql, values in statements))
    )


def _values(said: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(bytes.fromhex(one["hex"]) if isinstance(one, dict) else one for one in said)


def _plain(value: object) -> object:
    assert isinstance(value, bytes), value
    return {"hex": value.hex()}


def forked(story: LivingStory, tell: Callable[[LivingStory], dict[str, Any]]) -> dict[str, Any]:
    """What `tell` returns in a process of its own. The story of this process stays as it is."""
    folder = story.world.folder
    kept = folder.with_name(f"{folder.name}-kept")
    kept.mkdir()
    before = _kept(folder, kept)
    gc.collect()
    gc.freeze()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            said = json.dumps(tell(story), default=_plain).encode()
            with os.fdopen(writing, "wb") as out:
                out.write(said)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        raw = pipe.read()
    _pid, status = os.waitpid(child, 0)
    _lay(folder, kept, before)
    assert status == 0, "the story's process failed"
    found: dict[str, Any] = json.loads(raw)
    return found


def _kept(folder: Path, kept: Path) -> dict[Path, tuple[Path, bytes]]:
    """A second name and the content of every file, so that this process's open files can be put back, even if the
    forked one replaces them by others."""
    found: dict[Path, tuple[Path, bytes]] = {}
    for n, file in enumerate(sorted(one for one in folder.rglob("*") if one.is_file())):
        link = kept / str(n)
        link.hardlink_to(file)
        found[file] = link, file.read_bytes()
    return found


def _lay(folder: Path, kept: Path, before: dict[Path, tuple[Path, bytes]]) -> None:
    """Put every file back, in place: this process has them open."""
    for file in [one for one in folder.rglob("*") if one.is_file()]:
        file.unlink()
    for file, (link, content) in before.items():
        with link.open("r+b") as there:
            there.write(content)
            there.truncate()
        file.hardlink_to(link)
    shutil.rmtree(kept)
