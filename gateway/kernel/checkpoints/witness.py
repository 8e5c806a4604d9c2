"""A sample witness: stores the checkpoints of gateways on another machine, and detects a chain that went back.

It needs no vault and no database. Its stored checkpoints are the only evidence if a whole machine was restored, with
permit log and keys. It must be given the public key of each log.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.kernel.checkpoints import checkpoints, merkle
from gateway.kernel.checkpoints.checkpoints import BadCheckpoint, Checkpoint
from gateway.kernel.commit.permit_lines import PeerHead


@dataclass(frozen=True, slots=True)
class WitnessResult:
    """The result of checking one published checkpoint. `alarm`: a person must look. `why` says what was found, "" if
    all is well.
    """

    origin: str
    size: int
    alarm: bool = False
    why: str = ""


class Witness:
    """Stores published checkpoints in `folder`, two files per log: `NAME.json` (the last one) and `NAME.txt` (all)."""

    def __init__(self, folder: Path, keys: tuple[str, ...] = ()) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._pinned = dict(checkpoints.read_public(words) for words in keys)

    def receive(self, octets: bytes) -> WitnessResult:
        """Check the message of one published checkpoint and store it on disk before returning. Raises OSError."""
        try:
            published = checkpoints.read_published(octets)
            origin = published.note.partition("\n")[0]
            key, before = self._known(origin, published.note)
            point = checkpoints.opened(published.note, key)
        except BadCheckpoint as error:
            return WitnessResult("", 0, alarm=True, why=str(error))
        if before is not None and point.size <= before.size and self._has(origin, published.note):
            return WitnessResult(origin, point.size)  # delivered twice
        seen = _judged(published, point, before)
        self._append(origin, published.note, seen)
        if not seen.alarm and (before is None or point.size > before.size):
            self._keep(origin, point, key)
        return seen

    def _known(self, origin: str, note: str) -> tuple[Ed25519PublicKey, Checkpoint | None]:
        path = self._path(origin, "json")
        if not path.exists():
            if origin in self._pinned:
                return self._pinned[origin], None
            raise BadCheckpoint(f"{origin!r} is not known here; give its key with --key (`bankgw audit key` prints it)")
        said = json.loads(path.read_text("utf-8"))
        _origin, key = checkpoints.read_public(said["key"])
        return key, Checkpoint(origin, said["size"], b64decode(said["root"]), said["hash"], said["at"])

    def _keep(self, origin: str, point: Checkpoint, key: Ed25519PublicKey) -> None:
        path = self._path(origin, "json")
        part = path.with_name(f"{path.name}.part")
        words = {
            "key": checkpoints.public_words(key, origin),
            "size": point.size,
            "root": b64encode(point.root).decode(),
            "hash": point.hash,
            "at": point.at,
        }
        with part.open("w", encoding="utf-8") as file:
            json.dump(words, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)

    def _append(self, origin: str, note: str, seen: WitnessResult) -> None:
        name = "alarms" if seen.alarm else "txt"
        with self._path(origin, name).open("a", encoding="utf-8") as file:
            file.write(note + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _has(self, origin: str, note: str) -> bool:
        path = self._path(origin, "txt")
        return path.exists() and note in path.read_text("utf-8")

    def _path(self, origin: str, ending: str) -> Path:
        return self._folder / f"{quote(origin, safe='')}.{ending}"


def kept_outside(folder: Path | None) -> list[PeerHead]:
    """The audit head of each node that a witness keeps in this folder. Raises OSError if the folder cannot be read,
    because without it nobody would notice that the whole machine was restored from a snapshot.
    """
    found = []
    for path in sorted(folder.iterdir()) if folder is not None else ():
        node = checkpoints.node_of(unquote(path.name.removesuffix(".json")))
        if path.suffix == ".json" and node:
            said = json.loads(path.read_text("utf-8"))
            found.append(PeerHead(node, said["size"], said["hash"]))
    return found


def _judged(published: checkpoints.PublishedCheckpoint, point: Checkpoint, before: Checkpoint | None) -> WitnessResult:
    def alarm(why: str) -> WitnessResult:
        return WitnessResult(point.origin, point.size, alarm=True, why=f"{point.origin}: {why}")

    start = merkle.size(published.before)
    try:
        whole = merkle.joined(published.before, published.added)
    except ValueError as error:
        return alarm(f"the proof of the checkpoint at {point.size} entries cannot be read ({error})")
    if merkle.size(whole) != point.size or merkle.root(whole) != point.root:
        return alarm(f"the checkpoint at {point.size} entries does not match its own proof")
    if before is None:
        return WitnessResult(point.origin, point.size, why="" if start == 0 else f"kept from entry {point.size} on")
    if (point.size, point.root) == (before.size, before.root):
        return WitnessResult(point.origin, point.size)
    if point.size <= before.size:
        return alarm(
            f"{point.size} entries, and there were {before.size} at {before.at}: the journal was rolled back or forked"
        )
    if start == before.size:
        if merkle.root(published.before) == before.root:
            return WitnessResult(point.origin, point.size)
        return alarm(f"entries up to {before.size} differ from those seen at {before.at}: forked or rewritten")
    if start < before.size:
        return alarm(
            f"it continues {start} entries, and there were {before.size} at {before.at}: the journal was "
            f"rolled back or forked"
        )
    return WitnessResult(
        point.origin,
        point.size,
        why=f"{point.origin}: checkpoints between {before.size} and {start} entries "
        f"were not seen; compare with `bankgw audit verify --checkpoint`",
    )
