"""Why the last reload of the settings was refused: a small file in `state_dir`, which the running daemon shows.

The daemon writes it at a refused SIGHUP. `bankgw check --reload`, which the unit runs before it sends the signal,
writes it when the files have mistakes. A successful reload removes it, and so does a start.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE = "reload-refused.json"
SHOWN = 3


@dataclass(frozen=True, slots=True)
class ReloadRefusal:
    """When a reload was refused, and why."""

    at: str
    reasons: tuple[str, ...]

    @property
    def told(self) -> str:
        """The first reasons, and how many more there are."""
        more = len(self.reasons) - SHOWN
        return "; ".join(self.reasons[:SHOWN]) + (f"; and {more} more" if more > 0 else "")


def note(state_dir: Path, reasons: Sequence[str]) -> None:
    """Write the refusal to its file. An error of writing is ignored, because the log has the same text."""
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    path = state_dir / FILE
    fresh = path.with_name(f"{FILE}.{os.getpid()}")
    with suppress(OSError):
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(asdict(ReloadRefusal(at, tuple(reasons))), out, ensure_ascii=False)
        fresh.replace(path)


def last(state_dir: Path) -> ReloadRefusal | None:
    """The refusal of the last reload; None if it was taken, or if the file cannot be read."""
    try:
        said = json.loads((state_dir / FILE).read_text("utf-8"))
        return ReloadRefusal(str(said["at"]), tuple(map(str, said["reasons"])))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def forget(state_dir: Path) -> None:
    """Remove the file, because the settings in it are in force now."""
    with suppress(OSError):
        (state_dir / FILE).unlink(missing_ok=True)
