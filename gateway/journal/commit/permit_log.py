"""The permit log: a file log on this machine of every permitted send, and of how far the journal had come.

It detects a database that was restored from an old copy; `restored_database` compares the two. The log is a folder of
segments. A segment begins with the node's audit head; each group that moved the head appends a group line, and each
send a permit line. Every line ends with a MAC of the vault's key over itself and the previous line, so no line can be
altered, removed or inserted. `gaps.log` beside the segments records what was found missing.
"""

from __future__ import annotations

import hmac
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Protocol
from urllib.parse import quote, unquote

from sqlalchemy import Connection, select

from gateway.journal.commit import lane_names
from gateway.journal.commit.rows import Permit
from gateway.journal.sql import schema
from gateway.journal.sql.vault import Vault

GENESIS = "0" * 64
LEGACY = "permits.log"
"""The single file of older versions, beside the folder: permit lines only, no group lines."""
DAYS = 90
SEGMENT_BYTES = 4 << 20
_DAY_MS = 86_400_000
_AT_ONCE = 200
_TORN = b" torn\n"
_FORMAT = b"1"
_MAC_BYTES = 8
_GAPS = "gaps.log"
_START = b"\0" * _MAC_BYTES


class PermitLogBroken(Exception):
    """The permit log is damaged or altered; the message says where, and what to do."""


@dataclass(frozen=True, slots=True)
class Group:
    """A committed group of units: the node's audit head after it, and how many of its entries came from outside."""

    seq: int
    hash: str
    at_ms: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a segment: its node, the audit head before it, and the number of known gaps."""

    node: str
    head: Group
    gaps: int
    before: bytes


@dataclass(frozen=True, slots=True)
class Another:
    """The node ended here because another process wrote to the journal under its name."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Gaps:
    """The number of lines in the file of gaps."""

    count: int


LogItem = Header | Group | Permit | Another | Gaps


class Permits(Protocol):
    """Where permits are recorded. Called by the writer's thread only."""

    def note(self, group: Group) -> None:
        """Record that this group was committed. It survives a kill, and is on disk after the next `write`."""

    def write(self, permits: Sequence[Permit]) -> None:
        """Return once all of them are on disk; any exception means that none may be used."""

    def another(self, at_ms: int) -> None:
        """Record that another process writes to the journal under this node's name."""

    def close(self) -> None:
        """Close the file."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log. `head` is the last head, of node `node`; None if there is no log. `mac` is that of the last
    line."""

    node: str = ""
    head: Group | None = None
    another: bool = False
    gaps: int = 0
    mac: bytes = _START


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a log."""

    number: int
    path: Path
    vault: Vault

    def items(self) -> Iterator[LogItem]:
        """Its lines, the header first. A line that a crash cut short is skipped. Raises PermitLogBroken."""
        yield from (item for item, _mac in self._read() if item is not None)

    def header(self) -> Header:
        """Its first line."""
        first = next(self.items(), None)
        if not isinstance(first, Header):
            raise _broken(self.path, 1)
        return first

    def _read(self, *, sends: bool = True) -> Iterator[tuple[LogItem | None, bytes]]:
        """Each line with its MAC. Without `sends`, permit lines are verified but not parsed."""
        mac, begun = self.number.to_bytes(_MAC_BYTES, "big"), False
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.endswith(_TORN) or not line.endswith(b"\n"):
                    continue
                words, _, said = line[:-1].rpartition(b" ")
                mac = _mac(self.vault, mac, words)
                if said != mac.hex().encode():
                    raise _broken(self.path, number)
                if begun and not sends and words.startswith(b"P "):
                    yield None, mac
                    continue
                item = _read(words)
                if item is None or begun is isinstance(item, Header):
                    raise _broken(self.path, number)
                begun = True
                yield item, mac

    def end(self) -> Tail:
        """The end of the log as this segment has it."""
        header = self.header()
        head, another, gaps, mac = header.head, False, header.gaps, _START
        for item, mac in self._read(sends=False):  # noqa: B007 - the last one is wanted
            if isinstance(item, Group):
                head, another = item, False
            elif isinstance(item, Another):
                another = True
            elif isinstance(item, Gaps):
                gaps = item.count
        return Tail(header.node, head, another, gaps, mac)


@dataclass(frozen=True, slots=True)
class KnownLog:
    """A log as `know` read it: its end, the last head of each node that wrote it (a node may have had other names), and
    the records of earlier gaps."""

    folder: Path
    vault: Vault
    node: str
    tail: Tail
    heads: Mapping[str, Group]
    gaps: tuple[bytes, ...]

    @property
    def own(self) -> Group | None:
        """The last head of this node."""
        return self.heads.get(self.node)

    def segments(self) -> list[Segment]:
        """All segments there are, the oldest first."""
        return _segments(self.folder, self.vault)

    def legacy(self) -> Path | None:
        """The file of older versions, if no segment exists yet."""
        path = self.folder.with_name(LEGACY)
        return path if self.tail.head is None and path.exists() else None


def know(folder: Path, vault: Vault, node: str) -> KnownLog:
    """Read the end of this folder's log, for this node. Changes nothing. Raises PermitLogBroken, OSError."""
    gaps, _mac_ = _read_gaps(folder / _GAPS, vault)
    there = _segments(folder, vault)
    tail = Tail() if not there else there[-1].end()
    if len(gaps) < tail.gaps:
        raise PermitLogBroken(
            f"{folder / _GAPS} has {len(gaps)} records of the {tail.gaps} that the permit log knows of; "
            f"put the whole folder back as it was, and look who removed them"
        )
    heads = {} if tail.head is None else {tail.node: tail.head}
    for one in reversed(there):
        name = one.header().node
        if name not in heads:
            found = one.end().head
            assert found is not None, "a segment has a header"
            heads[name] = found
    return KnownLog(folder, vault, node, tail, heads, tuple(gaps))


