"""The results of the last backup and the last restore drill: two small files in the folder of the backups.

The commands write them, and the daemon reads them. A backup's name contains the time at which it was made.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

ResultKind = Literal["backup", "drill"]
_NAMED = re.compile(r"bankgw-[a-z0-9_]+-(\d{8}T\d{6}Z)\.(?:db|dump)")


@dataclass(frozen=True, slots=True)
class BackupResult:
    """The result of one try. `reason` says why it failed, empty if it did not. `backup` is the name of the file.

    `held_at` is the time of the last try that did not fail, and `held_backup` its backup; empty if there was none.
    """

    at: str
    ok: bool
    reason: str
    backup: str
    seconds: float
    payments: int | None = None
    held_at: str = ""
    held_backup: str = ""


def made_at(name: str) -> datetime | None:
    """The time in the name of a backup; None for other names."""
    found = _NAMED.fullmatch(name)
    try:
        return None if found is None else datetime.strptime(found.group(1), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def note(folder: Path, kind: ResultKind, result: BackupResult) -> None:
    """Replace the last result of this kind, atomically. Raises OSError.

    A file that root makes belongs to the owner of the folder, so that the daemon's user can read it.
    """
    before = last(folder, kind)
    held = (result.at, result.backup) if result.ok else ("", "")
    if not result.ok and before is not None:
        # An earlier version wrote no `held_backup`: in its result, `backup` names the verified backup if the try
        # succeeded.
        held = (before.held_at, before.held_backup or (before.backup if before.ok else ""))
    path = _file(folder, kind)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(asdict(replace(result, held_at=held[0], held_backup=held[1])), out, ensure_ascii=False)
            out.flush()
            if os.geteuid() == 0:
                owner = folder.stat()
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
            os.fsync(out.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def last(folder: Path, kind: ResultKind) -> BackupResult | None:
    """The last result of this kind; None if there is none, or its file is damaged. Raises OSError if it cannot be
    read."""
    try:
        said = BackupResult(**json.loads(_file(folder, kind).read_text("utf-8")))
        for at in filter(None, (said.at, said.held_at)):
            seconds(at)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None
    return said


def verified(folder: Path) -> tuple[str, str]:
    """The backup that a drill restored last, and when; two empty texts if none is known. Raises OSError."""
    drill = last(folder, "drill")
    if drill is None or not drill.held_at:
        return "", ""
    return drill.held_backup or (drill.backup if drill.ok else ""), drill.held_at


def seconds(at: str) -> float:
    """A time of a result in seconds since 1970. Raises ValueError."""
    return datetime.fromisoformat(at).timestamp()


def _file(folder: Path, kind: ResultKind) -> Path:
    return folder / f"last-{kind}.json"
