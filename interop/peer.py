"""What a peer is: somebody else's program, and what it says of ours."""

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


class Disagrees(Exception):  # noqa: N818 - a verdict, not a fault of ours
    """The peer says something else than we do, or cannot be asked; the message says what."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody else's program. `check` returns a sentence about what agreed, or raises Disagrees."""

    name: str
    about: str
    check: Callable[[Samples], str]


Done = subprocess.CompletedProcess[str]


def run(command: Sequence[str | Path], timeout_s: float = 120.0, **environment: str) -> Done:
    """Run a peer's command to its end. Raises Disagrees if it is not there or does not come back."""
    try:
        return subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, timeout=timeout_s, check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", **environment},
        )  # fmt: skip
    except FileNotFoundError:
        raise Disagrees(f"{command[0]} is not installed; `make interop` tries to") from None
    except subprocess.TimeoutExpired:
        raise Disagrees(f"{command[0]} did not come back within {timeout_s:g} s") from None


def must(done: Done, what: str) -> str:
    """The standard output of a command that succeeded. Raises Disagrees with the end of its complaint."""
    if done.returncode:
        complaint = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()
        raise Disagrees(f"{what}: exit {done.returncode}: {' / '.join(complaint[-3:])}")
    return done.stdout
