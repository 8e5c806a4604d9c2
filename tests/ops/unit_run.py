"""Runs the daemon as its unit does where systemd is not the machine's first process: ExecStart, environment and limits.

The sandbox of the unit cannot be made without systemd; `systemd-analyze security --offline` judges it instead.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house import ROOT

UNIT = ROOT / "systemd" / "bankgw.service"


@dataclass(frozen=True, slots=True)
class UnitRun:
    """The unit's command line for these settings. `module` is the program behind the word `bankgw`."""

    settings: Path
    state: Path
    module: str
    folder: Path

    @property
    def words(self) -> list[str]:
        """ExecStart, with the settings of this site."""
        [line] = re.findall(r"^ExecStart=(.+)$", UNIT.read_text("utf-8"), re.MULTILINE)
        words = shlex.split(line)
        words[words.index("--config") + 1] = str(self.settings)
        return words

    def environment(self) -> dict[str, str]:
        """What systemd gives the process: the state folder, and a PATH in which `bankgw` is this checkout."""
        self.folder.mkdir(exist_ok=True)
        program = self.folder / "bankgw"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m {self.module} "$@"\n', "utf-8")
        program.chmod(0o755)
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "LANG": "C.UTF-8", "STATE_DIRECTORY": str(self.state), "PYTHONPATH": str(ROOT)}

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """Start it with the unit's UMask and limits; its output goes to the end of `log`."""
        text = UNIT.read_text("utf-8")
        [files] = re.findall(r"^LimitNOFILE=(\d+)$", text, re.MULTILINE)
        [umask] = re.findall(r"^UMask=(\d+)$", text, re.MULTILINE)

        def limits() -> None:
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            wanted = int(files) if hard == resource.RLIM_INFINITY else min(int(files), hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

        with log.open("ab") as out:
            return subprocess.Popen(
                self.words,
                cwd=ROOT,
                env=self.environment(),
                stdout=out,
                stderr=out,
                umask=int(umask, 8),
                preexec_fn=limits,
            )


def way() -> str:
    """How the daemon is run here, for the result."""
    analyze = shutil.which("systemd-analyze")
    judged = "systemd-analyze is not installed"
    if analyze is not None:
        done = subprocess.run(
            [analyze, "security", "--offline=true", "--no-pager", str(UNIT)],
            capture_output=True,
            text=True,
            check=False,
        )
        judged = " ".join(done.stdout.strip().splitlines()[-1].split()) if done.stdout.strip() else done.stderr.strip()
    return f"by the steps of {UNIT.name} (ExecStart, environment, UMask, limits), not under systemd; sandbox: {judged}"
