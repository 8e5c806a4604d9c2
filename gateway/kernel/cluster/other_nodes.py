"""Compares the journal with this node's permit log, which records what other nodes wrote, and admits nodes that have no
log.

Each comparison writes the other nodes' heads, and their decisions about persons, policies and pools, into this node's
log. So every node notices a database that lost what another node wrote.

A node without a permit log cannot tell whether the journal has all entries of other nodes, so its lanes wait. The node
writes a nonce into the journal. A node whose own log agrees with the journal answers with the heads in its log, under a
MAC of the vault's key over nonce, node and heads. If there is no such node, the other nodes' logs or two persons admit
the node.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from gateway.kernel import log
from gateway.kernel.clock import Clock, Entropy
from gateway.kernel.cluster import broker_holds, promotions, restored_database, sealing
from gateway.kernel.cluster.broker_holds import BrokerHold
from gateway.kernel.cluster.gaps import Gap, GapKind, RestoreFindings
from gateway.kernel.cluster.safe_mode import SafeMode
from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.permit_lines import Group, PeerHead, RightsDecision
from gateway.kernel.commit.permit_log import PermitLog
from gateway.kernel.commit.store import Store, Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import rows
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

_M = schema.meta.c
_ASKS, _ANSWERS = "ask.", "say."
_QUESTIONS = select(_M.name, _M.value).where(_M.name.startswith(_ASKS, autoescape=True))
_NONCE_BYTES = 16
_log = log.get("journal.other_nodes")


@dataclass(frozen=True, slots=True)
class OthersSeen:
    """The journal's records about the other nodes at one moment: their heads, the persons' decisions since the last
    reading, and the entries that the journal lacks.
    """

    heads: Sequence[PeerHead]
    words: Sequence[RightsDecision]
    lacks: Sequence[Gap]
    absent: Sequence[Gap]
    unsaid: bool


class OtherNodes:
    """Compares the journal with this node's log of other nodes, and admits nodes that have no log. Call `begin` at the
    start, `compare` at each heartbeat and take-over, `let_in` each second.
    """

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        node: str,
        permit_log: PermitLog,
        safe_mode: SafeMode,
        on_changed: Callable[[], object],
        now_ms: Callable[[], int],
    ) -> None:
        self._store, self._entropy, self._node = store, entropy, node
        self._permit_log, self._safe_mode, self._on_changed = permit_log, safe_mode, on_changed
        self._now_ms, self._nonce = now_ms, ""
        known = permit_log.known
        self._compared = {peer.node: peer.seq for peer in known.tail.peers.values()}
        self._compared |= {name: head.seq for name, head in known.heads.items()}

    async def begin(self) -> None:
        """Ask the other nodes to confirm that the journal is complete, if this node has no log that knows them."""
        if self._safe_mode.past.is_newcomer:
            self._nonce = self._entropy.bytes(_NONCE_BYTES).hex()
            await self._store.write(partial(ask, nonce=self._nonce))

    async def compare(self) -> None:
        """Compare the journal with this node's log of other nodes, then append their new entries to the log."""
        seen = await self._store.read(
            partial(
                read_other_nodes,
                node=self._node,
                known=dict(self._permit_log.peers),
                own=self._permit_log.head,
                now_ms=self._now_ms(),
            )
        )
        if seen.lacks:
            await self._lost(seen.lacks)
        await self._promoted(seen)
        if not self._safe_mode.past.is_newcomer:
            self._permit_log.see(seen.heads, seen.words)

    async def _lost(self, lacks: Sequence[Gap]) -> None:
        kept = {(gap.node, gap.log) for gap in self._safe_mode.past.gaps}
        new = [gap for gap in lacks if (gap.node, gap.log) not in kept]
        for gap in new:
            _log.error("journal.gap", what=gap.sentence(), entries=gap.entries, sends=gap.count)
            self._permit_log.add_gap(gap.record(), self._permit_log.head.at_ms)
        if new:
            past = self._safe_mode.past
            gaps = (*past.gaps, *new)
            self._safe_mode.past = await self._store.read(lambda conn: restored_database.past_of(conn, gaps))
            await self._store.write(partial(restored_database.notice, found=self._safe_mode.past))
            self._on_changed()

    async def _promoted(self, seen: OthersSeen) -> None:
        """After the promotion of a replica: record that this node's log agrees with the new server, and wait until the
        other nodes have recorded the same."""
        before = self._safe_mode.past.gaps
        gaps = [gap for gap in before if gap.lack is not GapKind.PROMOTED]
        if seen.unsaid and not gaps:
            await self._store.write(promotions.agree)
        if [*gaps, *seen.absent] != list(before):
            for gap in seen.absent:
                _log.error("journal.gap", what=gap.sentence(), lanes=gap.unlogged)
            absent = seen.absent
            self._safe_mode.past = await self._store.read(
                lambda conn: restored_database.past_of(conn, [*gaps, *absent])
            )
            self._on_changed()

    @property
    def head(self) -> tuple[int, str]:
        """The number and hash of the last entry of this node's audit chain, by its permit log."""
        return self._permit_log.head.seq, self._permit_log.head.hash

    async def may_follow(self, hold: BrokerHold | None, head: tuple[int, str], words: str) -> bool:
        """Whether this journal may hold the virtual host next. The broker's mark names the last life (`hold`, `words`)
        and the audit `head` that it had reached; the journal must have both. Otherwise the database is older: SAFE
        MODE, and False until two persons have released all lanes. A head that the permit log had at the start was
        compared then, in more detail."""
        if hold is not None and head[0] <= self._compared.get(hold.node, 0):
            head = (0, "")
        if hold is None or await self._store.read(lambda conn: _has_life(conn, hold, head)):
            return self._mark_read(allowed=True)
        gap = Gap(GapKind.MARK, hold.node, (hold.fence, hold.whose), head, 0, note=words)
        await self._lost([gap])
        if any(one.lack is GapKind.MARK and (one.node, one.log) == (gap.node, gap.log) for one in self._past.gaps):
            # Two persons may have released the lanes at another node.
            gaps = self._past.gaps
            self._safe_mode.past = await self._store.read(lambda conn: restored_database.past_of(conn, gaps))
        return self._mark_read(allowed=self._safe_mode.is_over_for_all)

    @property
    def _past(self) -> RestoreFindings:
        return self._safe_mode.past

    def _mark_read(self, *, allowed: bool) -> bool:
        if self._safe_mode.unread:
            restored_database.note_read(self._permit_log)
            self._safe_mode.unread = False
            self._on_changed()
        return allowed

    async def let_in(self) -> None:
        """Answer the nodes that ask this one to confirm that the journal is complete, and read the answer to this
        node's own question.
        """
        if self._safe_mode.past.is_newcomer:
            await self._hear()
        elif not self._safe_mode.reason:
            asked = await self._store.read(partial(unanswered, node=self._node))
            if asked:
                own = self._permit_log.head
                known = {node: (peer.seq, peer.hash) for node, peer in self._permit_log.peers.items()}
                known[self._node] = (own.seq, own.hash)
                for node in await self._store.write(partial(answer, heads=known)):
                    _log.info("node.vouched_for", newcomer=node)

    async def _hear(self) -> None:
        heads = await self._store.read(partial(heard, node=self._node, nonce=self._nonce)) if self._nonce else ()
        if heads:
            self._permit_log.see(heads)
            past = self._safe_mode.past
            self._safe_mode.past = await self._store.read(
                lambda conn: restored_database.past_of(conn, [gap for gap in past.gaps if not gap.is_newcomer])
            )
            _log.info("node.let_in", by="another node whose permit log agrees with the journal")
            await self._store.write(partial(restored_database.notice, found=self._safe_mode.past))
            self._on_changed()


