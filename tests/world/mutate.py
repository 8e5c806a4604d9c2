"""Mutation testing of the money core: does a test notice each small defect?

    python -m tests.world.mutate                  # all files; an hour of processor time, or less
    python -m tests.world.mutate --file gateway/kernel/core/flow.py
    python -m tests.world.mutate --minutes 10     # as many as fit, in an order that mixes the files
    python -m tests.world.mutate --again          # those that lived last time

Each mutant lives in a process of its own, forked from one that has loaded all that does not import it. It meets the test
that noticed it last time, then its file's tests, those that notice most for their cost first; one failure kills it. A
mutant that is the same program in other words stands in equivalent.toml with the reason. The last line is
`mutate: N mutants, K killed (P %), …`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
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
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.world.mutants import ROOT, Mutant, mutants_of

SCENES = "tests/world/test_scenes.py"
CRASHES = "tests/world/test_crash_points.py"
STAGES: dict[str, tuple[tuple[str, ...], ...]] = {
    "gateway/kernel/core/flow.py": (
        ("tests/gateway/kernel/core/test_decisions.py",),
        ("tests/gateway/kernel/core/test_flow.py", "tests/gateway/kernel/core/test_flow_late.py"),
        ("tests/gateway/kernel/core/test_model.py",),
    ),
    "gateway/kernel/core/guards.py": (
        ("tests/gateway/kernel/core/test_decisions.py",),
        ("tests/gateway/kernel/core/test_flow.py", "tests/gateway/kernel/core/test_flow_late.py"),
        ("tests/gateway/kernel/core/test_model.py",),
    ),
    "gateway/bank/dispatch.py": (
        ("tests/gateway/bank/test_dispatch_alone.py", "tests/gateway/bank/test_dispatch_repeats.py"),
        ("tests/gateway/bank/test_dispatch.py", "tests/gateway/bank/test_repeats.py"),
        ("tests/gateway/bank/test_dispatch_bundles.py", SCENES),
        ("tests/gateway/bank/test_lane.py", "tests/gateway/bank/test_lane_leaving.py", CRASHES),
    ),
    "gateway/bank/send_gate.py": (
        ("tests/gateway/bank/test_dispatch_alone.py", "tests/gateway/bank/test_dispatch_repeats.py"),
        (
            "tests/gateway/bank/test_dispatch.py",
            "tests/gateway/bank/test_repeats.py",
            "tests/gateway/control/test_pauses.py",
        ),
        ("tests/gateway/control/test_stop_all.py", SCENES),
    ),
    "gateway/bank/recorder.py": (
        ("tests/gateway/bank/test_recorder.py",),
        ("tests/gateway/bank/test_dispatch.py", SCENES),
    ),
    "gateway/bank/outgoing.py": (
        ("tests/gateway/bank/test_dispatch_alone.py", "tests/gateway/bank/test_dispatch_repeats.py"),
        ("tests/gateway/bank/test_dispatch_bundles.py",),
    ),
    "gateway/bank/connection.py": (
        ("tests/gateway/bank/test_connection.py", "tests/gateway/bank/test_at_the_write.py"),
        ("tests/gateway/bank/test_session_pool.py",),
        ("tests/gateway/bank/test_dispatch.py", SCENES),
    ),
    "gateway/bank/clock_trust.py": (
        ("tests/gateway/bank/test_clock_trust.py",),
        ("tests/gateway/bank/test_repeats.py", "tests/gateway/bank/test_lane.py"),
    ),
    "gateway/bank/lease.py": (
        ("tests/gateway/bank/test_permit_gate.py",),
        ("tests/gateway/bank/test_lease.py", SCENES),
        (
            "tests/gateway/test_leaving.py",
            "tests/gateway/bank/test_lane.py",
            "tests/gateway/bank/test_lane_leaving.py",
            CRASHES,
        ),
    ),
    "gateway/erp/outbox.py": (
        ("tests/gateway/erp/test_outbox_alone.py", "tests/gateway/erp/test_outbox.py"),
        (SCENES,),
    ),
    "protocols/erp/fingerprint.py": (("tests/protocols/erp/test_fingerprint.py",),),
    "protocols/erp/canonical.py": (
        ("tests/protocols/erp/test_fingerprint.py",),
        ("tests/protocols/erp/test_commands.py",),
    ),
    "gateway/payments/rows/limits.py": (
        ("tests/gateway/payments/test_admission.py",),
        ("tests/gateway/kernel/test_payment_cache.py", "tests/gateway/payments/test_batches.py"),
        ("tests/gateway/erp/test_intake.py", SCENES),
    ),
    "gateway/kernel/commit/audit.py": (
        ("tests/gateway/kernel/test_audit.py", "tests/gateway/kernel/test_sealed.py"),
        (
            "tests/gateway/kernel/test_committer.py",
            "tests/gateway/kernel/test_failed_groups.py",
            "tests/gateway/payments/test_timeline.py",
            "tests/gateway/control/test_verbs.py",
        ),
    ),
    "gateway/erp/intake.py": (
        ("tests/gateway/erp/test_intake.py",),
        ("tests/gateway/erp/test_unread.py", "tests/gateway/test_bad_input.py"),
        ("tests/gateway/payments/test_batch_commands.py", CRASHES),
    ),
    "gateway/people/rows/proposals.py": (
        ("tests/gateway/cli/test_resolve.py",),
        ("tests/gateway/cli/test_from_the_past.py", "tests/gateway/control/test_server.py"),
    ),
    "gateway/settings/agreement.py": (
        ("tests/gateway/test_settings.py",),
        ("tests/gateway/control/test_settings_check.py",),
    ),
    "gateway/settings/reading.py": (("tests/gateway/test_settings.py",), ("tests/gateway/cli/test_reload.py",)),
    **dict.fromkeys(
        (
            f"protocols/kit/iso20022/{part}.py"
            for part in ("account", "debit", "lines", "names", "parts", "report", "schema", "transfer")
        ),
        (("tests/protocols/kit/iso20022",), ("tests/protocols/banks/finws", "tests/protocols/erp/iso")),
    ),
    **dict.fromkeys(
        (f"protocols/banks/pab/{part}.py" for part in ("payment", "batch", "table", "rows")),
        (("tests/protocols/banks/pab",), ("tests/protocols/banks/every",)),
    ),
    "protocols/kit/meanings.py": (("tests/protocols/kit/test_meanings.py",), ("tests/protocols/banks/spdb",)),
    "protocols/kit/correlation.py": (("tests/protocols/kit/test_correlation.py",), ("tests/protocols/banks/cmb",)),
    "protocols/kit/orders.py": (("tests/protocols/kit/test_orders.py",), ("tests/protocols/banks/citic",)),
    "protocols/kit/sign_port.py": (("tests/protocols/kit/test_sign_port.py",), ("tests/protocols/banks/icbc",)),
}
"""The tests of each file, those that find most for their cost first: a mutant that survives one stage meets the
next."""
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
SPARE_CPU_S, LIMIT_WALL_S = 10.0, 1_200
"""A mutant's tests may cost twice what they cost without one, and this much more; then it counts as hanging. A busy
machine makes tests slow without more CPU time, so that it kills no mutant."""
GOAL, GOAL_EACH = 0.95, 0.90
"""The goals for all mutants, and for those of each file."""
LIBRARIES = (
    "asn1crypto.x509",
    "cryptography.x509",
    "hypothesis",
    "lxml.etree",
    "OpenSSL.SSL",
    "pika",
    "prometheus_client",
    "pydantic",
    "pytest_twisted",
    "service_identity",
    "sqlalchemy.dialects.mysql",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "twisted.internet.defer",
    "zope.interface",
)
SURVIVORS = ROOT / ".run" / "mutate.json"
KILLERS = ROOT / ".run" / "killers.json"
"""The test that noticed each mutant last time, which is tried first."""


class _Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """An importer that loads one module from another source."""

    def __init__(self, mutant: Mutant) -> None:
        self._module = mutant.file.removesuffix(".py").replace("/", ".")
        self._source = mutant.source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find that module only."""
        if name != self._module:
            return None
        return importlib.util.spec_from_loader(name, self, origin="mutant")

    def exec_module(self, module: ModuleType) -> None:
        """Execute the other source in place of the module."""
        exec(compile(self._source, "mutant", "exec"), module.__dict__)  # noqa: S102 - that is what it is for


