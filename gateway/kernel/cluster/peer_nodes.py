"""Nodes that share a journal: heartbeats, and the takeover of a dead node's outbox messages.

From the others, each node also learns here that the database was restored, that a lane or a company was paused, or
that there is an emergency stop. A node that has lost the broker releases its outbox messages to nodes that have it.

A node's heartbeat is its row in `units`, which every commit of its writer updates; an idle node commits only for the
heartbeat. A message keeps its id whichever node publishes it, so that a node that was wrongly taken for dead causes
only a repeated message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, bindparam, select

from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster import lane_pauses, restored_database, stops
from gateway.kernel.cluster.other_nodes import OtherNodes
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.meters import Meters
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import rows
from gateway.kernel.tasks import Tasks, attempt, sleep

BEAT_S = 5.0
DEAD_MS = 15_000
"""As long as a lane's lease. Messages of a dead node wait no longer than this plus one heartbeat."""
STOP_LOOK_S = 1.0
"""How often a node checks for an emergency stop. A node that cannot check loses its leases, and stops sending,
within 15 s."""
_log = log.get("journal.peer_nodes")
_ALIVE = select(schema.units.c.node).where(
    schema.units.c.node != bindparam("b_node"), schema.units.c.at_ms >= bindparam("b_after")
)
_U, _M = schema.units.c, schema.outbox.c
_WAITING = select(_M.message_id).where(_M.node == _U.node, _M.state == OutboxState.WAITING.value).exists()
_SILENT = (
    select(_U.node).where(_U.node != bindparam("b_node"), _U.at_ms < bindparam("b_before"), _WAITING).order_by(_U.node)
)

_OTHERS = select(_U.node).where(_U.node != bindparam("b_node"), _WAITING).order_by(_U.node)


def silent_nodes(conn: Connection, node: str, now_ms: int) -> list[str]:
    """Other nodes that have committed nothing for DEAD_MS and have messages waiting to be published."""
    return [found.node for found in rows(conn, _SILENT, {"b_node": node, "b_before": now_ms - DEAD_MS})]


def claim(tx: Tx, dead_node: str) -> int:
    """Take over the waiting messages of a dead node, or those that belong to no node. Returns their number; 0 if the
    node is alive.
    """
    if dead_node == outbox.NOBODY:
        return outbox.claim_orphans(tx, dead_node, tx.node)
    at_ms = tx.raw.execute(select(schema.units.c.at_ms).where(schema.units.c.node == dead_node)).scalar()
    if at_ms is None or at_ms >= tx.now_ms - DEAD_MS:
        return 0
    return outbox.claim_orphans(tx, dead_node, tx.node)


async def claim_all(store: Store, node: str) -> None:
    """Take over the waiting messages of every other node name. Call it only before the broker is connected and where no
    other node can exist: then the names are this node's former names, and no other node would publish the messages.
    """
    others = await store.read(lambda conn: [found.node for found in rows(conn, _OTHERS, {"b_node": node})])
    for other in others:
        _claimed(other, await store.write(partial(outbox.claim_orphans, dead_node=other, by=node)))


