"""Tests whether an altered journal makes the gateway pay twice or exceed rights: thousands of alterations without the
key.

    python -m tests.world.tampering --mutations 10000 --seed 1 --processes 2
    python -m tests.world.tampering --mutations 5000 --living 5000     # only while the daemon runs

Half of them, or as many as `--living` says, are made while the daemon runs: `living_tampering`. The others are made
between two lives: a daemon lives and dies (`tampered_life`), its journal is altered by SQL (`tamper_rows`), and it lives again, at a bank
that does not deduplicate, while nobody decides anything. `tampered_pools` is a life with cash pools, linked payments and
registered payees. Each next life runs in a process of its own, which is forked
with the banks' books as they were. A life that refuses to start, or stops a lane, is well. A payment executed twice or
an order executed that was over, held, stopped, above a limit or short of approvals is not; nor is a pool's transfer made
twice or over its mandate, or a linked payment sent before its money.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.world import living_tampering, tamper_rows, tampered_life, tampered_pools
from tests.world.living_tampering import LivingTotals
from tests.world.tamper_rows import ALONE, Alteration, Attacker
from tests.world.tampered_life import EndSituation, FinishedLife

MOST_AT_ONCE = 10
SHARES = {EndSituation.RUNNING: 4, EndSituation.STOPPED: 1, EndSituation.PAUSED: 1, EndSituation.POOLS: 3}
"""How many of the alterations each end of a life gets."""


@dataclass(slots=True)
class NextLifeResult:
    """The result of one next life: whether the alteration was noticed, and the forbidden executions."""

    taken: int = 0
    signs: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)
    looser: list[str] = field(default_factory=list)


@dataclass(slots=True)
class RunTotals:
    """The sums of a run. `kinds` counts alterations by kind, `noticed` those whose life showed a sign of it. `living` are
    the sums of the alterations made while the daemon runs."""

    drawn: int = 0
    lives: int = 0
    stopped: int = 0
    second: list[str] = field(default_factory=list)
    looser: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    living: LivingTotals = field(default_factory=LivingTotals)

    def add(self, other: RunTotals) -> None:
        """Add the sums of another process."""
        self.drawn += other.drawn
        self.lives += other.lives
        self.stopped += other.stopped
        self.second += other.second
        self.looser += other.looser
        self.kinds.update(other.kinds)
        self.noticed.update(other.noticed)
        self.living.add(other.living)

    @property
    def wrong(self) -> list[str]:
        """Every sentence about something that went wrong."""
        return [*self.second, *self.looser, *self.living.wrong]

    def line(self) -> str:
        """The last line of a run."""
        return (
            f"tamper: {self.drawn + self.living.drawn} mutations, {self.stopped} of {self.lives} lives refused or "
            f"stopped, {len(self.second) + len(self.living.second)} second executions, "
            f"{len(self.looser) + len(self.living.looser)} looser rights"
        )


def run(mutations: int, living: int, seed: int, processes: int = 1) -> RunTotals:
    """Draw this many alterations, `living` of them while the daemon runs, and judge each next life and each story. Each
    process draws from seeds of its own."""
    if processes == 1:
        return _run(mutations - living, living, seed)
    tally = RunTotals()
    between = _parts(mutations - living, processes)
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        seeds = [seed * 1_000 + n for n in range(processes)]
        for one in pool.map(_run_quietly, between, _parts(living, processes), seeds):
            tally.add(one)
    return tally


def _parts(number: int, processes: int) -> list[int]:
    parts = [number // processes] * processes
    parts[0] += number - sum(parts)
    return parts


def _run_quietly(between: int, living: int, seed: int) -> RunTotals:
    _quiet()
    return _run(between, living, seed)


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def _run(between: int, living: int, seed: int) -> RunTotals:
    tally = RunTotals()
    if living:
        tally.living = living_tampering.run(living, seed)
    if between:
        _between(between, seed, tally)
    return tally


def _between(mutations: int, seed: int, tally: RunTotals) -> None:
    _warm_up(seed)
    shares = [mutations * SHARES[one] // sum(SHARES.values()) for one in EndSituation]
    shares[0] += mutations - sum(shares)
    for n, (situation, share) in enumerate(zip(EndSituation, shares, strict=True)):
        folder = Path(tempfile.mkdtemp(prefix="bankgw-tamper-"))
        try:
            life = lived(folder, seed * 10 + n, situation)
            _alter(life, random.Random(f"tampering {seed} {situation.value}"), share, tally)
        finally:
            shutil.rmtree(folder)


def lived(folder: Path, seed: int, situation: EndSituation) -> FinishedLife:
    """Run the life that ends in this situation."""
    if situation is EndSituation.POOLS:
        return tampered_pools.lived(folder, seed)
    return tampered_life.lived(folder, seed, situation)


def _warm_up(seed: int) -> None:
    """Run one life and discard it, so that no forked process has to import or compile."""
    folder = Path(tempfile.mkdtemp(prefix="bankgw-tamper-"))
    try:
        lived(folder, seed, EndSituation.RUNNING).go_on()
    finally:
        shutil.rmtree(folder)


def _alter(life: FinishedLife, chance: random.Random, share: int, tally: RunTotals) -> None:
    gc.collect()
    gc.freeze()
    calm = _fork(life, ())
    assert set(calm.signs) <= {"alarm stopped"}, calm.signs
    assert not calm.second, calm.second
    assert not calm.looser, calm.looser
    _lay(life)
    copy = life.world.folder / "copy.db"
    copy.write_bytes(life.journal)
    attacker = Attacker(copy, life.older, chance)
    try:
        for some in _lives(attacker, share):
            heard = _fork(life, some)
            tally.lives += 1
            tally.drawn += len(some)
            tally.kinds.update(one.kind for one in some)
            signs = [one for one in heard.signs if one not in calm.signs]
            tally.stopped += bool(signs)
            tally.noticed.update(one.kind for one in some if signs)
            looser = [one for one in heard.looser if not (_is_limit(one) and _deletes_a_payment(some))]
            for found, all_found in ((heard.second, tally.second), (looser, tally.looser)):
                all_found += [f"{life.situation.value}: {one} [{_culprits(life, some)}]" for one in found]
    finally:
        attacker.close()


def _lives(attacker: Attacker, share: int) -> Iterator[list[Alteration]]:
    """The alterations of each life, at different places, so that none hides another."""
    waiting: dict[str, list[Alteration]] = defaultdict(list)
    for _ in range(share):
        one = attacker.draw()
        if one.place == ALONE:
            yield [one]
            continue
        waiting[one.place].append(one)
        while len(waiting) >= MOST_AT_ONCE:
            yield _firsts(waiting)
    while waiting:
        yield _firsts(waiting)


def _firsts(waiting: dict[str, list[Alteration]]) -> list[Alteration]:
    some = [queue.pop(0) for queue in list(waiting.values())[:MOST_AT_ONCE]]
    for place in [place for place, queue in waiting.items() if not queue]:
        del waiting[place]
    return some


def _is_limit(found: str) -> bool:
    return found.partition(" ")[0].endswith("-limit")


def _deletes_a_payment(some: Sequence[Alteration]) -> bool:
    """True if one of them deletes a payment. If it was counted and never sent, its amount is free again, and the sender
    has not paid more than its limit. If it was sent, the next life sends nothing."""
    texts = [[sql for sql, _values in one.statements] for one in some]
    return any(
        any(sql.startswith("delete from payments ") for sql in one)
        and not any(sql.startswith("insert into payments ") for sql in one)
        for one in texts
    )


def _culprits(life: FinishedLife, some: Sequence[Alteration]) -> str:
    """The alterations of a life that caused its result, each tried alone."""
    if len(some) > 1:
        alone = [one for one in some if (heard := _fork(life, [one])).second or heard.looser]
        some = alone or some
    return " + ".join(one.words for one in some)


def _lay(life: FinishedLife) -> None:
    """Restore journal and permit log as they were at the end of the life."""
    folder = life.world.folder
    for file in folder.glob("journal.db*"):
        file.unlink()
    (folder / "journal.db").write_bytes(life.journal)
    permits = life.world.permit_folder(life.world.node)
    shutil.rmtree(permits, ignore_errors=True)
    permits.mkdir(mode=0o700)
    for name, content in life.permits.items():
        Path(name).write_bytes(content)


def _fork(life: FinishedLife, some: Sequence[Alteration]) -> NextLifeResult:
    """Run the next life on the altered journal in a process of its own."""
    _lay(life)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            said = json.dumps(_next_life(life, some)).encode()
            with os.fdopen(writing, "wb") as out:
                out.write(said)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(child, 0)
    assert status == 0, f"the next life's process failed: {[one.words for one in some]}"
    return NextLifeResult(**json.loads(said))


def _next_life(life: FinishedLife, some: Sequence[Alteration]) -> dict[str, object]:
    taken = tamper_rows.applied(life.world.folder / "journal.db", some)
    signs: list[str] = []
    try:
        signs += life.go_on()
        signs += [f"alarm {name}" for name in tampered_life.alarms(life.world)]
    except Exception as error:  # the daemon's own reactor would have logged it, and gone on or ended
        signs.append(f"error: {error!r}"[:200])
    worse = life.worse()
    return {"taken": taken, "signs": signs, "second": list(worse.second), "looser": list(worse.looser)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.tampering", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--living", type=int, help="how many of them while the daemon runs; half if it is not said")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args(arguments)
    _quiet()
    began_s = time.monotonic()
    living = chosen.mutations // 2 if chosen.living is None else chosen.living
    tally = run(chosen.mutations, living, chosen.seed, chosen.processes)
    for kind, count in sorted(tally.kinds.items()):
        print(f"{kind}: {count}, of which {tally.noticed[kind]} were in a life that refused, stopped or told of it")
    for one in tally.wrong:
        print(one)
    print(f"{time.monotonic() - began_s:.0f} s")
    if tally.living.stories:
        print(tally.living.line())
    print(tally.line())
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
