"""Detection of a restored database or permit log, and the lanes that two persons released in spite of it.

A node can compare the database only with its own permit log. A node that finds a gap records it in the database, and
every other node pauses its lanes too.

The *episode* is a fingerprint of all gaps. Two persons release a lane for one episode; after another restore the
episode differs, and every lane is paused again. Gaps are kept beside the permit log, so that a restart does not forget
them; a gap whose missing entries are back no longer counts.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from gateway.journal.commit import audit, lane_names, permit_log
from gateway.journal.commit.permit_log import Group, Header, KnownLog, PermitLog, Segment
from gateway.journal.commit.rows import Head, Permit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vault import Vault
from gateway.journal.sql.vaults import vault_of

LISTED = 1_000
"""The number of missing sends listed by name; further ones are only counted."""
_C = schema.past_cleared.c
_M, _A, _N = schema.meta, schema.audit.c, schema.units.c
_NOTICE = "past."
_AT_ONCE = 200
_SENDS = ("payment.send", "payment.replay")


class Lack(StrEnum):
    """The side that lacks entries: the journal or the permit log."""

    JOURNAL = "journal_older"
    FORKED = "journal_forked"
    LOG = "permit_log_older"
    NO_LOG = "permit_log_missing"


@dataclass(frozen=True, slots=True)
class Gap:
    """What one side has and the other lacks.

    `log` and `journal` are the compared heads (seq, hash), `common` the last entry that both have. If the journal lacks
    entries: `entries` between `from_ms` and `to_ms`, of which `others` came from outside the node, and `sends`, `count`
    in all; `partial`: the log does not reach back to a common entry. If the log lacks sends: `count` sends, of the
    payments `unlogged`.
    """

    lack: Lack
    node: str
    log: tuple[int, str]
    journal: tuple[int, str]
    common: int
    entries: int = 0
    others: int = 0
    from_ms: int = 0
    to_ms: int = 0
    count: int = 0
    sends: tuple[Permit, ...] = ()
    unlogged: tuple[str, ...] = ()
    partial: bool = False

    @property
    def name(self) -> str:
        """The fingerprint of the gap."""
        return hashlib.sha256(self.record()).hexdigest()

    def record(self) -> bytes:
        """The gap as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def counts(self) -> bool:
        """True if lanes are paused for it. Acts of the node itself do not count: they can be repeated or enquired
        about."""
        return self.lack in (Lack.LOG, Lack.NO_LOG) or bool(self.count or self.others or self.partial)

    def words(self) -> str:
        """The gap as a sentence."""
        if self.lack in (Lack.LOG, Lack.NO_LOG):
            what = "is missing" if self.lack is Lack.NO_LOG else f"ends at entry {self.log[0]}"
            return f"the permit log of {self.node} {what}, and the journal has {self.count} later sends of this node"
        how = "forked from" if self.lack is Lack.FORKED else "is older than"
        return (f"the journal {how} what {self.node} wrote: after entry {self.common} it lacks {self.entries} entries, "
                f"{self.others} of them words of senders and persons, and {self.count} sends")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """`sends` are the sends that the journal lacks, under their lanes' present names; `episode` is the fingerprint
    of all that is missing ("" if nothing), `cleared` the lanes released for it, `gaps` the gaps besides single
    sends."""

    sends: tuple[Permit, ...] = ()
    episode: str = ""
    cleared: frozenset[str] = frozenset()
    gaps: tuple[Gap, ...] = ()

    def of_lane(self, lane: str) -> list[Permit]:
        """The missing sends of one lane, as far as they are listed."""
        return [permit for permit in self.sends if permit.ref.rpartition("/")[0] == lane]

    def by_lane(self) -> Mapping[str, int]:
        """The number of missing sends per lane, as far as they are listed."""
        return Counter(permit.ref.rpartition("/")[0] for permit in self.sends)

    @property
    def forgotten(self) -> int:
        """The number of sends that the journal lacks, listed or not."""
        return sum(gap.count for gap in self.gaps if gap.lack in (Lack.JOURNAL, Lack.FORKED)) or len(self.sends)

    def holds(self, lane: str) -> bool:
        """True if this lane must not send. Any gap pauses every lane, because the missing orders may belong to any
        lane."""
        return bool(self.episode) and lane not in self.cleared


