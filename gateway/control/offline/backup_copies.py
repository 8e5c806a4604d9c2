"""Handles finished backups: copy them to another machine, delete old ones, choose one by its time, and test a restore
with its duration."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from gateway.control.offline.journal_access import Access
from gateway.kernel import backup_results
from gateway.kernel.backup import backup as copies
from gateway.kernel.backup.backup import NoBackup
from gateway.kernel.sql import databases, vaults
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.payments.rows import lookup
from gateway.payments.rows.lookup import Filters

RSYNC_S = 3_600


@dataclass(frozen=True, slots=True)
class Drill:
    """The result of a test restore: the backup, its content, and the duration of each part.

    `read_back` names the newest payment, whose order was opened with the vault's key; empty if there is no payment.
    """

    backup: str
    made_at: str
    payments: int
    bytes: int
    examined_s: float
    restored_s: float
    read_back: str = ""


@dataclass(frozen=True, slots=True)
class ListedBackup:
    """A backup in a folder, as its file and its manifest describe it. `wrong` says why it is not whole, empty if it is.

    Only the size is compared; only a drill shows whether the copy can be restored. `verified_at` is when a drill
    restored this backup last; only the last successful drill is known.
    """

    file: str
    made_at: str
    node: str | None
    bytes: int | None
    payments: int | None
    schema: str | None
    vault_key: str | None
    wrong: str
    verified_at: str = ""

    @property
    def whole(self) -> bool:
        """Whether the manifest is there and the copy has the size that it names."""
        return not self.wrong


def listed(folder: Path) -> list[ListedBackup]:
    """All backups in a folder, the newest first, also those that are not whole. Raises OSError."""
    names = {one.name for one in folder.iterdir()}
    copies_there = {name for name in names if backup_results.made_at(name) is not None}
    copies_there |= {name[:-5] for name in names if re.search(r"\.(db|dump)\.json$", name)}
    verified, at = backup_results.verified(folder)
    found = [_listed(folder / name) for name in sorted(copies_there)]
    found = [replace(one, verified_at=at) if one.file == verified else one for one in found]
    return sorted(found, key=lambda one: one.made_at, reverse=True)


def _listed(copy: Path) -> ListedBackup:
    size = copy.stat().st_size if copy.is_file() else None
    named_at = backup_results.made_at(copy.name)
    at = "" if named_at is None else named_at.isoformat()
    unknown = ListedBackup(copy.name, at, None, size, None, None, None, "no_manifest")
    try:
        said = json.loads(copy.with_name(f"{copy.name}.json").read_bytes())
        wrong = "no_copy" if size is None else "" if size == said["bytes"] else "size_differs"
        payments, words = (
            int(said["payments"]),
            [str(said[name]) for name in ("made_at", "node", "schema", "vault_key")],
        )
    except FileNotFoundError:
        return unknown
    except (ValueError, KeyError, TypeError):
        return replace(unknown, wrong="bad_manifest")
    return ListedBackup(copy.name, words[0], words[1], size, payments, words[2], words[3], wrong)


def send(file: Path, target: str) -> str:
    """Copy a backup and its manifest to `target`: a mounted folder, or `HOST:FOLDER` by rsync over SSH. Returns the
    place.

    Raises NoBackup; the backup on this machine is still whole then.
    """
    files = (file, file.with_name(f"{file.name}.json"))
    if re.match(r"^[^/]+:", target):
        program = shutil.which("rsync")
        if program is None:
            raise NoBackup(f"{file} was made but not copied to {target}: there is no rsync; install it")
        command = [
            program,
            "--checksum",
            "--chmod=F600",
            "-e",
            "ssh -o BatchMode=yes",
            *map(str, files),
            target.rstrip("/") + "/",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=RSYNC_S, check=False)
        except subprocess.TimeoutExpired:
            raise NoBackup(
                f"{file} is made; copying it to {target} took more than {RSYNC_S} s and was stopped"
            ) from None
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise NoBackup(f"{file} was made but not copied to {target}: {said}")
        return target
    folder = Path(target)
    if not folder.is_dir():
        raise NoBackup(f"{file} was made but not copied: {folder} is not a folder; mount the other disk there")
    if _device(folder) == _device(file.parent):
        raise NoBackup(f"{file} was made but not copied: {folder} is on the same disk; mount the other disk there")
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
        raise NoBackup(f"{file} was made but not copied to {target}: {error.strerror}") from None


def _digest(file: Path) -> str:
    with file.open("rb") as octets:
        return hashlib.file_digest(octets, "sha256").hexdigest()


def backups(folder: Path, node: str) -> list[Path]:
    """The backups of a node in a folder, the newest first. The file names contain the time."""
    named = re.compile(rf"bankgw-{re.escape(node)}-\d{{8}}T\d{{6}}Z\.(db|dump)")
    found = [
        one for one in folder.iterdir() if named.fullmatch(one.name) and one.with_name(f"{one.name}.json").exists()
    ]
    return sorted(found, key=lambda one: one.name, reverse=True)


def prune(
    folder: Path, node: str, now: datetime, *, keep: int | None, keep_days: float | None, made: Path | None = None
) -> list[str]:
    """Delete old backups of a node, with their manifests; returns what was deleted.

    A backup is deleted if it is not among the newest `keep`, and is older than `keep_days`; a limit that is None
    protects no backup. These are never deleted: `made`, whose name has an old time if the clock was ahead before; the
    newest backup; and the one that a drill restored last, because no later one is known to be usable.
    """
    if keep is None and keep_days is None:
        return []
    there = backups(folder, node)
    if made is not None:
        there = [made, *(one for one in there if one != made)]
    verified, _at = backup_results.verified(folder)
    gone = []
    for one in there[max(keep or 0, 1) :]:
        made_at = backup_results.made_at(one.name)
        young = keep_days is not None and made_at is not None and now - made_at <= timedelta(days=keep_days)
        if young or one.name == verified:
            continue
        # The manifest goes last: a copy that is left without one would never be deleted.
        one.unlink()
        one.with_name(f"{one.name}.json").unlink()
        gone.append(str(one))
    return gone


def backup_at(folder: Path, node: str, at: datetime) -> Path:
    """The newest whole backup of a node that was made at this time or before. Raises NoBackup, OSError."""
    there = [one for one in backups(folder, node) if not _listed(one).wrong]
    times = [(backup_results.made_at(one.name), one) for one in there]
    found = next((one for made, one in times if made is not None and made <= at), None)
    if found is None:
        oldest = f"the oldest is {there[-1].name}" if there else "there is none at all"
        raise NoBackup(f"{folder} holds no whole backup of node {node} that was made by {at.isoformat()}: {oldest}")
    return found


def drill(access: Access, node: str, copy: Path, into: str | None) -> Drill:
    """Restore a backup into a temporary place, read a payment there, and delete the place.

    The drill proves that the backup can be used, and measures the time.

    `into`: the URL of an empty database, for journals that are not SQLite; the owner of that database drops its tables
    afterwards. Raises NoBackup.
    """
    _url, vault = access
    began_s = time.monotonic()
    manifest = copies.examine(copy, vault)
    examined_s = time.monotonic() - began_s
    if into is None and manifest.backend != "sqlite":
        raise NoBackup(f"{copy} is of a {manifest.backend} journal: name an empty database with --into")
    # The copy stays beside the backup, because a journal must not lie in memory or on a disk that others use.
    with tempfile.TemporaryDirectory(prefix=".bankgw-drill-", dir=copy.parent) as folder:
        place = into or f"sqlite:///{folder}/journal.db"
        began_s = time.monotonic()
        copies.restore(place, vault, Path(folder) / "permits", copy, node)
        restored_s = time.monotonic() - began_s
        read_back = _read_back(place, vault)
    spans = round(examined_s, 2), round(restored_s, 2)
    return Drill(str(copy), manifest.made_at, manifest.payments, manifest.bytes, *spans, read_back)


def _read_back(place: str, vault: Vault) -> str:
    """Open the newest payment with the vault's key; its amount in clear must be that of its sealed order."""
    engine = databases.connect(place, connections=1, writing=False)
    vaults.attach(engine, vault)
    try:
        with engine.connect() as conn:
            found = lookup.listing(conn, Filters(), 1)
    except (VaultError, SealBroken) as error:
        raise NoBackup(f"the newest payment of the restored copy cannot be read: {error}") from None
    finally:
        engine.dispose()
    return "".join(
        f"{one.sender}:{one.order.id} {one.order.amount} {one.order.amount.currency} {one.life.state.value}"
        for one in found
    )


__all__ = ["Drill", "ListedBackup", "NoBackup", "backup_at", "backups", "drill", "listed", "prune", "send"]