def _claimed(other: str, messages: int) -> bool:
    if messages:
        _log.warning(
            "outbox.claimed",
            of=other,
            messages=messages,
            action="this node publishes the messages that the other node had not published",
        )
    return bool(messages)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The result of one reading of the journal by PeerNodes."""

    noticed: Mapping[str, frozenset[str]]
    pauses: Mapping[str, lane_pauses.PauseState]
    silent: list[str]
    alone: bool


class PeerNodes:
    """Writes this node's heartbeat every BEAT_S seconds and looks for dead nodes.

    `on_claimed` is called when this node took over messages, `on_past` with the nodes that found the database older
    than their permit logs (see `restored_database.elsewhere`), `on_pauses` with the pause state of each of `lanes` and
    of each company, and `on_stop` every STOP_LOOK_S with the state of the emergency stop. At each heartbeat,
    `other_nodes` compares the journal with this node's permit log, and admits nodes that have no log.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        node: str,
        lanes: Collection[str],
        on_claimed: Callable[[], None],
        on_past: Callable[[Mapping[str, frozenset[str]]], None],
        on_pauses: Callable[[Mapping[str, lane_pauses.PauseState]], None],
        meters: Meters,
        reaches_broker: Callable[[], bool],
        on_stop: Callable[[stops.Stop], object],
        other_nodes: OtherNodes | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._node = node
        self._lanes = lanes
        self._on_claimed = on_claimed
        self._on_past = on_past
        self._on_pauses = on_pauses
        self._meters = meters
        self._reaches_broker = reaches_broker
        self._on_stop = on_stop
        self._other_nodes = other_nodes
        self._reached_s = clock.monotonic_s()
        self._beaten_s: float | None = None
        self._judges_from_s = 0.0
        self._tasks = Tasks(
            lambda failure: _log.error(
                "peer_nodes.ended",
                error=str(failure.value),
                action="this node no longer checks the other nodes until the daemon restarts",
            )
        )

    def start(self) -> None:
        """Begin to write heartbeats and to look for dead nodes."""
        self._tasks.spawn(self._repeat(self._beat, BEAT_S))
        self._tasks.spawn(self._repeat(self._look_for_stop, STOP_LOOK_S))

    def stop(self) -> None:
        """Stop the heartbeats. A unit that is being committed may still complete."""
        self._tasks.stop()

    def _look(self, conn: Connection, now_ms: int) -> _Snapshot:
        silent = silent_nodes(conn, self._node, now_ms) + [outbox.NOBODY] * outbox.has_orphans(conn)
        alone = not rows(conn, _ALIVE, {"b_node": self._node, "b_after": now_ms - DEAD_MS})
        restored = restored_database.elsewhere(conn, self._node)
        return _Snapshot(restored, lane_pauses.said_with_companies(conn, self._lanes), silent, alone)

    async def _repeat(self, act: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            # Goes on after an error, because a node that stopped looking would send on a lane that was paused
            # elsewhere.
            await attempt(act, self._defect, ends=StoreFailed)
            await sleep(self._clock, every_s)

    def _defect(self, error: str) -> None:
        _log.error(
            "peer_nodes.failed", error=error, action=("this node checks the other nodes again at its next heartbeat")
        )
        self._meters.alarms.labels("impossible").inc()

    async def _look_for_stop(self) -> None:
        self._on_stop(await self._store.read(stops.last))
        if self._other_nodes is not None:
            await self._other_nodes.let_in()

    async def _beat(self) -> None:
        await self._store.write(lambda _tx: None)
        judges = self._may_judge()
        now_ms = self._clock.now_ms()
        snapshot = await self._store.read(partial(self._look, now_ms=now_ms))
        self._on_pauses(snapshot.pauses)
        self._on_past(snapshot.noticed)
        if self._other_nodes is not None:
            await self._other_nodes.compare()
        if not self._reaches_broker():
            await self._leave(snapshot)
            return
        self._reached_s = self._clock.monotonic_s()
        for dead in snapshot.silent if judges else ():
            if _claimed(dead, await self._store.write(partial(claim, dead_node=dead))):
                self._on_claimed()

    def _may_judge(self) -> bool:
        """True if this node's own heartbeats were on time. After a pause of this node or of the database, the others
        look dead too, so they get DEAD_MS to show that they are alive.
        """
        now_s = self._clock.monotonic_s()
        if self._beaten_s is not None and now_s - self._beaten_s > 2 * BEAT_S:
            self._judges_from_s = now_s + DEAD_MS / 1000
        self._beaten_s = now_s
        return now_s >= self._judges_from_s

    async def _leave(self, snapshot: _Snapshot) -> None:
        """Release this node's waiting messages if it has been without the broker for longer than other nodes wait for a
        dead node.
        """
        if snapshot.alone or self._clock.monotonic_s() - self._reached_s <= DEAD_MS / 1000:
            return
        left = await self._store.write(outbox.disown)
        if left:
            _log.warning(
                "outbox.left", messages=left, action="this node has no broker, so that another node publishes them"
            )