async def compare_at_start(
    store: Store, permit_log: PermitLog, clock: Clock, outside: Sequence[PeerHead] = ()
) -> RestoreFindings:
    """Compare the journal with the permit log and with the heads that a witness keeps `outside`, and record the entries
    that are missing. Nothing may be written to the journal before.
    """
    known = permit_log.known
    found, is_new_node = await store.read(
        lambda conn: (
            sealing.compared(conn, known.node, lambda: restored_database.compare(conn, known, clock.now_ms(), outside)),
            restored_database.is_without_log(conn, known),
        )
    )
    waited = restored_database.waits_for_mark(known)
    if is_new_node and not waited:
        # Recorded before the log begins, so that the next life, which finds a log, waits as well.
        restored_database.note_waiting(permit_log)
    restored_database.keep(permit_log, found)
    for gap in found.past.gaps:
        _log.error("journal.gap", what=gap.sentence(), entries=gap.entries, words_of_others=gap.others, sends=gap.count)
    if found.harmless is not None:
        _log.warning(
            "journal.gap",
            what=found.harmless.sentence(),
            action="no action is needed: the node repeats these acts, or asks the bank about them",
        )
    if found.explained is not None:
        _log.warning(
            "journal.written_by_another",
            what=found.explained.sentence(),
            action="another process wrote as this node, which ended for that reason; sending goes on; give every "
            "instance its own `node`, and run each once",
        )
    absent = await store.read(lambda conn: promotions.waiting(conn, permit_log.node, clock.now_ms()))
    past = found.past
    if absent:
        past = await store.read(lambda conn: restored_database.past_of(conn, [*found.past.gaps, *absent]))
    return replace(past, is_new_node=is_new_node or waited)


