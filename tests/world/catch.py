"""Planted mutants: known mistakes put into the gateway one by one, each of which named proofs must catch.

    python -m tests.world.catch                      # every mutant of planted_mutants.toml
    python -m tests.world.catch --only "commit"      # those whose names contain this
    python -m tests.world.catch --list               # the table, nothing is run

A mutant is a file, the text that stands in it exactly once, and what replaces it; a proof is a command that must fail
with it and pass without it. Mutants are planted in copies of the tree, one for each process, never in the checkout.
The last line is `mutants: N of N caught`. A mutant that does not apply any more is not caught.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("planted_mutants.toml")
PROOFS = ("units", "model", "simulation", "crash", "campaign")
INDEPENDENT = 2
LIMIT_S = 600.0
_MODULES = {
    "simulation": ("tests.world.sim", "--processes", "1", "--stop"),
    "crash": ("tests.world.deaths",),
    "campaign": ("faults",),
}
_CAUGHT = {
    "pytest": r"^(FAILED|ERROR) ",
    "simulation": r"^seed \d+: ",
    "crash": r"^crash: .*\b[1-9]\d* (duplicated|lost)\b",
    "campaign": r"^faults: .*\b[1-9]\d* (duplicated|lost|contradicted)\b",
}
"""The output of a proof that found something and did not merely fail to run."""
_NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".run", ".*_cache", ".hypothesis", "__pycache__", "*-report*", "build", "dist"
)
# A campaign starts servers of its own and measures time: one at a time.
_ALONE = threading.Lock()


@dataclass(frozen=True, slots=True)
class Proof:
    """One command that must notice the mutant. `sees` is a pattern that its output must show in addition to the usual
    one."""

    kind: str
    run: str
    sees: str = ""

    @property
    def command_line(self) -> list[str]:
        """The command, without the interpreter."""
        said = shlex.split(self.run)
        if said[0].startswith("tests/"):
            return ["-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "-o", "addopts=", *said]
        return ["-m", *_MODULES[self.kind], *said]

    @property
    def pattern(self) -> str:
        """The pattern that the output has when the command found something."""
        return _CAUGHT["pytest"] if "pytest" in self.command_line else _CAUGHT[self.kind]


@dataclass(frozen=True, slots=True)
class PlantedMutant:
    """One defect that is put into the source. `swaps` are pairs of text in `file`. `alone` says why fewer proofs than
    INDEPENDENT can notice it. `awaits` names the code that it waits for; such a mutant is not tried."""

    name: str
    file: str
    swaps: tuple[tuple[str, str], ...]
    proofs: tuple[Proof, ...]
    alone: str = ""
    awaits: str = ""

    def mutated(self, source: str) -> str:
        """The source with the mutant in it. Raises MutantStale."""
        for old, new in self.swaps:
            if source.count(old) != 1:
                raise MutantStale(
                    f"{self.file} has {source.count(old)} times, not once: {old.strip().splitlines()[0]!r}"
                )
            source = source.replace(old, new)
        return source


class MutantStale(Exception):
    """The mutant cannot be applied to the present source."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one mutant. `wrong` is empty if every proof noticed it; `said` is a line for people."""

    name: str
    said: str
    wrong: str


def read_table(file: Path = TABLE) -> list[PlantedMutant]:
    """Every mutant of the table, in its order."""
    with file.open("rb") as opened:
        return [_planted(entry) for entry in tomllib.load(opened)["mutant"]]


def _planted(entry: Mapping[str, Any]) -> PlantedMutant:
    proofs = tuple(_proof(kind, said) for kind in PROOFS for said in _each(entry.get(kind, [])))
    swaps = tuple((old, new) for old, new in entry["swap"])
    return PlantedMutant(entry["name"], entry["file"], swaps, proofs, entry.get("alone", ""), entry.get("awaits", ""))


def _each(said: Any) -> list[Any]:
    return said if isinstance(said, list) else [said]


def _proof(kind: str, said: str | Mapping[str, str]) -> Proof:
    return Proof(kind, said) if isinstance(said, str) else Proof(kind, said["run"], said["sees"])


