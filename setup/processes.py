"""The servers that we started: remembered in .run/processes.json, stopped by process id and never by name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from setup.machine import RUN, alone, run_folder, say, wait_until, write_private

RECORD = RUN / "processes.json"


@dataclass(frozen=True, slots=True)
class OwnProcess:
    """A process that we started. `born` is its start in the kernel's ticks, so that a reused id is not
    mistaken for it.
    """

    name: str
    pid: int
    born: str
    stop_with: str


def start(
    name: str, command: Sequence[str], env: Mapping[str, str], log: Path, stop_with: str = "SIGTERM"
) -> OwnProcess:
    """Start a server that outlives this script, writing to `log`, and remember it."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    started = OwnProcess(name, process.pid, _born(process.pid), stop_with)
    _write([*_read(), started])
    return started


def alive(process: OwnProcess) -> bool:
    """True while exactly this process runs."""
    return bool(process.born) and _born(process.pid) == process.born


def stop(*names: str) -> list[str]:
    """Stop the remembered processes with these names (all, when none is given), the last started first.

    Each gets its own gentle signal, and the whole process group SIGKILL after 20 s. Returns what was stopped.
    """
    stopped = []
    remaining = _read()
    for process in reversed(_read()):
        if names and process.name not in names:
            continue
        if alive(process):
            _end(process)
            stopped.append(process.name)
        remaining.remove(process)
    _write(remaining)
    return stopped


def _end(process: OwnProcess) -> None:
    os.kill(process.pid, signal.Signals[process.stop_with])
    if wait_until(lambda: not alive(process), limit_s=20):
        return
    say(f"{process.name} did not stop within 20 s; killing it")
    os.killpg(process.pid, signal.SIGKILL)
    wait_until(lambda: not alive(process), limit_s=5)


def _born(pid: int) -> str:
    # Field 22 of /proc/PID/stat, counted after the command's name, which may contain spaces or brackets.
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _read() -> list[OwnProcess]:
    try:
        return [OwnProcess(**entry) for entry in json.loads(RECORD.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []


def _write(processes: Sequence[OwnProcess]) -> None:
    run_folder()
    write_private(RECORD, json.dumps([asdict(process) for process in processes], indent=2) + "\n")


def main() -> int:
    """`python -m setup.processes stop`: stop everything this checkout started."""
    if sys.argv[1:] != ["stop"]:
        say("usage: python -m setup.processes stop")
        return 2
    if not RECORD.exists():
        return 0
    with alone():
        for name in stop():
            say(f"stopped {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