@dataclass(frozen=True, slots=True)
class Compared:
    """The result of a comparison: `past` with all gaps, the `new` ones among them, and the node's `head` in the
    journal.

    `harmless` is a gap that pauses nothing, `explained` one that another process of this node's name caused.
    """

    past: Past
    head: Group
    new: tuple[Gap, ...] = ()
    harmless: Gap | None = None
    explained: Gap | None = None


def compare(conn: Connection, log: KnownLog, at_ms: int) -> Compared:
    """Compare the permit log with the database in both directions. Raises PermitLogBroken."""
    head = audit.head_of(conn, log.node)
    found = [*_journal_lacks(conn, log), *_log_lacks(conn, log, head)]
    kept = [read(record) for record in log.gaps]
    known = {(gap.node, gap.log) for gap in kept}
    explained = next((gap for gap in found if gap.lack is Lack.LOG and log.tail.another), None)
    new = tuple(gap for gap in found if gap.counts and gap is not explained and (gap.node, gap.log) not in known)
    open_ = tuple(gap for gap in (*kept, *new) if not _is_over(conn, gap))
    sends = tuple(send for gap in open_ for send in gap.sends)
    return Compared(_past(conn, sends, open_), Group(head.seq, head.hash, at_ms), new,
                    next((gap for gap in found if not gap.counts), None), explained)  # fmt: skip


def keep(log: PermitLog, found: Compared) -> None:
    """Record the found gaps in the log, and continue it from the journal's head. Raises OSError."""
    for gap in found.new:
        log.add_gap(gap.record(), found.head.at_ms)
    log.adopt(found.head)


def read(record: bytes) -> Gap:
    """Parse a recorded gap."""
    said = json.loads(record)
    return Gap(**{
        **said, "lack": Lack(said["lack"]), "log": tuple(said["log"]), "journal": tuple(said["journal"]),
        "sends": tuple(Permit(**one) for one in said["sends"]), "unlogged": tuple(said["unlogged"]),
    })  # fmt: skip


def has_noticed(conn: Connection, node: str) -> bool:
    """True if this node has recorded a finding before."""
    return conn.execute(select(_M.c.value).where(_M.c.name == _NOTICE + node)).scalar() is not None


def notice(tx: Tx, found: Past) -> None:
    """Record for the other nodes what this node has found, or that it found nothing."""
    tx.fresh.execute(delete(_M).where(_M.c.name == _NOTICE + tx.node))
    if found.episode:
        tx.fresh.execute(insert(_M), {"name": _NOTICE + tx.node, "value": found.episode})


def elsewhere(conn: Connection, node: str) -> dict[str, frozenset[str]]:
    """Other nodes that found gaps, each with the lanes released since for its episode."""
    rows = conn.execute(select(_M.c.name, _M.c.value).where(_M.c.name.startswith(_NOTICE, autoescape=True))).all()
    episodes = {name.removeprefix(_NOTICE): value for name, value in rows if name != _NOTICE + node}
    return {other: _cleared(conn, episode) for other, episode in sorted(episodes.items())}


def clear(tx: Tx, lane: str, episode: str, proposal: str) -> bool:
    """Release a lane for this episode. False if it was released already."""
    seal = _seal(tx.vault, lane, episode, proposal, tx.now_ms)
    values = {"proposal": proposal, "at_ms": tx.now_ms, "seal": seal}
    if insert_new(tx.fresh, schema.past_cleared, {"lane": lane, "episode": episode, **values}):
        return True
    if lane in _cleared(tx.fresh, episode):
        return False
    # Replace a row that was not written with the key: the two persons' decision holds.
    mine = (_C.lane == lane) & (_C.episode == episode)
    tx.fresh.execute(schema.past_cleared.update().where(mine).values(values))
    return True


