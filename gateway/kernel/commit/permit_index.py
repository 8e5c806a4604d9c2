"""The index of a permit log: whether a send was permitted before, also after its segment was removed.

Each closed segment gets a side file of sorted 8-byte numbers, one for each permit: 58 bits of a keyed hash of the
reference, and the attempt in 6 bits. Eight small neighbours become one file, so that a log of ten million sends has
some thirty. A file ends with a MAC of the vault's key; a file that is missing or damaged is made again from its
segments. Permits of the open segment are kept in memory.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.kernel.sql.vault import Vault

KEPT_DAYS = 400
"""The index knows a send for at least this long, which is as long as payments are kept."""
MERGED = 8
SMALL = 250_000
MOST_SEGMENTS = 64
_ATTEMPT_BITS = 6
_MOST_ATTEMPTS = (1 << _ATTEMPT_BITS) - 1
_HEADER = struct.Struct("<8sQQqQ")
_MAGIC = b"bgpx1%s\n\0" % sys.byteorder[:1].encode()
_MAC_BYTES = 32
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class SideFile:
    """The permits of segments `first` to `last` of the permit log, in one file. `at_ms` is the time of the newest
    segment; `numbers` is sorted.
    """

    path: Path
    first: int
    last: int
    at_ms: int
    numbers: Sequence[int]

    def knows(self, key: int, attempt: int) -> bool:
        """True if this attempt of the reference, or a later one, is in the file. An attempt beyond the most that a file
        has room for counts as known if that one is known.
        """
        place = bisect_left(self.numbers, key | min(attempt, _MOST_ATTEMPTS))
        return place < len(self.numbers) and self.numbers[place] >> _ATTEMPT_BITS == key >> _ATTEMPT_BITS


class PermitIndex:
    """Finds permits of older segments of the permit log: the side files of one folder, and the open segment's permits
    in memory. Used under the log's lock.
    """

    def __init__(self, folder: Path, vault: Vault) -> None:
        self._folder, self._vault = folder, vault
        self._files: list[SideFile] = []
        self._open: dict[int, int] = {}

    def load(self, closed: Sequence[int], read: Callable[[int], tuple[int, Iterable[tuple[str, int]]]]) -> list[int]:
        """Read the side files, and make those that are missing for the `closed` segments. `read` gives a segment's time
        and its permits. Returns the numbers of the segments that have neither a file nor a side file any more.
        """
        found = [one for path in sorted(self._folder.glob("*.idx")) if (one := self._read(path)) is not None]
        # A crash between making a merged file and removing its parts leaves both.
        self._files = [one for one in found if not any(_inside(one, other) for other in found)]
        covered = {number for one in self._files for number in range(one.first, one.last + 1)}
        for number in closed:
            if number not in covered:
                at_ms, permits = read(number)
                keys: dict[int, int] = {}
                for ref, attempt in permits:
                    _keep(keys, self._key(ref), attempt)
                self._write(number, number, at_ms, _numbers(keys))
                covered.add(number)
        self._files.sort(key=lambda one: one.first)
        if not covered:
            return []
        return [number for number in range(min(covered), max(covered) + 1) if number not in covered]

    def add(self, ref: str, attempt: int) -> None:
        """Add a permit of the open segment to the index."""
        _keep(self._open, self._key(ref), attempt)

    def knows(self, ref: str, attempt: int) -> bool:
        """True if this attempt of the reference, or a later one, was permitted."""
        key = self._key(ref)
        if self._open.get(key, 0) >= attempt:
            return True
        return any(one.knows(key, attempt) for one in reversed(self._files))

    def close_segment(self, number: int, at_ms: int) -> None:
        """Write the permits of the open segment, which has just been closed, to a side file. Raises OSError."""
        self._write(number, number, at_ms, _numbers(self._open))
        self._open = {}
        while self._mergeable(last := self._files[-MERGED:]):
            numbers = array("Q", sorted(number for one in last for number in one.numbers))
            self._files = self._files[:-MERGED]
            self._write(last[0].first, last[-1].last, at_ms, numbers)
            for one in last:
                one.path.unlink(missing_ok=True)

    def _mergeable(self, last: Sequence[SideFile]) -> bool:
        """True if neighbouring side files are small, equally long, and together short enough to be removed in time."""
        lengths = {one.last - one.first + 1 for one in last}
        small = all(len(one.numbers) <= SMALL for one in last)
        return len(last) == MERGED and len(lengths) == 1 and small and max(lengths) * MERGED <= MOST_SEGMENTS

    def forget(self, before_ms: int) -> None:
        """Remove the side files whose permits are all older than `before_ms`."""
        while len(self._files) > 1 and self._files[0].at_ms < before_ms:
            self._files.pop(0).path.unlink(missing_ok=True)

    def _key(self, ref: str) -> int:
        number = int.from_bytes(self._vault.mac(b"permit index\n" + ref.encode())[:8], "big")
        return number & ~_MOST_ATTEMPTS

    def _write(self, first: int, last: int, at_ms: int, numbers: array[int]) -> None:
        path = self._folder / f"{first:08d}-{last:08d}.idx"
        part = path.with_name(f"{path.name}.part")
        octets = _HEADER.pack(_MAGIC, first, last, at_ms, len(numbers)) + numbers.tobytes()
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(octets + self._mac(hashlib.sha256(octets).digest()))
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        made = self._read(path)
        if made is None:
            raise OSError(f"{path} was written and cannot be read")
        self._files.append(made)

    def _read(self, path: Path) -> SideFile | None:
        """Read a side file; None if it is damaged or was sealed with another key."""
        with path.open("rb") as file:
            size, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
            left = size - _MAC_BYTES
            while left > 0 and (piece := file.read(min(_PIECE, left))):
                digest.update(piece)
                left -= len(piece)
            if left != 0 or file.read() != self._mac(digest.digest()):
                return None
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        magic, first, last, at_ms, count = _HEADER.unpack_from(mapped)
        if magic != _MAGIC:
            return None
        return SideFile(path, first, last, at_ms, mapped[_HEADER.size : _HEADER.size + 8 * count].cast("Q"))

    def _mac(self, digest: bytes) -> bytes:
        return self._vault.mac(b"permit index file\n" + digest)


def _keep(keys: dict[int, int], key: int, attempt: int) -> None:
    if attempt > keys.get(key, 0):
        keys[key] = attempt


def _numbers(keys: Mapping[int, int]) -> array[int]:
    return array("Q", sorted(key | min(attempt, _MOST_ATTEMPTS) for key, attempt in keys.items()))


def _inside(one: SideFile, other: SideFile) -> bool:
    return other is not one and other.first <= one.first and one.last <= other.last


def raw_permits(path: Path) -> Iterator[tuple[str, int]]:
    """The permits in a segment whose lines were verified a moment ago."""
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b"P ") and line.endswith(b"\n") and not line.endswith(b" torn\n"):
                _kind, ref, attempt, *_rest = line.split(b" ")
                yield ref.decode(), int(attempt)
