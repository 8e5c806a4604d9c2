"""`python -m fuzz --seconds 60`: fuzzes every target for a share of the time. Exit code 0 means that
nothing was found.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fuzz.targets import makers

CHECKOUT = Path(__file__).resolve().parents[1]
FOUND = CHECKOUT / ".run" / "fuzz"
HANGS_AFTER_S = 5
STARTS_WITHIN_S = 240
_EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_ERROR = re.compile(r"([\w.]+\.)?\w*(Error|Accepted|Exception|Interrupt)\b")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one target. `kept` is the input that failed, to be tried again."""

    name: str
    executions: int
    word: str
    said: str = ""
    kept: Path | None = None


def main(arguments: list[str]) -> int:
    """Fuzz; the exit code."""
    parser = argparse.ArgumentParser(prog="fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--only", default="", help="targets whose name contains this")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args(arguments)
    names = [name for name in makers() if asked.only in name]
    if not names:
        print(f"fuzz: no target like {asked.only!r}; there are {', '.join(makers())}", file=sys.stderr)
        return 64
    each_s = max(1, round(asked.seconds * asked.workers / len(names)))
    with ThreadPoolExecutor(asked.workers) as pool:
        results = list(pool.map(lambda name: _shown(_fuzzed(name, each_s)), names))
    counted = {word: sum(one.word == word for one in results) for word in ("crash", "hang", "accepted")}
    print(
        f"fuzz: {sum(one.executions for one in results)} executions, {counted['crash']} crashes, "
        f"{counted['hang']} hangs, {counted['accepted']} accepted"
    )
    return int(any(counted.values()))


def _shown(result: Result) -> Result:
    if result.word:
        print(f"{result.name}: {result.word} after {result.executions} executions; {result.said}", flush=True)
        print(f"  again: .venv-fuzz/bin/python -m fuzz.child {result.name} {result.kept}", flush=True)
    else:
        print(f"{result.name}: {result.executions} executions", flush=True)
    return result


def _fuzzed(name: str, seconds: int) -> Result:
    corpus = Path(tempfile.mkdtemp(prefix="bankgw-fuzz-"))
    FOUND.mkdir(parents=True, exist_ok=True)
    before = set(FOUND.iterdir())
    command = [
        sys.executable,
        "-m",
        "fuzz.child",
        name,
        f"-max_total_time={seconds}",
        f"-timeout={HANGS_AFTER_S}",
        "-max_len=20000",
        "-rss_limit_mb=2048",
        "-print_final_stats=1",
        f"-dict={CHECKOUT}/fuzz/xml.dict",
        f"-artifact_prefix={FOUND}/{name}-",
        str(corpus),
    ]
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + STARTS_WITHIN_S,
        )
    except subprocess.TimeoutExpired:
        return Result(name, 0, "hang", "the whole process")
    finally:
        shutil.rmtree(corpus, ignore_errors=True)
    said = done.stderr + done.stdout
    counted = _EXECUTIONS.search(said)
    executions = int(counted.group(1)) if counted else 0
    if done.returncode == 0 and executions:
        return Result(name, executions, "")
    kept = next(iter(sorted(set(FOUND.iterdir()) - before)), None)
    error = next(filter(_ERROR.match, map(str.strip, said.splitlines())), "")
    word = "hang" if "libFuzzer: timeout" in said else "accepted" if "Accepted" in error else "crash"
    return Result(name, executions, word, error or said[-400:], kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
