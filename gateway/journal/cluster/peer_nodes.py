"""Nodes that share a journal: each shows that it lives, takes over the mail of one that does not, and hears from any of
them that the database came back from the past, and what an operator said about a lane. One that has lost the broker
leaves its own mail to those that have it.

A node's sign of life is its row in `units`, which every commit of its writer touches; an idle node commits a little
something for that. Mail is published under the same ids whoever publishes it, so a node wrongly taken for dead costs
a repeated message and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, bindparam, select
from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from gateway import log
from gateway.clock import Clock
from gateway.journal.cluster import lane_pauses, restored_database, stops
from gateway.journal.commit import outbox
from gateway.journal.commit.rows import Mail
from gateway.journal.commit.store import Store, StoreFailed, Tx
from gateway.journal.sql import schema
from gateway.journal.sql.driver import rows
from gateway.meters import Meters
from gateway.tasks import Tasks, sleep

BEAT_S = 5.0
DEAD_MS = 15_000
"""As long as a lane's lease. News of a node that died waits no longer than this and a beat."""
STOP_LOOK_S = 1.0
"""So often a node looks whether all was stopped. One that cannot look has no lease, and sends nothing, 15 s later."""
_log = log.get("journal.peer_nodes")
_ALIVE = select(schema.units.c.node).where(
    schema.units.c.node != bindparam("b_node"), schema.units.c.at_ms >= bindparam("b_after")
)
_U, _M = schema.units.c, schema.outbox.c
_WAITING = select(_M.message_id).where(_M.node == _U.node, _M.state == Mail.WAITING.value).exists()
_SILENT = (
    select(_U.node).where(_U.node != bindparam("b_node"), _U.at_ms < bindparam("b_before"), _WAITING).order_by(_U.node)
)  # fmt: skip

_OTHERS = select(_U.node).where(_U.node != bindparam("b_node"), _WAITING).order_by(_U.node)


def silent_nodes(conn: Connection, node: str, now_ms: int) -> list[str]:
    """Other nodes that have not committed anything for DEAD_MS and have mail waiting."""
    return [found.node for found in rows(conn, _SILENT, {"b_node": node, "b_before": now_ms - DEAD_MS})]


def claim(tx: Tx, dead_node: str) -> int:
    """Make the waiting mail of a dead node, or of nobody, this node's; returns how many messages. 0 if it lives after
    all.
    """
    if dead_node == outbox.NOBODY:
        return outbox.claim_orphans(tx, dead_node, tx.node)
    at_ms = tx.raw.execute(select(schema.units.c.at_ms).where(schema.units.c.node == dead_node)).scalar()
    if at_ms is None or at_ms >= tx.now_ms - DEAD_MS:
        return 0
    return outbox.claim_orphans(tx, dead_node, tx.node)


async def claim_all(store: Store, node: str) -> None:
    """Make the waiting mail of every other name this node's. To be called only where no other node can be, before the
    broker is reached: the names are then this node's own from before, and nobody else would publish it, ever."""
    others = await store.read(lambda conn: [found.node for found in rows(conn, _OTHERS, {"b_node": node})])
    for other in others:
        _claimed(other, await store.write(partial(outbox.claim_orphans, dead_node=other, by=node)))


def _claimed(other: str, messages: int) -> bool:
    if messages:
        _log.warning("outbox.claimed", of=other, messages=messages, action="published by this node")
    return bool(messages)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one look into the journal told."""

    noticed: Mapping[str, frozenset[str]]
    pauses: Mapping[str, lane_pauses.Said]
    silent: list[str]
    alone: bool


class PeerNodes:
    """Beats every BEAT_S, and looks for the dead. `on_claimed` is called when mail became this node's, `on_past` with
    the nodes that hold the database against their logs and found it too old (see `past.elsewhere`), `on_pauses` with an
    operator's last word about each of `lanes`, `on_stop` every STOP_LOOK_S with that about an emergency stop."""

    def __init__(
        self, store: Store, clock: Clock, node: str, lanes: Collection[str], on_claimed: Callable[[], None],
        on_past: Callable[[Mapping[str, frozenset[str]]], None],
        on_pauses: Callable[[Mapping[str, lane_pauses.Said]], None], meters: Meters, reaches_broker: Callable[[], bool],
        on_stop: Callable[[stops.Stop], object],
    ) -> None:  # fmt: skip
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
        self._reached_s = clock.monotonic_s()
        self._beaten_s: float | None = None
        self._judges_from_s = 0.0
        self._tasks = Tasks(lambda failure: _log.error("peer_nodes.ended", error=str(failure.value)))

    def start(self) -> None:
        """Begin."""
        self._tasks.spawn(self._again_and_again(self._once, BEAT_S))
        self._tasks.spawn(self._again_and_again(self._look_for_stop, STOP_LOOK_S))

    def stop(self) -> None:
        """End. What was begun is committed or not, as it comes."""
        self._tasks.stop()

    def _look(self, conn: Connection, now_ms: int) -> _Heard:
        silent = silent_nodes(conn, self._node, now_ms) + [outbox.NOBODY] * outbox.has_orphans(conn)
        alone = not rows(conn, _ALIVE, {"b_node": self._node, "b_after": now_ms - DEAD_MS})
        return _Heard(restored_database.elsewhere(conn, self._node), lane_pauses.said(conn, self._lanes), silent, alone)

    async def _again_and_again(self, act: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            try:
                await act()
            except (CancelledError, StoreFailed):
                raise
            except Exception:
                # A node that gave up here would send on a lane that an operator paused elsewhere.
                _log.error("peer_nodes.failed", error=Failure().getTraceback(detail="brief"),
                           action="tried again at the next beat")  # fmt: skip
                self._meters.alarms.labels("impossible").inc()
            await sleep(self._clock, every_s)

    async def _look_for_stop(self) -> None:
        self._on_stop(await self._store.read(stops.last))

    async def _once(self) -> None:
        await self._store.write(lambda _tx: None)
        judges = self._may_judge()
        now_ms = self._clock.now_ms()
        heard = await self._store.read(partial(self._look, now_ms=now_ms))
        self._on_pauses(heard.pauses)
        self._on_past(heard.noticed)
        if not self._reaches_broker():
            await self._leave(heard)
            return
        self._reached_s = self._clock.monotonic_s()
        for dead in heard.silent if judges else ():
            if _claimed(dead, await self._store.write(partial(claim, dead_node=dead))):
                self._on_claimed()

    def _may_judge(self) -> bool:
        """Whether this node's own beats came in time. After a pause of its own, or of the database, the others look
        dead, too: they get as long as a dead one to show that they live.
        """
        now_s = self._clock.monotonic_s()
        if self._beaten_s is not None and now_s - self._beaten_s > 2 * BEAT_S:
            self._judges_from_s = now_s + DEAD_MS / 1000
        self._beaten_s = now_s
        return now_s >= self._judges_from_s

    async def _leave(self, heard: _Heard) -> None:
        """Whoever has waited for the broker longer than others wait for a dead node is dead to the ERP."""
        if heard.alone or self._clock.monotonic_s() - self._reached_s <= DEAD_MS / 1000:
            return
        left = await self._store.write(outbox.disown)
        if left:
            _log.warning("outbox.left", messages=left, action="published by a node that reaches the broker")
