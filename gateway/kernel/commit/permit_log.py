"""The permit log: a file log on this machine of every permitted send, and of the journal's progress.

It detects a database that was restored from an old copy; `restored_database` compares the two. The log is a folder of
segments. A segment begins with the node's audit head; each group that moved the head appends a group line, and each
send a permit line. Lines also name the heads of other nodes, as this node read them, and the decisions of persons about
rights, policies and pools, so that their loss is noticed. Every line ends with a MAC of the vault's key over itself and
the previous line, so no line can be altered, removed or inserted. Before each send the log is asked through its index
(`permit_index`). `gaps.log` beside the segments records what was found missing.
"""

from __future__ import annotations

import hmac
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

from sqlalchemy import Connection, select

from gateway.kernel.commit import lane_names
from gateway.kernel.commit.permit_access import PermitLogUnwritable, unwritable_cause, why_unwritable
from gateway.kernel.commit.permit_index import KEPT_DAYS, PermitIndex, raw_permits
from gateway.kernel.commit.permit_lines import (
    GENESIS,
    Gaps,
    Group,
    Header,
    LogItem,
    PeerHead,
    RightsDecision,
    SecondProcess,
    group_line,
    header_line,
    parse,
    peer_line,
    permit_line,
    word_line,
)
from gateway.kernel.commit.rows import Permit
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault

LEGACY = "permits.log"
"""The single file of older versions, beside the folder: permit lines only, no group lines."""
DAYS = 90
SEGMENT_BYTES = 4 << 20
_DAY_MS = 86_400_000
_AT_ONCE = 200
_TORN = b" torn\n"
_MAC_BYTES = 8
_GAPS = "gaps.log"
_START = b"\0" * _MAC_BYTES


class PermitLogBroken(Exception):
    """The permit log is damaged or altered; the message says where, and what to do."""


class Permits(Protocol):
    """Records which sends were permitted. Called by the writer's thread only."""

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        """The heads of other nodes, as this node saw them in the journal."""

    def permitted(self, ref: str, attempt: int) -> bool:
        """True if this attempt of the reference, or a later one, was permitted before."""

    def note(self, group: Group, words: Sequence[RightsDecision] = ()) -> None:
        """Record that this group was committed, and its decisions about persons, policies and pools. The record
        survives a kill of the process, and is on disk after the next `append_permits`.
        """

    def append_permits(self, permits: Sequence[Permit]) -> None:
        """Record the permits. They are on disk when this returns; after any exception none of them may be used."""

    def another(self, at_ms: int) -> None:
        """Record that another process writes to the journal under this node's name."""

    def close(self) -> None:
        """Close the log's file."""


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a log. `head` is the last head, of node `node`; None if there is no log. `peers` are the last heads
    of other nodes, `mac` is that of the last line."""

    node: str = ""
    head: Group | None = None
    another: bool = False
    gaps: int = 0
    mac: bytes = _START
    peers: Mapping[str, PeerHead] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a permit log."""

    number: int
    path: Path
    vault: Vault

    def items(self) -> Iterator[LogItem]:
        """The segment's lines as values, the header first. A line that a crash cut short is skipped. Raises
        PermitLogBroken.
        """
        yield from (item for item, _mac in self._read() if item is not None)

    def header(self) -> Header:
        """The segment's first line."""
        first = next(self.items(), None)
        if not isinstance(first, Header):
            raise _broken(self.path, 1)
        return first

    def _read(self, *, sends: bool = True) -> Iterator[tuple[LogItem | None, bytes]]:
        """Each line's value and its MAC. Without `sends`, permit lines are verified but not parsed."""
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
                item = parse(words)
                if item is None or begun is isinstance(item, Header):
                    raise _broken(self.path, number)
                begun = True
                yield item, mac

    def end(self) -> Tail:
        """The end of the log according to this segment."""
        header = self.header()
        head, another, gaps, mac = header.head, False, header.gaps, _START
        peers: dict[str, PeerHead] = {}
        for item, mac in self._read(sends=False):  # noqa: B007 - the last one is wanted
            if isinstance(item, Group):
                head, another = item, False
            elif isinstance(item, SecondProcess):
                another = True
            elif isinstance(item, Gaps):
                gaps = item.count
            elif isinstance(item, PeerHead):
                peers[item.node] = item
        return Tail(header.node, head, another, gaps, mac, peers)


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
        """The last head of this node in the log."""
        return self.heads.get(self.node)

    def segments(self) -> list[Segment]:
        """All segments of the log, the oldest first."""
        return _segments(self.folder, self.vault)

    def legacy(self) -> Path | None:
        """The log file of older versions, if there is no segment yet."""
        path = self.folder.with_name(LEGACY)
        return path if self.tail.head is None and path.exists() else None


