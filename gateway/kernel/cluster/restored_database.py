"""Detection of a restored database or permit log, and the lanes that two persons released in spite of it.

A node compares the database with its own permit log, which also has the other nodes' heads as this node read them. A
node that finds a gap records it in the database, and every other node pauses its lanes too. If others have sent
payments, a node without a log waits alone (`other_nodes` admits it). A database that `bankgw restore` restored has a
mark that says so.

The *episode* is a fingerprint of all gaps. Two persons release a lane for one episode; after another restore the
episode differs, and every lane is paused again. Gaps are kept beside the permit log, so that a restart does not forget
them; a gap whose missing entries are back no longer counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select

from gateway.kernel.cluster import broker_holds
from gateway.kernel.cluster.gaps import Gap, GapKind, RestoreFindings
from gateway.kernel.commit import audit, barred_persons, lane_names, lane_releases, permit_lines, permit_log, registers
from gateway.kernel.commit.lane_releases import release_seal
from gateway.kernel.commit.permit_lines import Group, Header, PeerHead, RightsDecision
from gateway.kernel.commit.permit_log import KnownLog, PermitLog, Segment
from gateway.kernel.commit.rows import Head, Permit
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import UNSENT
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import rows
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

LISTED = 1_000
"""The number of missing sends listed by name; further ones are only counted."""
_C = schema.past_cleared.c
_M, _A, _N = schema.meta, schema.audit.c, schema.units.c
_NOTICE = "past."
_NOTICES = select(_M.c.name, _M.c.value).where(_M.c.name.startswith(_NOTICE, autoescape=True))
RESTORED_MARK = "restored"
"""The row of `meta` by which a database says that it was put back from a backup."""
PRESENTED = "permits-of-others"
"""The folder beside the permit log for logs of other nodes, each in a folder of its own."""
_AT_ONCE = 200
_SENDS = ("payment.send", "payment.replay")
_P = schema.payments.c
_UNSENT = tuple(state.value for state in UNSENT)


_LOCAL = (
    GapKind.OTHERS,
    GapKind.PROMOTED,
    GapKind.NOT_SEALED,
)  # each node finds these by itself and tells no other node


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison: `past` with all gaps, the `new` ones among them, and the node's `head` in the
    journal.

    `others` are the other nodes' heads, with their decisions (`words`) since the log last recorded them. `names` are
    the lanes' former names. `harmless` is a gap that pauses nothing, `explained` is one that another process of this
    node's name caused.
    """

    past: RestoreFindings
    head: Group
    new: tuple[Gap, ...] = ()
    harmless: Gap | None = None
    explained: Gap | None = None
    others: tuple[PeerHead, ...] = ()
    words: tuple[RightsDecision, ...] = ()
    names: frozenset[tuple[str, str]] = frozenset()


def compare(
    conn: Connection, log: KnownLog, at_ms: int, outside: Sequence[PeerHead] = (), *, ignore_mark: bool = False
) -> Comparison:
    """Compare the permit log, and heads that are kept `outside`, with the database in both directions; without the mark
    of a restored database if `ignore_mark`. Raises PermitLogBroken."""
    head = audit.head_of(conn, log.node)
    presented = presented_logs(log.folder, log.vault)
    peers = log.tail.peers
    found = [*_journal_lacks(conn, log), *_log_lacks(conn, log, head)]
    found += [
        *others_lost(conn, [*peers.values(), *outside]),
        *(gap for one in presented for gap in _journal_lacks(conn, one)),
        *([] if ignore_mark else _restored(conn)),
    ]
    kept = [parse_gap(record) for record in log.gaps]
    if any(gap.lack in (GapKind.JOURNAL, GapKind.FORKED) for gap in found):
        found = _with_lost_words(conn, found, [log, *presented], kept)
    unknown = _unknown_others(conn, log, presented)
    if unknown is not None and not any(gap.is_newcomer for gap in kept):
        found.append(unknown)
    found += _found_before(conn, log, head)
    known = {(gap.node, gap.log) for gap in kept}
    explained = next((gap for gap in found if gap.lack is GapKind.LOG and log.tail.another), None)
    new = tuple(gap for gap in found if gap.counts and gap is not explained and (gap.node, gap.log) not in known)
    open_ = tuple(gap for gap in (*kept, *new) if not (unknown is None if gap.is_newcomer else _is_over(conn, gap)))
    others = () if unknown is not None else tuple(heads_of_others(conn, log.node))
    words = tuple(
        word
        for peer in others
        if peer.node in peers and peer.seq > peers[peer.node].seq
        for word in audit.words_of(conn, log.vault, peer.node, peers[peer.node].seq, peer.seq)
    )
    return Comparison(
        past_of(conn, open_),
        Group(head.seq, head.hash, at_ms),
        new,
        next((gap for gap in found if not gap.counts), None),
        explained,
        others,
        words,
        frozenset(names(conn)),
    )


