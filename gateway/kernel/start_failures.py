"""Why the last start of a daemon failed: a small file in `state_dir`, which `bankgw status` reads when nobody answers.

A daemon that has started removes the file. If the file appears beside a running daemon, a second process failed to
start.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = "start-failed.json"


@dataclass(frozen=True, slots=True)
class StartFailure:
    """The record of a process that ended before it had started: its id and exit code, why it ended, and what to do."""

    at: str
    pid: int
    exit: int
    cause: str
    remedy: str


def note(state_dir: Path, code: int, cause: str, remedy: str) -> None:
    """Write the start failure to its file. An error of writing is ignored, because the log has the same text."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    said = StartFailure(at, os.getpid(), code, cause, remedy)
    path = state_dir / FILE
    fresh = path.with_name(f"{FILE}.{os.getpid()}")
    with suppress(OSError):
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(asdict(said), out, ensure_ascii=False)
        fresh.replace(path)


def last(state_dir: Path) -> StartFailure | None:
    """The last start failure since a daemon started; None if there is none or it cannot be read."""
    try:
        return StartFailure(**json.loads((state_dir / FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget(state_dir: Path) -> None:
    """Delete the file of the last start failure, because a daemon has started."""
    with suppress(OSError):
        (state_dir / FILE).unlink(missing_ok=True)
