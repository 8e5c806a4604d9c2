"""The daemon with hooks for faults that cannot be made from outside its process.

Run as `python -m faults.hooked_daemon run --config …`.

SIGUSR1 reads the file `hooks.json` beside the settings. `stall_s` holds the event loop's thread for so long, at once.
`clock_ms` is added to the wall clock, also to the one by which Twisted counts timers, and in later lives; `sync_fails`
makes the permit log's disk fail. The daemon is otherwise the one that `bankgw run` runs.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.base import ReactorBase

from gateway import __main__ as program
from gateway.daemon import Daemon
from gateway.kernel.clock import SystemClock
from gateway.settings import Settings
from gateway.system_parts import Machine, system_parts

FILE = "hooks.json"


class Hooks:
    """The faults that the campaign has set for this daemon at present."""

    def __init__(self, file: Path) -> None:
        self.clock_ms = 0
        self.sync_fails = False
        self._file = file
        self.load()

    def load(self) -> float:
        """Read the file with the faults. Returns the seconds for which the event loop is to stall."""
        if not self._file.exists():
            return 0.0
        said = json.loads(self._file.read_text("utf-8"))
        self.clock_ms = int(said.get("clock_ms", 0))
        self.sync_fails = bool(said.get("sync_fails"))
        return float(said.get("stall_s", 0.0))

    def changed(self, *_signal: Any) -> None:
        """Read the file again, because it has changed (SIGUSR1)."""
        stall_s = self.load()
        if stall_s:
            time.sleep(stall_s)

    def sync(self, handle: int) -> None:
        """Call fdatasync, or fail if the campaign has set that."""
        if self.sync_fails:
            raise OSError(errno.EIO, "the campaign's disk fails")
        os.fdatasync(handle)


def main(words: list[str]) -> None:
    """Install the hooks, then run the command."""
    settings = Path(words[words.index("--config") + 1])
    hooks = Hooks(settings.parent / FILE)

    class Clock(SystemClock):
        """The machine's clock, set wrong by the campaign."""

        def now_ms(self) -> int:
            """The time that the campaign has set."""
            return super().now_ms() + hooks.clock_ms

    ReactorBase.seconds = staticmethod(lambda: time.time() + hooks.clock_ms / 1000)

    def start(reactor: Any, found: Settings, on_fatal: Callable[[str], None]) -> Daemon:
        machine = Machine(Clock(reactor), hooks.sync)
        return Daemon(reactor, found, system_parts(reactor, found, on_fatal, machine), on_fatal)

    signal.signal(signal.SIGUSR1, hooks.changed)
    sys.argv[1:] = words
    program.main(replace(program.environment(), start=start))


if __name__ == "__main__":
    main(sys.argv[1:])