def names(conn: Connection) -> Iterator[tuple[str, str]]:
    """Pairs of a lane's former and present name, from the rows and from the audit trail. The permit log is asked for
    both names, so that an altered or deleted row hides no send.
    """
    yield from lane_names.current_lanes(conn).items()
    for old, said in registers.in_trail(conn, schema.lane_renames.name):
        yield old, str(said.words["lane"])


def past_of(conn: Connection, gaps: Sequence[Gap]) -> RestoreFindings:
    """The consequences of these gaps for the lanes."""
    return _past(conn, tuple(send for gap in gaps for send in gap.sends), tuple(gaps))


def keep(log: PermitLog, found: Comparison) -> None:
    """Record the found gaps in the permit log, and let the log continue from the journal's head. Raises OSError."""
    for gap in found.new:
        log.add_gap(gap.record(), found.head.at_ms)
    log.use_names(found.names)
    log.adopt(found.head)
    log.see(found.others, found.words)


def parse_gap(record: bytes) -> Gap:
    """Parse a recorded gap."""
    said = json.loads(record)
    return Gap(
        **{
            **said,
            "lost_words": tuple(RightsDecision(**one) for one in said.get("lost_words", ())),
            "lack": GapKind(said["lack"]),
            "log": tuple(said["log"]),
            "journal": tuple(said["journal"]),
            "sends": tuple(Permit(**one) for one in said["sends"]),
            "unlogged": tuple(said["unlogged"]),
            "unsealed": tuple(said.get("unsealed", ())),
        }
    )


def has_noticed(conn: Connection, node: str) -> bool:
    """True if this node has recorded the result of a comparison before, or somebody has written a row in its name."""
    rows = (_NOTICE + node, barred_persons.row_name(node))
    return conn.execute(select(_M.c.name).where(_M.c.name.in_(rows))).first() is not None


def notice(tx: Tx, found: RestoreFindings) -> None:
    """Record for the other nodes what this node has found, or that it found nothing."""
    tx.fresh.execute(delete(_M).where(_M.c.name == _NOTICE + tx.node))
    barred_persons.bar(tx, found.barred)
    if found.told:
        tx.fresh.execute(insert(_M), {"name": _NOTICE + tx.node, "value": found.told})


def elsewhere(conn: Connection, node: str) -> dict[str, frozenset[str]]:
    """The other nodes that found gaps, each with the lanes that were released for its gaps since."""
    notices = rows(conn, _NOTICES, {})
    episodes = {name.removeprefix(_NOTICE): value for name, value in notices if name != _NOTICE + node}
    return {other: _cleared(conn, episode) for other, episode in sorted(episodes.items())}


def clear(tx: Tx, lane: str, episode: str, proposal: str) -> bool:
    """Release a lane for the gaps of this episode. False if it was released already."""
    seal = release_seal(tx.vault, lane, episode, proposal, tx.now_ms)
    values = {"proposal": proposal, "at_ms": tx.now_ms, "seal": seal}
    if insert_new(tx.fresh, schema.past_cleared, {"lane": lane, "episode": episode, **values}):
        return True
    if lane in _cleared(tx.fresh, episode):
        return False
    # Replace a row that was not written with the key: the two persons' decision holds.
    mine = (_C.lane == lane) & (_C.episode == episode)
    tx.fresh.execute(schema.past_cleared.update().where(mine).values(values))
    return True


