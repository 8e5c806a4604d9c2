"""What becomes of backups: a copy on another machine, old ones deleted, and a restore that is tried and timed."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.control.offline.journal_access import Access
from gateway.journal.backup import backup as copies
from gateway.journal.backup.backup import NoBackup

RSYNC_S = 3_600


@dataclass(frozen=True, slots=True)
class Drill:
    """A restore that was tried: the backup, what was in it, and how long each part took."""

    backup: str
    made_at: str
    payments: int
    bytes: int
    examined_s: float
    restored_s: float


def send(file: Path, target: str) -> str:
    """Copy a backup and its manifest to `target`: a mounted folder, or `HOST:FOLDER` by rsync over SSH. Returns where.

    Raises NoBackup; the backup on this machine is whole then."""
    files = (file, file.with_name(f"{file.name}.json"))
    if re.match(r"^[^/]+:", target):
        program = shutil.which("rsync")
        if program is None:
            raise NoBackup(f"{file} is made, and was not copied to {target}: there is no rsync; install it")
        command = [program, "--checksum", "--chmod=F600", "-e", "ssh -o BatchMode=yes", *map(str, files),
                   target.rstrip("/") + "/"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=RSYNC_S, check=False)
        except subprocess.TimeoutExpired:
            raise NoBackup(f"{file} is made; copying it to {target} took over {RSYNC_S} s and was given up") from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise NoBackup(f"{file} is made, and was not copied to {target}: {said}")
        return target
    folder = Path(target)
    if not folder.is_dir():
        raise NoBackup(f"{file} is made, and was not copied: {folder} is no folder; is it mounted?")
    if _device(folder) == _device(file.parent):
        raise NoBackup(f"{file} is made, and was not copied: {folder} is on the same disk; is it mounted?")
    for one in files:
        _copy(one, folder / one.name)
    return str(folder)


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _copy(file: Path, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with file.open("rb") as source, os.fdopen(handle, "wb") as out:
            shutil.copyfileobj(source, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        if _digest(part) != _digest(file):
            raise NoBackup(f"{part} differs from {file}: the disk there does not keep what is written")
        part.replace(target)
    except OSError as error:
        raise NoBackup(f"{file} is made, and was not copied to {target}: {error.strerror}") from None


def _digest(file: Path) -> str:
    with file.open("rb") as octets:
        return hashlib.file_digest(octets, "sha256").hexdigest()


def backups(folder: Path, node: str) -> list[Path]:
    """The backups of a node in a folder, the newest first. Their names tell the time."""
    named = re.compile(rf"bankgw-{re.escape(node)}-\d{{8}}T\d{{6}}Z\.(db|dump)")
    found = [one for one in folder.iterdir()
             if named.fullmatch(one.name) and one.with_name(f"{one.name}.json").exists()]  # fmt: skip
    return sorted(found, key=lambda one: one.name, reverse=True)


def thin_out(made: Path, node: str, keep: int) -> list[str]:
    """Delete all but the newest `keep` backups of a node in the folder of `made`, with their manifests.

    Returns what was deleted: never `made`, which is an old one by its name if the clock was ahead before."""
    gone = []
    for one in [one for one in backups(made.parent, node) if one != made][keep - 1 :]:
        one.unlink()
        one.with_name(f"{one.name}.json").unlink()
        gone.append(str(one))
    return gone


def drill(access: Access, node: str, copy: Path, into: str | None) -> Drill:
    """Restore a backup into a new place and throw that away: proof that it can be used, and how long it takes.

    `into`: the URL of an empty database, for journals that are not SQLite; its tables are left for its owner to drop.
    Raises NoBackup.
    """
    _url, vault = access
    began_s = time.monotonic()
    manifest = copies.examine(copy, vault)
    examined_s = time.monotonic() - began_s
    if into is None and manifest.backend != "sqlite":
        raise NoBackup(f"{copy} is of a {manifest.backend} journal: name an empty database with --into")
    # Beside the backup: a journal does not belong on a disk that others use, or into memory.
    with tempfile.TemporaryDirectory(prefix=".bankgw-drill-", dir=copy.parent) as folder:
        place = into or f"sqlite:///{folder}/journal.db"
        began_s = time.monotonic()
        copies.restore(place, vault, Path(folder) / "permits", copy, node)
        restored_s = time.monotonic() - began_s
    spans = round(examined_s, 2), round(restored_s, 2)
    return Drill(str(copy), manifest.made_at, manifest.payments, manifest.bytes, *spans)


__all__ = ["Drill", "NoBackup", "backups", "drill", "send", "thin_out"]
