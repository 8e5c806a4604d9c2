"""Child processes of the demo, the benchmark and the campaign: started with this Python, ended by their process id.

A child runs in a session of its own, so that a Ctrl-C at the terminal reaches only the parent, which then stops its
children in order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LOOK_EVERY_S = 0.02


class NotStarted(Exception):
    """A child process did not start. The text holds the end of its output."""


def gateway_command(settings: Path) -> tuple[str, ...]:
    """The command line of a daemon with these settings."""
    return (sys.executable, "-m", "gateway", "run", "--config", str(settings))


def person_daemon_command(settings: Path, uid: int) -> tuple[str, ...]:
    """As `gateway_command`, of the daemon to which this user is the enrolled person with that `uid`."""
    return (sys.executable, "-m", "gateway.demo_daemon", str(uid), "run", "--config", str(settings))


def simulator_command(config: Path) -> tuple[str, ...]:
    """The command line of a simulated bank."""
    return (sys.executable, "-m", "gateway", "simulate", str(config))


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """The end of a child process: its exit code, or minus the signal's number."""

    pid: int
    code: int


class Child:
    """One program that can be started, killed and started again. The output of all its processes goes to `log`.

    `command` may be changed; the change counts from the next start on.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.lives = 0
        self.command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the running process."""
        return None if self._process is None else self._process.pid

    @property
    def cpu_s(self) -> float:
        """The CPU time that the process has used. It also grows while the process works without any output. 0 without a
        process, and where the system does not give the time.
        """
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text("ascii", "replace")
        except OSError:
            return 0.0
        # The command's name, in brackets, may contain blanks; user and system time are the fields 14 and 15.
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Start the program. An earlier process of it must have ended."""
        assert self.ended() is not None or self._process is None, f"{self.name} still runs"
        with self.log.open("ab") as output:
            self._process = self._spawn(output)
        self.lives += 1

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def ended(self) -> ChildEnd | None:
        """The end of the latest process; None while it runs or before the first."""
        if self._process is None:
            return None
        code = self._process.poll()
        return None if code is None else ChildEnd(self._process.pid, code)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; does nothing if the process has ended."""
        if self._process is not None and self.ended() is None:
            self._process.send_signal(number)

    def kill(self) -> int:
        """Send SIGKILL and wait for the process's end; returns the process id."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def stop(self, deadline_s: float) -> int | None:
        """Send SIGTERM, and SIGKILL after `deadline_s` seconds; returns the exit code, None if it never ran. Blocks."""
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode

    def tail(self, lines: int = 15) -> str:
        """The last lines of the program's output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


def stop_all(children: Sequence[Child], deadline_s: float) -> None:
    """Stop all children, the last one first. `deadline_s` is the time for all of them together. Blocks."""
    until_s = time.monotonic() + deadline_s
    for child in reversed(children):
        child.signal(signal.SIGTERM)
    for child in reversed(children):
        child.stop(max(until_s - time.monotonic(), _LOOK_EVERY_S))