def read_other_nodes(conn: Connection, node: str, known: Mapping[str, PeerHead], own: Group, now_ms: int) -> OthersSeen:
    """Read the journal's records of the other nodes."""
    registers.follow(conn, node)
    heads = restored_database.heads_of_others(conn, node)
    vault = vault_of(conn)
    words = [
        word
        for head in heads
        if head.node in known and head.seq > known[head.node].seq
        for word in audit.words_of(conn, vault, head.node, known[head.node].seq, head.seq)
    ]
    # The log may be one group behind the journal. It is never ahead of a complete journal.
    unsaid = promotions.unsaid(conn, node) and restored_database.has(conn, node, own.seq, own.hash)
    return OthersSeen(
        heads,
        words,
        [*restored_database.others_lost(conn, known.values())],
        promotions.waiting(conn, node, now_ms),
        unsaid,
    )


def _has_life(conn: Connection, hold: BrokerHold, head: tuple[int, str]) -> bool:
    return broker_holds.is_ours(conn, hold) and restored_database.knows_head(conn, hold.node, *head)


# ---- the question and its answer ---------------------------------------------------------------------------------


def ask(tx: Tx, nonce: str) -> None:
    """Write a nonce by which this node, which has no permit log, asks the others whether the journal is complete.
    Deletes the node's older question and its answer.
    """
    tx.fresh.execute(delete(schema.meta).where(_M.name.in_((_ASKS + tx.node, _ANSWERS + tx.node))))
    value = json.dumps([nonce, _mac(tx.vault, "ask", tx.node, nonce, {})])
    tx.fresh.execute(insert(schema.meta), {"name": _ASKS + tx.node, "value": value})


def unanswered(conn: Connection, node: str) -> list[tuple[str, str]]:
    """The other nodes whose question whether the journal is complete has no answer, each with its nonce."""
    asked = rows(conn, _QUESTIONS, {})
    vault, found = vault_of(conn), []
    for name, value in asked:
        other, (nonce, mac) = name.removeprefix(_ASKS), json.loads(value)
        said = conn.execute(select(_M.value).where(_M.name == _ANSWERS + other)).scalar()
        fresh = said is None or json.loads(said)[0] != nonce
        if other != node and fresh and mac == _mac(vault, "ask", other, nonce, {}):
            found.append((other, nonce))
    return found


def answer(tx: Tx, heads: Mapping[str, tuple[int, str]]) -> list[str]:
    """Confirm to each asking node that the journal is complete, if it has all these heads. Returns the nodes that got
    the answer.
    """
    if not all(restored_database.has(tx.fresh, node, *head) for node, head in heads.items()):
        return []
    asked = unanswered(tx.fresh, tx.node)
    for other, nonce in asked:
        tx.fresh.execute(delete(schema.meta).where(_M.name == _ANSWERS + other))
        said = {node: list(head) for node, head in heads.items() if node != other}
        value = json.dumps([nonce, said, _mac(tx.vault, "say", other, nonce, said)])
        tx.fresh.execute(insert(schema.meta), {"name": _ANSWERS + other, "value": value})
        audit.append(tx, f"node:{tx.node}", "node.vouched_for", f"node:{other}")
    return [other for other, _nonce in asked]


def heard(conn: Connection, node: str, nonce: str) -> Sequence[PeerHead]:
    """The heads with which another node answered this node's question. Empty unless an answer covers every node that
    has sent payments.
    """
    value = conn.execute(select(_M.value).where(_M.name == _ANSWERS + node)).scalar()
    if value is None:
        return ()
    said_nonce, said, mac = json.loads(value)
    if said_nonce != nonce or mac != _mac(vault_of(conn), "say", node, nonce, said):
        return ()
    agrees = all(restored_database.has(conn, other, seq, hashed) for other, (seq, hashed) in said.items())
    if not agrees or not set(restored_database.senders(conn, node)) <= set(said):
        return ()
    return [PeerHead(other, seq, hashed) for other, (seq, hashed) in sorted(said.items())]


def _mac(vault: Vault, kind: str, node: str, nonce: str, heads: Mapping[str, Any]) -> str:
    return vault.mac(b"newcomer\n" + json.dumps([kind, node, nonce, heads], sort_keys=True).encode()).hex()