def equivalent() -> dict[str, str]:
    """Mutants that are equivalent to the program, by name, with the reason."""
    with EQUIVALENT.open("rb") as file:
        return {one["mutant"]: one["reason"] for one in tomllib.load(file).get("equivalent", [])}


def _kept(file: Path) -> Any:
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def _keep(file: Path, said: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", "utf-8")


class _FirstFailure:
    """A plugin of pytest that keeps the name of the first test that failed."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the name of the first test that failed (pytest's hook)."""
        if report.failed:
            self.name = self.name or report.nodeid


def _judge(mutant: Mutant | None, tests: Sequence[str]) -> tuple[int, str]:
    """In a child process: pytest's exit code with the mutant in place, and the test that failed."""
    import pytest

    if mutant is not None:
        sys.meta_path.insert(0, _Planted(mutant))
    sink, first = io.StringIO(), _FirstFailure()
    words = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", "-m", "not slow and not broker", *tests]
    with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        return int(pytest.main(words, plugins=[first])), first.name


@dataclass(frozen=True, slots=True)
class _Child:
    """A process that runs tests with a mutant, or without one. `told` is the pipe on which it names the failed test."""

    mutant: Mutant | None
    told: int


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a child process. `failed` names the test that failed, and is empty if no single test did."""

    passed: bool
    hung: bool
    failed: str
    cpu_s: float


def _fork(children: dict[int, _Child], mutant: Mutant | None, tests: Sequence[str], limit_cpu_s: float) -> None:
    told, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.close(tell)
        children[pid] = _Child(mutant, told)
        return
    os.setsid()
    os.environ["CI"] = "mutate"  # the same examples for every mutant
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    # A mutant that hangs counts as noticed.
    resource.setrlimit(resource.RLIMIT_CPU, (round(limit_cpu_s), round(limit_cpu_s)))
    signal.alarm(LIMIT_WALL_S)
    code = 1
    try:
        code, failed = _judge(mutant, tests)
        os.write(tell, failed.encode())
    finally:
        os._exit(0 if code == 0 else 1)


def _ended(children: dict[int, _Child]) -> tuple[Mutant | None, _End]:
    pid, status, used = os.wait3(0)
    child = children.pop(pid)
    with os.fdopen(child.told, "rb") as pipe:
        failed = pipe.read().decode()
    return child.mutant, _End(status == 0, os.WIFSIGNALED(status), failed, used.ru_utime + used.ru_stime)


class MutationRun:
    """A run over many mutants. `killers` says which test noticed each one last time, and is updated."""

    def __init__(self, processes: int, until_s: float, killers: dict[str, str]) -> None:
        self.killers = killers
        self.tried: set[str] = set()
        self.cpu_s = 0.0
        self._processes = processes
        self._until_s = until_s

    def survivors(self, mutants: Sequence[Mutant]) -> list[Mutant]:
        """The mutants with which every stage passes. A mutant for which there was no time is not tried, and is not
        among them."""
        known: dict[str, tuple[str, ...]] = {
            one.name: (self.killers[one.name],) for one in mutants if one.name in self.killers
        }
        lived = self._lived(mutants, known, remembered=True)
        for n in range(max(map(len, STAGES.values()))):
            lived = self._lived(lived, {one.name: STAGES[one.file][n] for one in lived if n < len(STAGES[one.file])})
        return [one for one in lived if one.name in self.tried]

    def _lived(
        self, mutants: Sequence[Mutant], tests: dict[str, tuple[str, ...]], *, remembered: bool = False
    ) -> list[Mutant]:
        """The mutants that their tests do not notice. A mutant that was begun runs all its stages."""
        usual_s = self._without_any(mutants, tests, remembered)
        left = [one for one in reversed(mutants) if one.name in tests]
        dead: set[str] = set()
        running: dict[int, _Child] = {}
        while left or running:
            while left and len(running) < self._processes:
                mutant = left.pop()
                if mutant.name in self.tried or time.monotonic() < self._until_s:
                    self.tried.add(mutant.name)
                    _fork(running, mutant, tests[mutant.name], 2 * usual_s[mutant.file] + SPARE_CPU_S)
            if running and (name := self._noticed(*_ended(running))):
                dead.add(name)
                if len(dead) % 50 == 0:
                    _keep(KILLERS, self.killers)
                    print(f"  {len(dead)} noticed, {len(left)} to go", file=sys.stderr, flush=True)
        _keep(KILLERS, self.killers)
        return [one for one in mutants if one.name not in dead]

    def _noticed(self, mutant: Mutant | None, end: _End) -> str | None:
        assert mutant is not None
        self.cpu_s += end.cpu_s
        if end.hung:
            print(f"hangs, which is noticed: {mutant.name}", flush=True)
        if end.passed:
            print(f"  lives so far: {mutant.name}", file=sys.stderr, flush=True)
            self.killers.pop(mutant.name, None)
            return None
        if end.failed:
            self.killers[mutant.name] = end.failed
        return mutant.name

    def _without_any(
        self, mutants: Sequence[Mutant], tests: dict[str, tuple[str, ...]], remembered: bool
    ) -> dict[str, float]:
        """The time that each file's tests take. They must pass without a mutant, otherwise their failures would prove
        nothing.

        Those that are only remembered may be gone by now, or be called otherwise: then `tests` loses them.
        """
        usual_s: dict[str, float] = {}
        for file in dict.fromkeys(one.file for one in mutants if one.name in tests):
            its = [one.name for one in mutants if one.file == file and one.name in tests]
            asked = list(dict.fromkeys(test for name in its for test in tests[name]))
            running: dict[int, _Child] = {}
            _fork(running, None, asked, LIMIT_WALL_S)
            _, end = _ended(running)
            if not end.passed and remembered:
                for name in its:
                    del tests[name]
                continue
            if not end.passed:
                raise SystemExit(f"mutate: the tests of {file} fail without any mutant: {end.failed or asked}")
            self.cpu_s += end.cpu_s
            usual_s[file] = end.cpu_s
            print(f"  {len(its)} of {file} meet {' '.join(asked[:3])}: {end.cpu_s:.1f} s", file=sys.stderr, flush=True)
        return usual_s


class _Absent(importlib.abc.MetaPathFinder):
    """An importer that refuses the modules that are mutated."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Refuse to find a module that is mutated (see MetaPathFinder)."""
        if name.replace(".", "/") + ".py" in STAGES:
            raise ImportError(name)


def _preload() -> None:
    """Import what every child needs and no mutant changes: libraries, and every product module that imports no mutated
    one."""
    for name in LIBRARIES:
        importlib.import_module(name)
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    for top in ("protocols", "gateway"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if not path.name.startswith("__"):
                with contextlib.suppress(ImportError):
                    importlib.import_module(path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."))
    sys.meta_path.remove(absent)
    # Garbage collection in a child would copy every page of this process.
    gc.collect()
    gc.freeze()


def main(arguments: list[str]) -> int:
    """Run all mutants; the exit code is 0 if enough were noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.mutate")
    parser.add_argument("--file", choices=sorted(STAGES))
    parser.add_argument("--only", help="mutants whose names contain this")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--again", action="store_true", help="only those that lived last time")
    parser.add_argument("--forget", action="store_true", help="look as if for the first time")
    parser.add_argument("--every", type=int, default=1, help="only every n-th mutant: a quick look")
    parser.add_argument("--minutes", type=float, help="begin no more mutants after that; they are mixed, by one seed")
    asked = parser.parse_args(arguments)
    until_s = time.monotonic() + asked.minutes * 60 if asked.minutes is not None else float("inf")
    os.chdir(ROOT)
    _preload()
    files = [asked.file] if asked.file else list(STAGES)
    same = equivalent()
    every = [mutant for file in files for mutant in mutants_of(file) if asked.only is None or asked.only in mutant.name]
    unknown = [name for name in same if name.startswith(tuple(files)) and name not in {one.name for one in every}]
    if unknown and asked.only is None:
        print("mutate: equivalent.toml names what is no mutant (any more):", *unknown, sep="\n  ")
        return 2
    if asked.again:
        every = [mutant for mutant in every if mutant.name in _kept(SURVIVORS)]
    every = every[:: asked.every]
    wanted = [mutant for mutant in every if mutant.name not in same]
    if asked.minutes is not None:
        random.Random(1).shuffle(wanted)
    look = MutationRun(asked.processes, until_s, {} if asked.forget else _kept(KILLERS))
    lived = look.survivors(wanted)
    _keep(SURVIVORS, [mutant.name for mutant in lived])
    for mutant in lived:
        print(f"lives: {mutant.name}")
    poor = _shares(look.tried, {mutant.name for mutant in lived}, files)
    tried = len(look.tried)
    killed = tried - len(lived)
    share = killed / max(tried, 1)
    of = "" if tried == len(wanted) else f" of {len(wanted)}"
    print(
        f"mutate: {tried}{of} mutants, {killed} killed ({100 * share:.1f} %), {len(every) - len(wanted)} equivalent, "
        f"{look.cpu_s / 60:.0f} minutes of CPU, survivors listed in {SURVIVORS.relative_to(ROOT)}"
    )
    return 0 if share >= GOAL and not poor else 1


def _shares(tried: set[str], lived: set[str], files: Sequence[str]) -> list[str]:
    """Print each file's share; returns those that miss GOAL_EACH."""
    poor = []
    for file in files:
        its = [name for name in tried if name.startswith(f"{file}::")]
        if not its:
            continue
        share = 1 - sum(name in lived for name in its) / len(its)
        print(f"  {100 * share:5.1f} % of {len(its):4}  {file}")
        if share < GOAL_EACH:
            poor.append(file)
    return poor


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