def know(folder: Path, vault: Vault, node: str) -> KnownLog:
    """Read the end of this folder's permit log, for this node. Changes nothing. Raises PermitLogBroken, OSError."""
    gaps, _mac_ = _read_gaps(folder / _GAPS, vault)
    there = _segments(folder, vault)
    tail = Tail() if not there else there[-1].end()
    if len(gaps) < tail.gaps:
        raise PermitLogBroken(
            f"{folder / _GAPS} has {len(gaps)} records of the {tail.gaps} that the permit log knows of; "
            f"put the whole folder back as it was, and find out who removed them"
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
    """A folder of segments in mode 0600; one `sync` (fdatasync) for each call of `append_permits`.

    A last line that a crash cut short is marked, so that it cannot merge with the next one. `known` is the log as it
    was when opened. Segments whose lines are all older than `days` are removed when a new segment begins. Raises
    PermitLogBroken if the log was altered, PermitLogUnwritable if it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        vault: Vault,
        node: str,
        sync: Callable[[int], None] = os.fdatasync,
        *,
        days: int = DAYS,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.folder, self.vault, self.node = folder, vault, node
        self._sync, self._days, self._most = sync, days, segment_bytes
        self._lock = Lock()
        self._handle: int | None = None
        self._size, self._day, self._number, self._mac = 0, 0, 0, _START
        self._gaps, self._gaps_mac = 0, _START
        self._former: Mapping[str, Sequence[str]] = {}
        if said := why_unwritable(folder):
            raise PermitLogUnwritable(said)
        try:
            self._read_and_open()
        except OSError as error:
            raise PermitLogUnwritable(unwritable_cause(folder, error)) from error

    def _read_and_open(self) -> None:
        folder, vault, node = self.folder, self.vault, self.node
        folder.mkdir(mode=0o700, exist_ok=True)
        for left in folder.glob("*.part"):
            left.unlink()
        _sync_folder(folder.parent)
        self.known = know(folder, vault, node)
        self._gaps, self._gaps_mac = len(self.known.gaps), _read_gaps(folder / _GAPS, vault)[1]
        self._head = self.known.own or Group(0, GENESIS)
        self._peers = dict(self.known.tail.peers)
        self._index = PermitIndex(folder, vault)
        self._open()
        self._load_index()

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        """The last heads of other nodes that this log has."""
        return self._peers

    @property
    def head(self) -> Group:
        """The last head of this node that this log has."""
        return self._head

    def use_names(self, names: Iterable[tuple[str, str]]) -> None:
        """Set pairs of a lane's former and present name, so that a reference is looked up under both names."""
        former: dict[str, list[str]] = {}
        for old, lane in names:
            former.setdefault(lane, []).append(old)
        self._former = former

    def permitted(self, ref: str, attempt: int) -> bool:
        """True if any life of this node permitted this attempt of the reference, or a later one."""
        with self._lock:
            if self._index.knows(ref, attempt):
                return True
            lane, _, reference = ref.rpartition("/")
            return any(self._index.knows(f"{old}/{reference}", attempt) for old in self._former.get(lane, ()))

    def see(self, peers: Sequence[PeerHead], words: Sequence[RightsDecision] = ()) -> None:
        """Append other nodes' heads and decisions about rights, as the journal has them now. Raises OSError."""
        with self._lock:
            moved = [peer for peer in peers if peer.node != self.node and self._peers.get(peer.node) != peer]
            if moved:
                lines = [*map(word_line, words), *map(peer_line, moved)]
                self._append(lines, self._head.at_ms)
                self._peers |= {peer.node: peer for peer in moved}

    def note(self, group: Group, words: Sequence[RightsDecision] = ()) -> None:
        """Append the line of a committed group, without waiting for the disk. Raises OSError."""
        with self._lock:
            if self._size >= self._most or group.at_ms // _DAY_MS != self._day:
                self._begin(group.at_ms)
            self._append([*map(word_line, words), group_line(group)], group.at_ms)
            self._head = group

    def append_permits(self, permits: Sequence[Permit]) -> None:
        """Append the permits and wait until all lines so far are on disk. Raises OSError."""
        with self._lock:
            self._append([permit_line(permit) for permit in permits], self._head.at_ms)
            assert self._handle is not None
            self._sync(self._handle)
            for permit in permits:
                self._index.add(permit.ref, permit.attempt)

    def another(self, at_ms: int) -> None:
        """Note that another process writes under this node's name. Raises OSError."""
        with self._lock:
            self._append([b"A %d" % at_ms], at_ms)
            assert self._handle is not None
            self._sync(self._handle)

    def adopt(self, head: Group) -> None:
        """Record this as the node's head. It is on disk when this returns. Raises OSError."""
        with self._lock:
            self._append([group_line(head)], head.at_ms)
            self._head = head
            assert self._handle is not None
            self._sync(self._handle)

    def add_gap(self, record: bytes, at_ms: int) -> None:
        """Record a gap (one line of JSON). It is on disk when this returns. Raises OSError."""
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
        """Close the log's file."""
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

    def _load_index(self) -> None:
        there = {one.number: one for one in _segments(self.folder, self.vault)}
        last = self._number if self._handle is not None else None

        def permits_of_segment(number: int) -> tuple[int, Iterator[tuple[str, int]]]:
            items = there[number].items()
            return there[number].header().head.at_ms, (
                (item.ref, item.attempt) for item in items if isinstance(item, Permit)
            )

        lost = self._index.load([number for number in there if number != last], permits_of_segment)
        if lost:
            raise PermitLogBroken(
                f"{self.folder} has neither the segment nor the index of {lost[0]:08d}, which was removed before its "
                "time: a send could be permitted twice. Put the whole "
                "folder back as it was, and find out who removed it"
            )
        for ref, attempt in raw_permits(there[last].path) if last is not None else ():
            self._index.add(ref, attempt)

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
        number, head, closed = self._number + 1, self._head, self._handle is not None
        line = header_line(self.node, head, at_ms, self._gaps, self._mac)
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
        if closed:
            self._index.close_segment(number - 1, at_ms)
        if self._peers:
            self._append([peer_line(peer) for peer in self._peers.values()], at_ms)
        self._forget(at_ms - self._days * _DAY_MS)
        self._index.forget(at_ms - max(self._days, KEPT_DAYS) * _DAY_MS)

    def _forget(self, before_ms: int) -> None:
        there = _segments(self.folder, self.vault)
        for one, after in zip(there, there[1:]):
            if after.header().head.at_ms >= before_ms:
                return
            one.path.unlink()


class NoPermits:
    """A permit log that records nothing, for simulations whose database is never restored."""

    @property
    def peers(self) -> Mapping[str, PeerHead]:
        """An empty mapping, because this log has no heads of other nodes."""
        return {}

    def permitted(self, ref: str, attempt: int) -> bool:
        """Always False, because no permit is recorded."""
        return False

    def note(self, group: Group, words: Sequence[RightsDecision] = ()) -> None:
        """Do nothing, because this log records no groups."""

    def append_permits(self, permits: Sequence[Permit]) -> None:
        """Do nothing, because this log records no permits."""

    def another(self, at_ms: int) -> None:
        """Do nothing, because this log records no second process."""

    def close(self) -> None:
        """Do nothing, because this log has no file."""


def read_back(folder: Path, vault: Vault) -> Iterator[Permit]:
    """The permits of all segments, or those in the log file of older versions. Raises PermitLogBroken."""
    there = _segments(folder, vault)
    if not there:
        yield from read_legacy(folder.with_name(LEGACY))
    for one in there:
        yield from (item for item in one.items() if isinstance(item, Permit))


def rights_decisions(folder: Path) -> Iterator[RightsDecision]:
    """The decisions about rights in all segments. Their lines were verified when they were the end of the log."""
    for path in sorted(folder.glob("*.log")):
        octets, at = path.read_bytes(), 0
        while (at := octets.find(b"\nW ", at)) >= 0:
            at += 1
            item = parse(octets[at : octets.find(b"\n", at)].rpartition(b" ")[0])
            if isinstance(item, RightsDecision):
                yield item


def examine(folder: Path, vault: Vault) -> None:
    """Verify the end of a permit log as at a daemon's start. Raises PermitLogBroken, OSError."""
    there = _segments(folder, vault)
    if there:
        there[-1].end()
    else:
        deque(read_legacy(folder.with_name(LEGACY)), maxlen=0)


def facts(folder: Path) -> dict[str, int | str]:
    """The size of this machine's permit log, for the manifest of a backup. Raises OSError."""
    legacy = [path for path in (folder.with_name(LEGACY),) if path.exists()]
    files = sorted([*folder.glob("*.log"), *folder.glob("*.idx")]) or legacy
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
            permit = parse(b"P " + words)
            if permit is None or crc != b"%08x" % zlib.crc32(words):
                raise _broken(path, number)
            assert isinstance(permit, Permit)
            yield permit


def forgotten(conn: Connection, permits: Iterable[Permit]) -> list[Permit]:
    """The permits whose sends the database lacks. Normally there are none; otherwise the database is older than this
    machine's log.

    The log has the lane's name at the time; the send is looked up under the lane's present name.
    """
    return list(missing(conn, permits))


def missing(conn: Connection, permits: Iterable[Permit]) -> Iterator[Permit]:
    """As `forgotten`, but yields the permits one by one, so that a long log is not held in memory."""
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
