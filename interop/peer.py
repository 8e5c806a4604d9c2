"""A peer: another party's program, and its verdict on our messages."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from interop.samples import Samples

CHECKOUT = Path(__file__).resolve().parents[1]
PYTHON = CHECKOUT / ".venv-interop/bin/python"
NODE = CHECKOUT / ".venv-interop/node/node_modules"
PROGRAMS = Path(__file__).resolve().parent / "peers"


class PeerDisagrees(Exception):  # noqa: N818 - a verdict, not a fault of ours
    """The peer's result differs from ours, or the peer cannot be run; the message says which."""


@dataclass(frozen=True, slots=True)
class PeerProgram:
    """Another party's program. `check` returns a sentence about the agreement, or raises PeerDisagrees."""

    name: str
    about: str
    check: Callable[[Samples], str]


Done = subprocess.CompletedProcess[str]


def run(command: Sequence[str | Path], timeout_s: float = 120.0, **environment: str) -> Done:
    """Run a peer's command to its end. Raises PeerDisagrees if it is missing or does not end."""
    try:
        return subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment},
        )
    except FileNotFoundError:
        raise PeerDisagrees(f"{command[0]} is not installed; `make interop` tries to") from None
    except subprocess.TimeoutExpired:
        raise PeerDisagrees(f"{command[0]} did not come back within {timeout_s:g} s") from None


def must(done: Done, what: str) -> str:
    """The standard output of a command that succeeded. Raises PeerDisagrees with the end of its error output."""
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
        raise PeerDisagrees(f"{what}: exit {done.returncode}: {' / '.join(complaint[-3:])}")
    return done.stdout