class PermitLog:
    """A folder of segments in mode 0600; one `sync` (fdatasync) for each call of `write`.

    A last line that a crash cut short is marked, so that it cannot merge with the next one. `known` is the log as it
    was when opened. Segments whose lines are all older than `days` are removed when a new segment begins. Raises
    PermitLogBroken if the log was altered.
    """

    def __init__(
        self, folder: Path, vault: Vault, node: str, sync: Callable[[int], None] = os.fdatasync, *,
        days: int = DAYS, segment_bytes: int = SEGMENT_BYTES,
    ) -> None:  # fmt: skip
        self.folder, self.vault, self.node = folder, vault, node
        self._sync, self._days, self._most = sync, days, segment_bytes
        self._lock = Lock()
        self._handle: int | None = None
        self._size, self._day, self._number, self._mac = 0, 0, 0, _START
        folder.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()
        _sync_folder(folder.parent)
        self.known = know(folder, vault, node)
        self._gaps, self._gaps_mac = len(self.known.gaps), _read_gaps(folder / _GAPS, vault)[1]
        self._head = self.known.own or Group(0, GENESIS)
        self._open()

    def note(self, group: Group) -> None:
        """Append a group line, without waiting for the disk. Raises OSError."""
        with self._lock:
            if self._size >= self._most or group.at_ms // _DAY_MS != self._day:
                self._begin(group.at_ms)
            self._append([_group(group)], group.at_ms)
            self._head = group

    def write(self, permits: Sequence[Permit]) -> None:
        """Append the permits and wait until they are on disk, with all lines before. Raises OSError."""
        with self._lock:
            self._append([_permit(permit) for permit in permits], self._head.at_ms)
            assert self._handle is not None
            self._sync(self._handle)

    def another(self, at_ms: int) -> None:
        """Note that another process writes under this node's name. Raises OSError."""
        with self._lock:
            self._append([b"A %d" % at_ms], at_ms)
            assert self._handle is not None
            self._sync(self._handle)

    def adopt(self, head: Group) -> None:
        """Record this as the node's head; on disk when this returns. Raises OSError."""
        with self._lock:
            self._append([_group(head)], head.at_ms)
            self._head = head
            assert self._handle is not None
            self._sync(self._handle)

    def add_gap(self, record: bytes, at_ms: int) -> None:
        """Record what was found missing (one line of JSON); on disk when this returns. Raises OSError."""
        with self._lock:
            mac = _mac(self.vault, self._gaps_mac, record)
            handle = os.open(self.folder / _GAPS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                _mark_torn(self.folder / _GAPS, handle)
                _write_all(handle, b"%s %s\n" % (record, mac.hex().encode()))
                os.fsync(handle)
            finally:
                os.close(handle)
            _sync_folder(self.folder)
            self._gaps, self._gaps_mac = self._gaps + 1, mac
            self._append([b"D %d" % self._gaps], at_ms)
            assert self._handle is not None
            self._sync(self._handle)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None

    def _open(self) -> None:
        there = _segments(self.folder, self.vault)
        if not there:
            return
        last = there[-1]
        self._number, self._mac = last.number, self.known.tail.mac
        if self.known.tail.node == self.node:
            self._handle = os.open(last.path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            self._size, self._day = _mark_torn(last.path, self._handle), last.header().head.at_ms // _DAY_MS

    def _append(self, lines: Sequence[bytes], at_ms: int) -> None:
        if self._handle is None:
            self._begin(at_ms)
        assert self._handle is not None
        mac, octets = self._mac, bytearray()
        for line in lines:
            mac = _mac(self.vault, mac, line)
            octets += b"%s %s\n" % (line, mac.hex().encode())
        _write_all(self._handle, octets)
        self._mac, self._size = mac, self._size + len(octets)

    def _begin(self, at_ms: int) -> None:
        """Begin a new segment. It appears complete with its header, or not at all."""
        number, head = self._number + 1, self._head
        line = b"H %s %s %d %s %d %d %s" % (
            _FORMAT, quote(self.node, safe="").encode(), head.seq, head.hash.encode(), at_ms, self._gaps,
            self._mac.hex().encode(),
        )  # fmt: skip
        mac = _mac(self.vault, number.to_bytes(_MAC_BYTES, "big"), line)
        path = self.folder / f"{number:08d}.log"
        part = path.with_name(f"{path.name}.part")
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            octets = b"%s %s\n" % (line, mac.hex().encode())
            _write_all(handle, octets)
            os.fsync(handle)
            part.rename(path)
            _sync_folder(self.folder)
            if self._handle is not None:
                # Sync the previous segment too: lines may be lost at the end only.
                os.fsync(self._handle)
                os.close(self._handle)
        except OSError:
            os.close(handle)
            raise
        self._handle, self._size, self._number, self._mac = handle, len(octets), number, mac
        self._day = at_ms // _DAY_MS
        self._forget(at_ms - self._days * _DAY_MS)

    def _forget(self, before_ms: int) -> None:
        there = _segments(self.folder, self.vault)
        for one, after in zip(there, there[1:]):
            if after.header().head.at_ms >= before_ms:
                return
            one.path.unlink()


class NoPermits:
    """A permit log that records nothing, for simulations whose database is never restored."""

    def note(self, group: Group) -> None:
        """Nothing."""

    def write(self, permits: Sequence[Permit]) -> None:
        """Nothing."""

    def another(self, at_ms: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_back(folder: Path, vault: Vault) -> Iterator[Permit]:
    """The permits of all segments, or of the file of older versions. Raises PermitLogBroken."""
    there = _segments(folder, vault)
    if not there:
        yield from read_legacy(folder.with_name(LEGACY))
    for one in there:
        yield from (item for item in one.items() if isinstance(item, Permit))


def examine(folder: Path, vault: Vault) -> None:
    """Check the end of a log, as at a start. Raises PermitLogBroken, OSError."""
    there = _segments(folder, vault)
    if there:
        there[-1].end()
    else:
        deque(read_legacy(folder.with_name(LEGACY)), maxlen=0)


def facts(folder: Path) -> dict[str, int | str]:
    """The size of this machine's log, for the manifest of a backup. Raises OSError."""
    files = sorted(folder.glob("*.log")) or [path for path in (folder.with_name(LEGACY),) if path.exists()]
    return {"file": folder.name, "files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def read_legacy(path: Path) -> Iterator[Permit]:
    """The permits of a log of older versions: lines of `ref attempt epoch crc`. Raises PermitLogBroken."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(_TORN) or not line.endswith(b"\n"):
                continue
            words, _, crc = line[:-1].rpartition(b" ")
            permit = _read(b"P " + words)
            if permit is None or crc != b"%08x" % zlib.crc32(words):
                raise _broken(path, number)
            assert isinstance(permit, Permit)
            yield permit


def forgotten(conn: Connection, permits: Iterable[Permit]) -> list[Permit]:
    """The permits whose sends the database lacks, which means it is older than this machine's log. Normally empty.

    The log has the lane's name at the time; the send is looked up under the lane's present name.
    """
    return list(missing(conn, permits))


def missing(conn: Connection, permits: Iterable[Permit]) -> Iterator[Permit]:
    """As `forgotten`, one by one."""
    some: list[Permit] = []
    for permit in permits:
        some.append(permit)
        if len(some) == _AT_ONCE:
            yield from _unknown(conn, some)
            some = []
    yield from _unknown(conn, some)


def _unknown(conn: Connection, some: list[Permit]) -> list[Permit]:
    if not some:
        return []
    p, a = schema.payments.c, schema.attempts.c
    names = lane_names.current_lanes(conn)
    keys = [(*lane_names.current_ref(names, permit.ref), permit.attempt) for permit in some]
    both = select(p.lane, p.bank_ref, a.attempt).join(schema.attempts, p.payment == a.payment)
    known: set[tuple[str, str, int]] = set()
    for lane in {lane for lane, _ref, _attempt in keys}:
        refs = {ref for of, ref, _attempt in keys if of == lane}
        known |= {tuple(row) for row in conn.execute(both.where(p.lane == lane, p.bank_ref.in_(refs)))}
    return [permit for permit, key in zip(some, keys) if key not in known]


# ---- lines -------------------------------------------------------------------------------------------------------


def _segments(folder: Path, vault: Vault) -> list[Segment]:
    found = (path for path in folder.glob("*.log") if path.stem.isdigit()) if folder.is_dir() else ()
    return [Segment(int(path.stem), path, vault) for path in sorted(found)]


def _permit(permit: Permit) -> bytes:
    assert " " not in permit.ref, f"{permit.ref!r} cannot be a reference: it has a blank"
    return f"P {permit.ref} {permit.attempt} {permit.epoch}".encode()


def _group(group: Group) -> bytes:
    return f"G {group.seq} {group.hash} {group.at_ms} {group.others}".encode()


def _read(line: bytes) -> LogItem | None:
    words = line.split(b" ")
    try:
        match words:
            case [b"P", ref, attempt, epoch]:
                return Permit(ref.decode(), int(attempt), int(epoch))
            case [b"G", seq, hashed, at_ms, others]:
                return Group(int(seq), hashed.decode(), int(at_ms), int(others))
            case [b"H", form, node, seq, hashed, at_ms, gaps, before] if form == _FORMAT:
                head = Group(int(seq), hashed.decode(), int(at_ms))
                return Header(unquote(node.decode()), head, int(gaps), bytes.fromhex(before.decode()))
            case [b"A", at_ms]:
                return Another(int(at_ms))
            case [b"D", count]:
                return Gaps(int(count))
    except ValueError:
        pass
    return None


def _mac(vault: Vault, before: bytes, line: bytes) -> bytes:
    return vault.mac(b"permits\n" + before + line)[:_MAC_BYTES]


def _broken(path: Path, number: int) -> PermitLogBroken:
    return PermitLogBroken(
        f"{path}, line {number}: altered, or written with another vault key; keep the folder, "
        f"and look why before going on"
    )


def _read_gaps(path: Path, vault: Vault) -> tuple[list[bytes], bytes]:
    mac, records = _START, []
    if path.exists():
        for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
            if line.endswith(_TORN) or not line.endswith(b"\n"):
                continue
            record, _, said = line[:-1].rpartition(b" ")
            mac = _mac(vault, mac, record)
            if not hmac.compare_digest(said, mac.hex().encode()):
                raise _broken(path, number)
            records.append(record)
    return records, mac


def _mark_torn(path: Path, handle: int) -> int:
    """Mark a last line that was cut short; returns the size of the file afterwards."""
    size = os.fstat(handle).st_size
    with path.open("rb") as file:
        file.seek(max(size - 1, 0))
        whole = size == 0 or file.read(1) == b"\n"
    if not whole:
        _write_all(handle, _TORN)
    return size if whole else size + len(_TORN)


def _write_all(handle: int, octets: bytes | bytearray) -> None:
    written = 0
    while written < len(octets):
        written += os.write(handle, octets[written:])


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