def move_lane(tx: Tx, old: str, new: str) -> int:
    """Move the releases of the lane `old` to `new`, sealed again, because the seal covers the lane's name."""
    moved = 0
    for row in tx.fresh.execute(select(schema.past_cleared).where(_C.lane == old)).all():
        if row.seal == _seal(tx.vault, old, row.episode, row.proposal, row.at_ms):
            seal = _seal(tx.vault, new, row.episode, row.proposal, row.at_ms)
            moved += insert_new(tx.fresh, schema.past_cleared, {
                "lane": new, "episode": row.episode, "proposal": row.proposal, "at_ms": row.at_ms, "seal": seal,
            })  # fmt: skip
    tx.fresh.execute(delete(schema.past_cleared).where(_C.lane == old))
    return moved


def _cleared(conn: Connection, episode: str) -> frozenset[str]:
    """The released lanes. Only rows written by a holder of the vault's key count."""
    vault = vault_of(conn)
    rows = conn.execute(select(schema.past_cleared).where(_C.episode == episode))
    return frozenset(row.lane for row in rows if row.seal == _seal(vault, row.lane, episode, row.proposal, row.at_ms))


def _seal(vault: Vault, lane: str, episode: str, proposal: str, at_ms: int) -> str:
    return vault.mac(b"past_cleared\n" + json.dumps([lane, episode, proposal, at_ms]).encode()).hex()


def _past(conn: Connection, sends: tuple[Permit, ...], gaps: tuple[Gap, ...]) -> Past:
    # The episode is computed from the logged names, so that renaming a lane does not change it.
    words = sorted({f"{permit.ref} {permit.attempt}" for permit in sends} | {gap.name for gap in gaps})
    if not words:
        return Past()
    episode = hashlib.sha256("\n".join(words).encode()).hexdigest()
    names = lane_names.current_lanes(conn)
    present = (replace(send, ref="/".join(lane_names.current_ref(names, send.ref))) for send in sends)
    return Past(tuple(present), episode, _cleared(conn, episode), gaps)


# ---- what the journal lacks --------------------------------------------------------------------------------------


def _journal_lacks(conn: Connection, log: KnownLog) -> Iterator[Gap]:
    legacy = log.legacy()
    if legacy is not None:
        lost = _Lost()
        lost.take(permit_log.missing(conn, permit_log.read_legacy(legacy)))
        if lost.count:
            yield lost.gap(conn, log.node, Group(0, ""), 0)
    for node, head in log.heads.items():
        if not _has(conn, node, head):
            yield _lacking(conn, [one for one in log.segments() if one.header().node == node], node, head)


def _lacking(conn: Connection, there: Sequence[Segment], node: str, head: Group) -> Gap:
    """What the journal lacks of the entries in these segments."""
    first = next((n for n in reversed(range(len(there))) if _knows_header(conn, there[n].header())), 0)
    place, common = _last_common(conn, there[first:])
    lost = _Lost()
    lost.entries, lost.partial = head.seq - common.seq, place < 0 and there[0].header().head.seq > 0
    lost.take(permit_log.missing(conn, lost.after(_items(there[first:]), place)))
    return lost.gap(conn, node, head, common.seq)


def _has(conn: Connection, node: str, head: Group) -> bool:
    return head.seq == 0 or _of(conn, node, [head.seq]).get(head.seq) == head.hash


def _of(conn: Connection, node: str, seqs: Sequence[int]) -> dict[int, str]:
    rows = conn.execute(select(_A.seq, _A.hash).where(_A.node == node, _A.seq.in_(seqs)))
    return {row.seq: row.hash for row in rows}


def _knows_header(conn: Connection, header: Header) -> bool:
    return _has(conn, header.node, header.head)


def _items(segments: Iterable[Segment]) -> Iterator[permit_log.LogItem]:
    for one in segments:
        yield from one.items()


def _last_common(conn: Connection, segments: Sequence[Segment]) -> tuple[int, Group]:
    """The newest logged group that the journal has, with its position; position -1 if it has none."""
    place, common = -1, Group(0, permit_log.GENESIS)
    waiting: list[tuple[int, Group]] = []
    node = ""

    def ask() -> None:
        nonlocal place, common
        known = _of(conn, node, [group.seq for _place, group in waiting]) if waiting else {}
        for at, group in waiting:
            if known.get(group.seq) == group.hash:
                place, common = at, group
        waiting.clear()

    for at, item in enumerate(_items(segments)):
        if isinstance(item, Header):
            ask()
            node = item.node
            if place < 0 and _knows_header(conn, item):
                place, common = at, item.head
        elif isinstance(item, Group):
            waiting.append((at, item))
            if len(waiting) == _AT_ONCE:
                ask()
    ask()
    return place, common


