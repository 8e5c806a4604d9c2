"""Starts the daemon as its systemd unit does, on a machine where systemd does not boot.

A drill may not touch the units of the machine that it runs on. So it takes the unit's ExecStart line, umask, watchdog
and time limits, and stands at the other end of its notification socket. `WAY` says so in the result of each drill.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

WAY = "by the unit's ExecStart, environment and notification socket, without systemd"


class UnitProcess:
    """One start of a unit: `tree` is the program's folder, `config` stands in place of the file in /etc/bankgw."""

    def __init__(self, tree: Path, unit: str, config: Path, log: Path, instance: str = "") -> None:
        text = (tree / "systemd" / unit).read_text("utf-8")
        self._stop_s = float(_said(text, "TimeoutStopSec"))
        words = _said(text, "ExecStart").replace("%I", instance.replace("-", "/")).split()
        assert words[:2] == ["/usr/bin/env", "bankgw"] and words[-2] == "--config", words
        assert _said(text, "Type") == "notify" and _said(text, "KillMode") == "mixed"
        self.log = log
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0bankgw-drill-{os.getpid()}-{id(self)}")
        self._socket.settimeout(0.2)
        env = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "NOTIFY_SOCKET": "@" + self._socket.getsockname()[1:].decode(),
            "WATCHDOG_USEC": str(int(_said(text, "WatchdogSec")) * 1_000_000),
        }
        command = [sys.executable, "-m", "gateway", *words[2:-1], str(config)]
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=tree, env=env, stdout=out, stderr=out, umask=int(_said(text, "UMask"), 8)
            )

    def until_ready(self, limit_s: float = 120) -> None:
        """Wait for READY=1, as systemd does before `systemctl start` ends."""
        ends_s = time.monotonic() + limit_s
        while time.monotonic() < ends_s:
            assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.tail()}"
            try:
                if b"READY=1" in self._socket.recv(4096):
                    return
            except TimeoutError:
                continue
        raise AssertionError(f"not ready after {limit_s} s: {self.tail()}")

    def stop(self) -> int:
        """SIGTERM, and SIGKILL after TimeoutStopSec. Returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(self._stop_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(10)
        finally:
            self._socket.close()

    def kill(self) -> None:
        """SIGKILL, as a machine that is gone."""
        self.process.kill()
        self.process.wait(10)
        self._socket.close()

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text("utf-8")[-3_000:]


def _said(text: str, name: str) -> str:
    [value] = re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)
    return str(value)
