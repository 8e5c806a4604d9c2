"""Child processes of the demo, the benchmark and the campaign: started with this Python, ended by their process id.

A child runs in a session of its own, so that a Ctrl-C at the terminal reaches the parent alone, which then
stops its children in order.
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
    """A child did not come up. The text holds the end of what it wrote."""


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
class Ended:
    """How a child ended: its exit code, or minus the signal's number."""

    pid: int
    code: int


class Child:
    """One program that can be started, killed and started again. Output of all its lives goes to `log`.

    `command` may be changed; it is that of the next life.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self.lives = 0
        self.command = tuple(command)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id of the present life."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a life. The one before must be over."""
        assert self.ended() is not None or self._process is None, f"{self.name} still runs"
        with self.log.open("ab") as output:
            self._process = self._spawn(output)
        self.lives += 1

    def _spawn(self, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def ended(self) -> Ended | None:
        """How the latest life ended, None while it lasts or before the first."""
        if self._process is None:
            return None
        code = self._process.poll()
        return None if code is None else Ended(self._process.pid, code)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; harmless when the child is gone."""
        if self._process is not None and self.ended() is None:
            self._process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL, and wait until the process is gone; returns the id it had."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.kill()
        self._process.wait()
        return self._process.pid

    def stop(self, deadline_s: float) -> int | None:
        """SIGTERM, and SIGKILL after `deadline_s`; the exit code, None if it never ran. Blocks."""
        if self._process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.returncode

    def tail(self, lines: int = 15) -> str:
        """The end of what it wrote."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


def stop_all(children: Sequence[Child], deadline_s: float) -> None:
    """Stop all of them, the last one first; each has what is left of `deadline_s`. Blocks."""
    until_s = time.monotonic() + deadline_s
    for child in reversed(children):
        child.signal(signal.SIGTERM)
    for child in reversed(children):
        child.stop(max(until_s - time.monotonic(), _LOOK_EVERY_S))