def complaints(planted: Sequence[PlantedMutant], root: Path = ROOT) -> Iterator[str]:
    """The faults of the table itself."""
    names = [one.name for one in planted]
    yield from (f"{name}: stands there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    for one in planted:
        if len({proof.kind for proof in one.proofs}) < INDEPENDENT and not one.alone:
            yield f"{one.name}: only one kind of proof catches it; name another, or say in `alone` why none can"
        try:
            mutated = one.mutated((root / one.file).read_text("utf-8"))
            compile(mutated, one.file, "exec")
        except (MutantStale, OSError, SyntaxError) as problem:
            if not one.awaits:
                yield f"{one.name}: does not apply any more: {problem}"
        else:
            if one.awaits:
                yield f"{one.name}: the code that it awaits is here; take `awaits` away"


class CheckoutCopy:
    """A copy of the checkout, and commands that run in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shutil.copytree(ROOT, folder, ignore=_NOT_COPIED, symlinks=True)
        run = Path(os.environ.get("BANKGW_BROKER_JSON", ROOT / ".run" / "broker.json"))
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "BANKGW_BROKER_JSON": str(run),
            "CI": "mutants",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._environment.pop("PYTEST_XDIST_WORKER", None)

    def catches(self, planted: PlantedMutant) -> Verdict:
        """Plant the mutant, run its proofs, and remove it again."""
        file = self._folder / planted.file
        source = file.read_text("utf-8")
        try:
            file.write_text(planted.mutated(source), "utf-8")
        except MutantStale as problem:
            return Verdict(planted.name, "", f"does not apply any more: {problem}")
        said: list[str] = []
        wrong: list[str] = []
        try:
            for proof in planted.proofs:
                began_s = time.monotonic()
                missed, seen = self._looked(proof)
                said.append(f"\n    {proof.kind}, {time.monotonic() - began_s:.0f} s: {seen}")
                if missed:
                    wrong.append(f"{proof.kind} {missed}")
        finally:
            file.write_text(source, "utf-8")
        return Verdict(planted.name, "".join(said), "; ".join(wrong))

    def _looked(self, proof: Proof) -> tuple[str, str]:
        """Call `misses`, and call it again if the command could not do its work, because servers may be slow to
        start."""
        missed, seen = self.misses(proof)
        return self.misses(proof) if "broke down" in missed else (missed, seen)

    def misses(self, proof: Proof) -> tuple[str, str]:
        """The reason why the proof did not catch the mutant, empty if it did; and the line with its finding."""
        code, output = self._run(proof)
        if code == 0:
            return f"passes with it: {proof.run}", "nothing"
        found = re.search(proof.pattern, output, re.MULTILINE)
        if code != 1 or not found:
            return f"broke down with code {code} and proves nothing: {proof.run}\n{_tail(output)}", "nothing"
        seen = re.search(proof.sees, output, re.MULTILINE) if proof.sees else found
        if not seen:
            return f"failed without {proof.sees!r}: {proof.run}\n{_tail(output)}", "something else"
        first = output.rfind("\n", 0, seen.start()) + 1
        return "", output[first:].partition("\n")[0].strip()[:200]

    def fails(self, proof: Proof) -> str:
        """The finding of the proof against the unchanged tree; empty if it passes."""
        code, output = self._run(proof)
        return "" if code == 0 else f"{proof.kind} fails without any mutant, code {code}: {proof.run}\n{_tail(output)}"

    def _run(self, proof: Proof) -> tuple[int, str]:
        with _ALONE if proof.kind == "campaign" else _Nothing(), tempfile.TemporaryFile() as sink:
            child = subprocess.Popen(
                [sys.executable, *proof.command_line],
                cwd=self._folder,
                env=self._environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = child.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                code = 1
                os.killpg(child.pid, signal.SIGTERM)
                child.wait(30.0)
            sink.seek(0)
            return code, sink.read().decode("utf-8", "replace")


class _Nothing:
    """A lock that never blocks."""

    def __enter__(self) -> None:
        return

    def __exit__(self, *_error: object) -> None:
        return


def _tail(output: str) -> str:
    return "\n".join(f"      {line}" for line in output.strip().splitlines()[-12:])


class MutantRun:
    """Runs proofs and mutants, spread over the copies."""

    def __init__(self, trees: Sequence[CheckoutCopy]) -> None:
        self._trees = trees
        self.wrong: dict[str, str] = {}
        self.verdicts: list[Verdict] = []

    def check(self, proofs: Sequence[Proof]) -> None:
        """Run every proof without a mutant. Each must pass, otherwise its failures would prove nothing."""

        def one(tree: CheckoutCopy, proof: Proof) -> None:
            said = tree.fails(proof)
            if said:
                self.wrong[proof.run] = said
                print(said, flush=True)

        self._spread(list(proofs), one)

    def plant(self, mutants: Sequence[PlantedMutant]) -> None:
        """Run every mutant against its proofs."""

        def one(tree: CheckoutCopy, planted: PlantedMutant) -> None:
            verdict = tree.catches(planted)
            self.verdicts.append(verdict)
            print(f"{'MISSED' if verdict.wrong else 'caught'}  {verdict.name}{verdict.said}", flush=True)
            if verdict.wrong:
                print(f"    {verdict.wrong}", flush=True)

        self._spread(list(mutants), one)

    def _spread(self, jobs: list[Any], work: Any) -> None:
        waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for job in jobs:
            waiting.put(job)

        def loop(tree: CheckoutCopy) -> None:
            while True:
                try:
                    job = waiting.get_nowait()
                except queue.Empty:
                    return
                work(tree, job)

        threads = [threading.Thread(target=loop, args=(tree,)) for tree in self._trees]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def show(mutants: Sequence[PlantedMutant]) -> None:
    """Print the table for people."""
    for one in mutants:
        print(
            f"{one.name}\n    {one.file}: {', '.join(proof.kind for proof in one.proofs)}"
            + (f"\n    {one.alone}" if one.alone else "")
        )


def main(arguments: list[str]) -> int:
    """Run the mutants. The exit code is 0 only if each was caught by every proof that it names."""
    parser = argparse.ArgumentParser(prog="python -m tests.world.catch")
    parser.add_argument("--only", default="", help="mutants whose names contain this, or of this file")
    parser.add_argument("--proofs", default=",".join(PROOFS), help="only these kinds of proof, with commas between")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--unchecked", action="store_true", help="do not run the proofs without a mutant first")
    parser.add_argument("--list", action="store_true", help="show the table and end")
    asked = parser.parse_args(arguments)
    kinds = asked.proofs.split(",")
    every = read_table()
    wrong = list(complaints(every))
    for complaint in wrong:
        print(complaint)
    for one in every:
        if one.awaits:
            print(f"not planted, it awaits {one.awaits}: {one.name}")
    chosen = [one for one in every if not one.awaits and (asked.only in one.name or asked.only == one.file)]
    if asked.list:
        show(chosen)
        return 1 if wrong else 0
    mutants = [
        PlantedMutant(
            one.name, one.file, one.swaps, tuple(proof for proof in one.proofs if proof.kind in kinds), one.alone
        )
        for one in chosen
    ]
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bankgw-mutants-") as folder:
        round_ = MutantRun(
            [CheckoutCopy(Path(folder) / str(n)) for n in range(max(1, min(asked.processes, len(mutants))))]
        )
        if not asked.unchecked:
            round_.check(list({proof.run: proof for one in mutants for proof in one.proofs}.values()))
        # The longest first, so that none runs alone at the end.
        round_.plant(sorted(mutants, key=lambda one: -max((PROOFS.index(p.kind) for p in one.proofs), default=0)))
    caught = sum(not verdict.wrong for verdict in round_.verdicts)
    print(f"{(time.monotonic() - began_s) / 60:.0f} minutes, {sum(len(one.proofs) for one in mutants)} proofs")
    print(f"mutants: {caught} of {len(mutants)} caught")
    return 0 if caught == len(mutants) and mutants and not (wrong or round_.wrong) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
