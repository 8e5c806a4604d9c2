"""A command at a real terminal: a pseudo-terminal of a given size, keys typed into it, and the bytes that it shows."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CTRL_C = b"\x03"
_SGR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LIMIT_S = 60.0


@dataclass
class AtTerminal:
    """A command that runs at a terminal. `shown` is everything that it has written there so far."""

    process: subprocess.Popen[bytes]
    there: int
    shown: str = ""

    def until(self, condition: Callable[[str], bool]) -> str:
        """Read on until the text fulfils the condition."""
        ends_s = time.monotonic() + _LIMIT_S
        while not condition(self.shown):
            assert time.monotonic() < ends_s, self.shown
            if not self._read(0.2) and self.process.poll() is not None:
                assert condition(self.shown), self.shown
        return self.shown

    def type(self, keys: bytes) -> None:
        """Type these keys."""
        os.write(self.there, keys)

    def end(self) -> tuple[int, str]:
        """Wait for the command's end; gives its exit code and everything that it showed."""
        ends_s = time.monotonic() + _LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < ends_s, self.shown
            self._read(0.1)
        while self._read(0.0):
            pass
        os.close(self.there)
        return self.process.returncode, self.shown

    def _read(self, wait_s: float) -> bool:
        # Not select(): a long test run has more than 1,024 descriptors.
        waiting = select.poll()
        waiting.register(self.there, select.POLLIN)
        if not waiting.poll(wait_s * 1000):
            return False
        try:
            octets = os.read(self.there, 65_536)
        except OSError:
            return False  # Linux reports the end of the other side like this.
        self.shown += octets.decode("utf-8", "replace")
        return bool(octets)


def heed_interrupts() -> None:
    """Let the child end by Ctrl-C. A shell's background job, as a test run may be one, ignores it, and so would its
    children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def at_terminal(
    *words: str, columns: int = 80, rows: int = 24, variables: Mapping[str, str] | None = None
) -> AtTerminal:
    """Start `bankgw` with these words at a terminal of this size."""
    there, here = os.openpty()
    fcntl.ioctl(here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR", "LC_ALL")}

    def take_terminal() -> None:
        heed_interrupts()
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", *words],
        stdin=here,
        stdout=here,
        stderr=here,
        cwd=ROOT,
        preexec_fn=take_terminal,
        close_fds=True,
        env={**kept, "TERM": "xterm", "LANG": "C.UTF-8", **(variables or {})},
    )
    os.close(here)
    return AtTerminal(process, there)


def plain(text: str) -> str:
    """The text without colours and movements of the cursor."""
    return _SGR.sub("", text).replace("\r\n", "\n")
