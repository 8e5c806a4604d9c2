"""Mutation testing of the money core: does a test notice each small defect?

    python -m tests.world.mutate                  # all files; an hour or more on two cores
    python -m tests.world.mutate --file gateway/core/flow.py
    python -m tests.world.mutate --minutes 10     # as many as fit, in an order that mixes the files

Each mutant lives in a process of its own, forked from one that has loaded everything but the product. The file's own
tests and the simulation's scenes run first, slower ones for those that live through these; one failure kills it. A mutant that is the same program
in other words stands in equivalent.toml with the reason. The last line is `mutate: N mutants, K killed (P %), …`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.abc
import importlib.util
import io
import json
import os
import random
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.world.mutants import ROOT, Mutant, mutants_of

SCENES = "tests/world/test_scenes.py"
RELEVANT: dict[str, tuple[str, ...]] = {
    "gateway/core/flow.py": ("tests/gateway/core/test_decisions.py", "tests/gateway/core/test_flow.py", SCENES),
    "gateway/bank/sending.py": (SCENES, "tests/gateway/bank/test_sending.py", "tests/gateway/bank/test_repeats.py"),
    "gateway/bank/tenure.py": ("tests/gateway/bank/test_permit_gate.py", "tests/gateway/bank/test_tenure.py", SCENES),
    "gateway/erp/outbox.py": ("tests/gateway/erp/test_outbox.py", SCENES),
    "protocols/erp/fingerprint.py": ("tests/protocols/erp/test_fingerprint.py",),
    "protocols/erp/canonical.py": ("tests/protocols/erp/test_fingerprint.py", "tests/protocols/erp/test_commands.py"),
}  # fmt: skip
SLOW: dict[str, tuple[str, ...]] = {
    "gateway/core/flow.py": ("tests/gateway/core/test_model.py",),
    "gateway/bank/sending.py": ("tests/gateway/bank/test_lane.py", "tests/world/test_crash_points.py"),
    "gateway/bank/tenure.py": ("tests/gateway/bank/test_lane.py", "tests/world/test_crash_points.py"),
}
"""What those must pass, too, that live through the quick tests."""
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
LIMIT_CPU_S, LIMIT_WALL_S = 240, 1_200
"""What one mutant's tests may cost. A busy machine makes them slow, not expensive: it must not be what kills one."""
GOAL = 0.95
SURVIVORS = ROOT / ".run" / "mutate.json"


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module another source."""

    def __init__(self, mutant: Mutant) -> None:
        self._module = mutant.file.removesuffix(".py").replace("/", ".")
        self._source = mutant.source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Only for that module."""
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self, origin="mutant")

    def exec_module(self, module: ModuleType) -> None:
        """Run the other source."""
        exec(compile(self._source, "mutant", "exec"), module.__dict__)  # noqa: S102 - that is what it is for


def equivalent() -> dict[str, str]:
    """Mutants that are the same program in other words, by name, with the reason."""
    with EQUIVALENT.open("rb") as file:
        return {one["mutant"]: one["reason"] for one in tomllib.load(file).get("equivalent", [])}


def _judge(mutant: Mutant | None, tests: Sequence[str]) -> int:
    """In a child: pytest's exit code with the mutant in place."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, _Planted(mutant))
    sink = io.StringIO()
    words = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "-m", "not slow and not broker", *tests]
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        return int(pytest.main(words))


def _fork(mutant: Mutant | None, tests: Sequence[str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    os.setsid()
    os.environ["CI"] = "mutate"  # the same examples for every mutant
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    # A mutant that hangs is dead, too.
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, LIMIT_CPU_S))
    signal.alarm(LIMIT_WALL_S)
    code = 1
    try:
        code = _judge(mutant, tests)
    finally:
        os._exit(0 if code == 0 else 1)


def survivors(mutants: Sequence[Mutant], processes: int, until_s: float) -> tuple[list[Mutant], int]:
    """Those that every relevant test passes with, and how many were tried before the time was up."""
    quick, tried = _lived(mutants, RELEVANT, processes, until_s)
    slow = [mutant for mutant in quick if mutant.file in SLOW]
    noticed = set(slow) - set(_lived(slow, SLOW, processes)[0])
    return [mutant for mutant in quick if mutant not in noticed], tried


def _lived(
    mutants: Sequence[Mutant], tests: dict[str, tuple[str, ...]], processes: int, until_s: float = float("inf")
) -> tuple[list[Mutant], int]:
    left: list[Mutant] = list(reversed(mutants))
    lived: list[Mutant] = []
    running: dict[int, Mutant] = {}
    began_s, done = time.monotonic(), 0
    while running or (left and time.monotonic() < until_s):
        while left and len(running) < processes and time.monotonic() < until_s:
            mutant = left.pop()
            running[_fork(mutant, tests[mutant.file])] = mutant
        pid, status = os.wait()
        mutant = running.pop(pid)
        done += 1
        if os.WIFSIGNALED(status):
            print(f"hangs, which is noticed: {mutant.name}", flush=True)
        if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
            lived.append(mutant)
            print(f"lives: {mutant.name}", flush=True)
        if done % 50 == 0:
            print(f"  {done} of {len(mutants)}, {len(lived)} survived, {time.monotonic() - began_s:.0f} s", file=sys.stderr)
    return lived, done


def _preload() -> None:
    """What every child needs and no mutant touches."""
    import hypothesis
    import lxml.etree
    import prometheus_client
    import pydantic
    import pytest_twisted
    import sqlalchemy.dialects.sqlite
    import structlog
    import twisted.internet.defer

    assert all((hypothesis, lxml, prometheus_client, pydantic, pytest_twisted, sqlalchemy, structlog, twisted))


def main(arguments: list[str]) -> int:
    """Plant them all; the exit code is 0 if enough were noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.mutate")
    parser.add_argument("--file", choices=sorted(RELEVANT))
    parser.add_argument("--only", help="mutants whose names contain this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--every", type=int, default=1, help="only every n-th mutant: a quick look")
    parser.add_argument("--minutes", type=float, help="begin no more mutants after that; they are mixed, by one seed")
    asked = parser.parse_args(arguments)
    until_s = time.monotonic() + asked.minutes * 60 if asked.minutes is not None else float("inf")
    os.chdir(ROOT)
    _preload()
    files = [asked.file] if asked.file else list(RELEVANT)
    for file in files:
        pid = _fork(None, RELEVANT[file])
        if os.WEXITSTATUS(os.waitpid(pid, 0)[1]):
            print(f"mutate: the tests of {file} fail without any mutant")
            return 2
    same = equivalent()
    every = [mutant for file in files for mutant in mutants_of(file) if asked.only is None or asked.only in mutant.name]
    every = every[:: asked.every]
    wanted = [mutant for mutant in every if mutant.name not in same]
    if asked.minutes is not None:
        random.Random(1).shuffle(wanted)
    lived, tried = survivors(wanted, asked.processes, until_s)
    SURVIVORS.parent.mkdir(exist_ok=True)
    SURVIVORS.write_text(json.dumps([mutant.name for mutant in lived], indent=1, ensure_ascii=False) + "\n", "utf-8")
    killed = tried - len(lived)
    share = killed / max(tried, 1)
    of = "" if tried == len(wanted) else f" of {len(wanted)}"
    print(
        f"mutate: {tried}{of} mutants, {killed} killed ({100 * share:.1f} %), {len(every) - len(wanted)} equivalent, "
        f"survivors listed in {SURVIVORS.relative_to(ROOT)}"
    )
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
