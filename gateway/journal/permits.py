"""The permit log: which sends were allowed, on this machine's disk, outside the database.

It guards against a database that comes back from the past: a send that the log knows and the database does not
means that payments were made which the database forgot. One line per send, `ref attempt epoch crc`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, select, tuple_

from gateway.journal import schema
from gateway.journal.store import Permit

_AT_ONCE = 200
_TORN = b" torn\n"


class PermitLogBroken(Exception):
    """A line in the middle of the permit log cannot be read; the message says which."""


class Permits(Protocol):
    """Where permits are written down. Called by the writer's thread only."""

    def write(self, permits: Sequence[Permit]) -> None:
        """Return once all of them are on disk; any exception means that none may be used."""

    def close(self) -> None:
        """Let the file go."""


class PermitLog:
    """A file that only grows, in mode 0600; one `sync` (fdatasync) for each call of `write`.

    A last line that a crash cut short is marked as such, so that it can never run into the next one.
    """

    def __init__(self, path: Path, sync: Callable[[int], None] = os.fdatasync) -> None:
        self._sync = sync
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._handle).st_size
        if size and os.pread(self._handle, 1, size - 1) != b"\n":
            os.write(self._handle, _TORN)
        _sync_folder(path.parent)

    def write(self, permits: Sequence[Permit]) -> None:
        """Append the permits and wait until they are on disk. Raises OSError."""
        data = b"".join(_line(permit) for permit in permits)
        written = 0
        while written < len(data):
            written += os.write(self._handle, data[written:])
        self._sync(self._handle)

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)


class NoPermits:
    """Keeps no log: for simulations whose database cannot come back from the past."""

    def write(self, permits: Sequence[Permit]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_back(path: Path) -> Iterator[Permit]:
    """The permits of a log. A line that a crash cut short is skipped: its bytes had not left. Raises PermitLogBroken
    for any other line that is not as it was written."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(_TORN) or not line.endswith(b"\n"):
                continue
            words = line.split()
            permit = Permit(words[0].decode(), int(words[1]), int(words[2])) if _whole(words) else None
            if permit is None or _line(permit) != line:
                raise PermitLogBroken(f"{path}, line {number}: altered; keep the file, and look why before going on")
            yield permit


def forgotten(conn: Connection, permits: Iterable[Permit]) -> list[Permit]:
    """The permits of sends that the database does not know: it is older than what this machine did. Empty is well."""
    found: list[Permit] = []
    some: list[Permit] = []
    for permit in permits:
        some.append(permit)
        if len(some) == _AT_ONCE:
            found += _unknown(conn, some)
            some = []
    return found + _unknown(conn, some)


def _unknown(conn: Connection, some: list[Permit]) -> list[Permit]:
    if not some:
        return []
    p, a = schema.payments.c, schema.attempts.c
    keys = [(*permit.ref.rpartition("/")[::2], permit.attempt) for permit in some]
    statement = select(p.lane, p.bank_ref, a.attempt).select_from(
        schema.payments.join(schema.attempts, p.payment == a.payment)
    ).where(tuple_(p.lane, p.bank_ref).in_({(lane, ref) for lane, ref, _ in keys}))  # fmt: skip
    known = {tuple(row) for row in conn.execute(statement)}
    return [permit for permit, key in zip(some, keys) if key not in known]


def _line(permit: Permit) -> bytes:
    assert " " not in permit.ref, f"{permit.ref!r} cannot be a reference: it has a blank"
    words = f"{permit.ref} {permit.attempt} {permit.epoch}".encode()
    return b"%s %08x\n" % (words, zlib.crc32(words))


def _whole(words: list[bytes]) -> bool:
    return len(words) == 4 and words[1].isdigit() and words[2].isdigit()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