def let_go(tx: Tx, lane: str, past: RestoreFindings, proposal: str) -> None:
    """Release a lane for all gaps that this node found, also as the other nodes read them."""
    if past.may_lack_sends(lane):
        tx.fresh.execute(delete(schema.past_cleared).where(_C.lane == lane, _C.episode == lane_releases.UNLISTED))
        clear(tx, lane, lane_releases.UNLISTED, proposal)
    for episode in {past.episode, past.told} - {""}:
        clear(tx, lane, episode, proposal)


def let_go_ms(conn: Connection) -> int:
    """When two persons last released a lane; 0 if never. Work planned before that time may have been carried out
    already, because the journal was restored from an earlier state.
    """
    vault = vault_of(conn)
    rows = conn.execute(select(schema.past_cleared))
    return max(
        (row.at_ms for row in rows if row.seal == release_seal(vault, row.lane, row.episode, row.proposal, row.at_ms)),
        default=0,
    )


def move_lane(tx: Tx, old: str, new: str) -> int:
    """Move the releases of the lane `old` to `new`, sealed again, because the seal covers the lane's name."""
    moved = 0
    for row in tx.fresh.execute(select(schema.past_cleared).where(_C.lane == old)).all():
        if row.seal == release_seal(tx.vault, old, row.episode, row.proposal, row.at_ms):
            seal = release_seal(tx.vault, new, row.episode, row.proposal, row.at_ms)
            moved += insert_new(
                tx.fresh,
                schema.past_cleared,
                {"lane": new, "episode": row.episode, "proposal": row.proposal, "at_ms": row.at_ms, "seal": seal},
            )
    tx.fresh.execute(delete(schema.past_cleared).where(_C.lane == old))
    return moved


def _cleared(conn: Connection, episode: str) -> frozenset[str]:
    """The lanes released for an episode. Only rows written by a holder of the vault's key count."""
    vault = vault_of(conn)
    rows = conn.execute(select(schema.past_cleared).where(_C.episode == episode))
    return frozenset(
        row.lane for row in rows if row.seal == release_seal(vault, row.lane, episode, row.proposal, row.at_ms)
    )


def _past(conn: Connection, sends: tuple[Permit, ...], gaps: tuple[Gap, ...]) -> RestoreFindings:
    # The episode is computed from the logged names, so that renaming a lane does not change it.
    words = sorted({f"{permit.ref} {permit.attempt}" for permit in sends} | {gap.name for gap in gaps})
    if not words:
        return RestoreFindings()
    told = sorted(set(words) - {gap.name for gap in gaps if gap.lack in _LOCAL})
    names = lane_names.current_lanes(conn)
    present = (replace(send, ref="/".join(lane_names.current_ref(names, send.ref))) for send in sends)
    episode = _fingerprint(words)
    return RestoreFindings(tuple(present), episode, _cleared(conn, episode), gaps, _fingerprint(told) if told else "")