class _Lost:
    """Counts what the journal lacks. Keeps at most LISTED sends."""

    def __init__(self) -> None:
        self.entries = self.others = self.count = self.from_ms = self.to_ms = 0
        self.sends: list[Permit] = []
        self.partial = False

    def after(self, items: Iterable[permit_log.LogItem], place: int) -> Iterator[Permit]:
        """The permits after this position; the groups after it are counted on the way."""
        for at, item in enumerate(items):
            if at > place and isinstance(item, Group):
                self.others += item.others
                self.from_ms, self.to_ms = self.from_ms or item.at_ms, item.at_ms
            elif at > place and isinstance(item, Permit):
                yield item

    def take(self, sends: Iterable[Permit]) -> None:
        """Count these sends."""
        for one in sends:
            self.count += 1
            if len(self.sends) < LISTED:
                self.sends.append(one)

    def gap(self, conn: Connection, node: str, log: Group, common: int) -> Gap:
        """Everything counted, as a gap."""
        head = audit.head_of(conn, node)
        lack = Lack.FORKED if log.hash and head.seq >= log.seq else Lack.JOURNAL
        return Gap(lack, node, (log.seq, log.hash), (head.seq, head.hash), common, self.entries, self.others,
                   self.from_ms, self.to_ms, self.count, tuple(self.sends), partial=self.partial)  # fmt: skip


def _is_over(conn: Connection, gap: Gap) -> bool:
    """True if the journal has the missing entries again."""
    if gap.lack in (Lack.LOG, Lack.NO_LOG):
        return False
    if gap.log[1]:
        return _has(conn, gap.node, Group(*gap.log))
    return not any(permit_log.forgotten(conn, gap.sends))


# ---- what the log lacks ------------------------------------------------------------------------------------------


def _log_lacks(conn: Connection, log: KnownLog, head: Head) -> Iterator[Gap]:
    """Sends of this node that the log lacks, except those of the journal's last group: the log is written after the
    commit, so that group may be missing."""
    if log.legacy() is not None and any(permit_log.read_legacy(log.folder.with_name(permit_log.LEGACY))):
        return
    before = conn.execute(select(_N.before_seq).where(_N.node == log.node)).scalar()
    if before is None:
        # An older version wrote last. All entries of one group have the same time.
        last = select(_A.at_ms).where(_A.node == log.node, _A.seq == head.seq).scalar_subquery()
        before = conn.execute(select(func.max(_A.seq)).where(_A.node == log.node, _A.at_ms != last)).scalar() or 0
    own = log.own or Group(0, permit_log.GENESIS)
    if not _has(conn, log.node, own):
        return  # the journal lacks entries, which is reported already
    later = (_A.node == log.node) & (_A.seq > own.seq) & (_A.seq <= before) & _A.entry.in_(_SENDS)
    some = conn.execute(select(_A.object_id).where(later).order_by(_A.seq).limit(_AT_ONCE)).scalars().all()
    if not some:
        return
    count = conn.execute(select(func.count()).select_from(schema.audit).where(later)).scalar_one()
    lack = Lack.LOG if log.own is not None else Lack.NO_LOG
    gap = Gap(lack, log.node, (own.seq, own.hash), (head.seq, head.hash), own.seq, count=count)
    yield replace(gap, unlogged=tuple(dict.fromkeys(some)))


def tell(found: Past) -> list[dict[str, Any]]:
    """Each gap as JSON for the control API."""
    return [{"lack": gap.lack.value, "node": gap.node, "common": gap.common, "entries": gap.entries,
             "others": gap.others, "sends": gap.count, "from_ms": gap.from_ms, "to_ms": gap.to_ms,
             "unlogged": list(gap.unlogged), "words": gap.words()} for gap in found.gaps]  # fmt: skip