def _fingerprint(words: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


# ---- what the journal lacks --------------------------------------------------------------------------------------


def _journal_lacks(conn: Connection, log: KnownLog) -> Iterator[Gap]:
    legacy = log.legacy()
    if legacy is not None:
        lost = _MissingEntries()
        lost.count_sends(permit_log.missing(conn, permit_log.read_legacy(legacy)))
        if lost.count:
            yield lost.gap(conn, log.node, Group(0, ""), 0)
    for node, head in log.heads.items():
        if not has(conn, node, head.seq, head.hash):
            yield _lacking(conn, [one for one in log.segments() if one.header().node == node], node, head)


def _lacking(conn: Connection, there: Sequence[Segment], node: str, head: Group) -> Gap:
    """The gap of the entries that these log segments have and the journal lacks."""
    first = next((n for n in reversed(range(len(there))) if _knows_header(conn, there[n].header())), 0)
    place, common = _last_common(conn, there[first:])
    lost = _MissingEntries()
    lost.entries, lost.partial = head.seq - common.seq, place < 0 and there[0].header().head.seq > 0
    lost.count_sends(permit_log.missing(conn, lost.after(_items(there[first:]), place)))
    return lost.gap(conn, node, head, common.seq)


def has(conn: Connection, node: str, seq: int, hashed: str) -> bool:
    """True if the journal has this entry of the node's audit chain."""
    return seq == 0 or _of(conn, node, [seq]).get(seq) == hashed


def knows_head(conn: Connection, node: str, seq: int, hashed: str) -> bool:
    """As `has`; an entry that was deleted after its retention period counts as present."""
    return has(conn, node, seq, hashed) or seq <= audit.bases(conn).get(node, audit.AuditBase()).size


def is_without_log(conn: Connection, log: KnownLog) -> bool:
    """True if this node has no permit log although the journal has orders that it records as unsent."""
    if _is_there(log):
        return False
    return conn.execute(select(_P.payment).where(_P.state.in_(_UNSENT)).limit(1)).first() is not None


def waits_for_mark(log: KnownLog) -> bool:
    """True if the node once started without a log, and has not read the broker's mark since."""
    said = [gap for gap in map(parse_gap, log.gaps) if gap.lack is GapKind.UNREAD]
    return bool(said) and not said[-1].note


def note_waiting(log: PermitLog) -> None:
    """Record that the node waits for the broker's mark, so that it still waits after a restart. Raises OSError."""
    log.add_gap(_of_mark(log).record(), log.head.at_ms)


def note_read(log: PermitLog) -> None:
    """Record that the node has read the broker's mark. Raises OSError."""
    log.add_gap(replace(_of_mark(log), note="read").record(), log.head.at_ms)


def _of_mark(log: PermitLog) -> Gap:
    return Gap(GapKind.UNREAD, log.node, (0, ""), (0, ""), 0)


def _has(conn: Connection, node: str, head: Group) -> bool:
    return has(conn, node, head.seq, head.hash)


def _of(conn: Connection, node: str, seqs: Sequence[int]) -> dict[int, str]:
    rows = conn.execute(select(_A.seq, _A.hash).where(_A.node == node, _A.seq.in_(seqs)))
    return {row.seq: row.hash for row in rows}


def _knows_header(conn: Connection, header: Header) -> bool:
    return _has(conn, header.node, header.head)


def _items(segments: Iterable[Segment]) -> Iterator[permit_lines.LogItem]:
    for one in segments:
        yield from one.items()


def _last_common(conn: Connection, segments: Sequence[Segment]) -> tuple[int, Group]:
    """The newest group in the log that the journal also has, and its position; position -1 if the journal has none."""
    place, common = -1, Group(0, permit_lines.GENESIS)
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


class _MissingEntries:
    """Counts the entries that the journal lacks. Lists at most LISTED missing sends."""

    def __init__(self) -> None:
        self.entries = self.others = self.count = self.from_ms = self.to_ms = 0
        self.sends: list[Permit] = []
        self.partial = False

    def after(self, items: Iterable[permit_lines.LogItem], place: int) -> Iterator[Permit]:
        """The permits after this position in the log. Also counts the groups that it passes."""
        for at, item in enumerate(items):
            if at > place and isinstance(item, Group):
                self.others += item.others
                self.from_ms, self.to_ms = self.from_ms or item.at_ms, item.at_ms
            elif at > place and isinstance(item, Permit):
                yield item

    def count_sends(self, sends: Iterable[Permit]) -> None:
        """Add these sends to the missing ones."""
        for one in sends:
            self.count += 1
            if len(self.sends) < LISTED:
                self.sends.append(one)

    def gap(self, conn: Connection, node: str, log: Group, common: int) -> Gap:
        """The gap with everything that was counted."""
        head = audit.head_of(conn, node)
        lack = GapKind.FORKED if log.hash and head.seq >= log.seq else GapKind.JOURNAL
        return Gap(
            lack,
            node,
            (log.seq, log.hash),
            (head.seq, head.hash),
            common,
            self.entries,
            self.others,
            self.from_ms,
            self.to_ms,
            self.count,
            tuple(self.sends),
            partial=self.partial,
        )


def _is_over(conn: Connection, gap: Gap) -> bool:
    """True if the journal has the gap's missing entries again, or if the record is about no entries."""
    if gap.lack is GapKind.UNREAD:
        return True
    if gap.lack is GapKind.RESTORED:
        return gap not in _restored(conn)
    if gap.lack is GapKind.MARK:
        return broker_holds.has_life(conn, *gap.log) and knows_head(conn, gap.node, *gap.journal)
    if gap.lack in (GapKind.LOG, GapKind.NO_LOG, GapKind.OTHERS, GapKind.FOUND_BEFORE):
        return False
    if gap.log[1]:
        return _has(conn, gap.node, Group(*gap.log))
    return not any(permit_log.forgotten(conn, gap.sends))


# ---- what the log lacks ------------------------------------------------------------------------------------------


def _log_lacks(conn: Connection, log: KnownLog, head: Head) -> Iterator[Gap]:
    """The gaps of this node's sends that the journal has and the log lacks. The sends of the journal's last group are
    left out, because the log is written after the commit.
    """
    if log.legacy() is not None and any(permit_log.read_legacy(log.folder.with_name(permit_log.LEGACY))):
        return
    before = conn.execute(select(_N.before_seq).where(_N.node == log.node)).scalar()
    if before is None:
        # An older version wrote last. All entries of one group have the same time.
        last = select(_A.at_ms).where(_A.node == log.node, _A.seq == head.seq).scalar_subquery()
        before = conn.execute(select(func.max(_A.seq)).where(_A.node == log.node, _A.at_ms != last)).scalar() or 0
    own = log.own or Group(0, permit_lines.GENESIS)
    if not _has(conn, log.node, own):
        return  # the journal lacks entries, which is reported already
    later = (_A.node == log.node) & (_A.seq > own.seq) & (_A.seq <= before) & _A.entry.in_(_SENDS)
    some = conn.execute(select(_A.object_id).where(later).order_by(_A.seq).limit(_AT_ONCE)).scalars().all()
    if not some:
        return
    count = conn.execute(select(func.count()).select_from(schema.audit).where(later)).scalar_one()
    lack = GapKind.LOG if log.own is not None else GapKind.NO_LOG
    gap = Gap(lack, log.node, (own.seq, own.hash), (head.seq, head.hash), own.seq, count=count)
    yield replace(gap, unlogged=tuple(dict.fromkeys(some)))


# ---- other nodes --------------------------------------------------------------------------------------------------


def presented_logs(folder: Path, vault: Vault) -> list[KnownLog]:
    """The logs of other nodes that were put into the folder PRESENTED beside this node's log."""
    place = folder.with_name(PRESENTED)
    folders = sorted(one for one in place.iterdir() if one.is_dir()) if place.is_dir() else []
    there = [permit_log.know(one, vault, "") for one in folders]
    return [replace(one, node=one.tail.node) for one in there if one.tail.head is not None]


def heads_of_others(conn: Connection, node: str) -> list[PeerHead]:
    """The heads of the other nodes, as a holder of the vault's key wrote them."""
    vault = vault_of(conn)
    rows = conn.execute(select(schema.units).where(_N.node != node).order_by(_N.node))
    return [PeerHead(row.node, row.audit_seq, row.audit_hash) for row in rows if audit.head_fits(vault, row)]


def others_lost(conn: Connection, known: Iterable[PeerHead]) -> Iterator[Gap]:
    """The gaps of other nodes' entries that this node has seen in the journal and that are missing there now."""
    for peer in known:
        if not has(conn, peer.node, peer.seq, peer.hash):
            head = audit.head_of(conn, peer.node)
            lack = GapKind.FORKED if head.seq >= peer.seq else GapKind.JOURNAL
            yield Gap(
                lack,
                peer.node,
                (peer.seq, peer.hash),
                (head.seq, head.hash),
                min(head.seq, peer.seq),
                max(peer.seq - head.seq, 0),
                partial=True,
            )


def senders(conn: Connection, node: str) -> list[str]:
    """The other nodes that have sent payments, according to the journal."""
    nodes = conn.execute(select(_N.node).where(_N.node != node).order_by(_N.node)).scalars().all()
    return [one for one in nodes if _sent_after(conn, one, 0)]


def _sent_after(conn: Connection, node: str, seq: int) -> bool:
    sends = select(_A.seq).where(_A.node == node, _A.seq > seq, _A.entry.in_(_SENDS)).limit(1)
    return conn.execute(sends).first() is not None


def _unknown_others(conn: Connection, log: KnownLog, presented: Sequence[KnownLog]) -> Gap | None:
    """The gap of a node that has no log of the other nodes; None if there is a log, or if no other node has sent."""
    waits = any(parse_gap(record).is_newcomer for record in log.gaps)
    if _is_there(log) and not waits:
        return None
    known = {peer.node: peer.seq for peer in log.tail.peers.values()}
    for one in presented:
        known |= {peer.node: max(peer.seq, known.get(peer.node, 0)) for peer in one.tail.peers.values()}
        head = audit.head_of(conn, one.node)
        if not any(_log_lacks(conn, one, head)):
            known[one.node] = head.seq
    nodes = [
        one
        for one in senders(conn, log.node)
        if one not in known or (one not in log.tail.peers and _sent_after(conn, one, known[one]))
    ]
    head = audit.head_of(conn, log.node)
    return Gap(GapKind.OTHERS, log.node, (0, ""), (head.seq, head.hash), 0, unlogged=tuple(nodes)) if nodes else None


def _is_there(log: KnownLog) -> bool:
    legacy = log.legacy()
    return log.tail.head is not None or (legacy is not None and any(permit_log.read_legacy(legacy)))


def _found_before(conn: Connection, log: KnownLog, head: Head) -> list[Gap]:
    """The gap that an earlier life of this node found, according to the database, if its permit log is gone: the other
    nodes wait until two persons release the lanes here, so that this node must not withdraw what it cannot judge.
    """
    episode = conn.execute(select(_M.c.value).where(_M.c.name == _NOTICE + log.node)).scalar()
    if episode is None or _is_there(log):
        return []
    return [Gap(GapKind.FOUND_BEFORE, log.node, (0, episode), (head.seq, head.hash), 0)]


def _with_lost_words(conn: Connection, found: list[Gap], logs: Sequence[KnownLog], kept: list[Gap]) -> list[Gap]:
    """The gaps, completed with persons' decisions: the first gap lists those that logs have and the journal lacks, and
    counts those that no `kept` gap has.
    """
    lost = {word: None for one in logs for word in permit_log.rights_decisions(one.folder) if not _has_word(conn, word)}
    first = next(gap for gap in found if gap.lack in (GapKind.JOURNAL, GapKind.FORKED))
    count = max(first.others, len(lost.keys() - {word for gap in kept for word in gap.lost_words}))
    return [replace(gap, lost_words=tuple(lost)[:LISTED], others=count) if gap is first else gap for gap in found]


def _has_word(conn: Connection, word: RightsDecision) -> bool:
    row = conn.execute(select(_A.entry, _A.object_id).where(_A.node == word.node, _A.seq == word.seq)).first()
    return row is not None and (row.entry, row.object_id) == (word.entry, word.about)


# ---- a database that `bankgw restore` put back ----------------------------------------------------------------------


def restored_mark(vault: Vault, nonce: str, backup: str) -> tuple[str, str]:
    """The name and value of the row in `meta` that marks a database as restored from a backup."""
    return RESTORED_MARK, json.dumps([nonce, backup, _restored_mac(vault, nonce, backup)])


def knows_all(conn: Connection, log: KnownLog, found: RestoreFindings) -> bool:
    """True if this log proves that the journal is complete: no other node has sent payments."""
    return log.tail.head is not None and not found.episode and not senders(conn, log.node)


def _restored(conn: Connection) -> list[Gap]:
    value = conn.execute(select(_M.c.value).where(_M.c.name == RESTORED_MARK)).scalar()
    if value is None:
        return []
    nonce, backup, mac = json.loads(value)
    # A forged row also stops sending. This is the safe result, and two persons can end it.
    known = mac == _restored_mac(vault_of(conn), nonce, backup)
    return [Gap(GapKind.RESTORED, "", (0, nonce), (0, backup if known else ""), 0)]


def _restored_mac(vault: Vault, nonce: str, backup: str) -> str:
    return vault.mac(b"restored database\n" + json.dumps([nonce, backup]).encode()).hex()


def tell(found: RestoreFindings) -> list[dict[str, Any]]:
    """The gaps as JSON for the control API."""
    return [
        {
            "lack": gap.lack.value,
            "node": gap.node,
            "common": gap.common,
            "entries": gap.entries,
            "others": gap.others,
            "sends": gap.count,
            "from_ms": gap.from_ms,
            "to_ms": gap.to_ms,
            "unlogged": list(gap.unlogged),
            "persons": sorted(gap.persons),
            "words": gap.sentence(),
        }
        for gap in found.gaps
    ]
