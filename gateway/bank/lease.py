"""A lane's hold on itself: the lease in the journal, the epoch it gave, and the permit that both amount to.

One node at a time owns a lane. Others stand by and look whether the lease has run out. A node that lost its lease
stands down, waits, and stands by like any other.

When a lease ends is written down by its owner's wall clock. An owner that died while its clock was ahead is found
out all the same: its lease is not renewed any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError

from gateway import log
from gateway.clock import Clock, offset_ms
from gateway.journal.cluster import lane_leases, stops
from gateway.journal.commit.store import Store, StoreFailed
from gateway.journal.sql.databases import is_transient, is_trouble
from gateway.tasks import Tasks, sleep

LEASE_MS = 15_000
RENEW_S = LEASE_MS / 3_000
STAND_BY_S = 1.0
# A lease that was seen unchanged for so long is dead, whatever the clocks say: it was asked for before it was seen.
DEAD_S = LEASE_MS / 1000 + RENEW_S
# What a last owner that never let go had in the kernel is at the bank, or lost, when this is over: TCP_USER_TIMEOUT
# (10 s) and 5 s more. Its lease had run out before.
ORPHAN_QUIET_S = 15.0
CLOCK_SET_MS = 60_000
_log = log.get("bank.lease")


class Lease:
    """See the module. `on_gained` gets whether the last owner may still be writing; `on_lost` is awaited;
    `on_clock_set` is called each time the wall clock is seen to be set while the lane is held. `on_stop` gets the last
    word about an emergency stop with each lease and each renewal: nothing is permitted for longer than LEASE_MS without
    having heard it.
    """

    def __init__(
        self, name: str, node: str, store: Store, clock: Clock, tasks: Tasks,
        on_gained: Callable[[bool], Awaitable[None]], on_lost: Callable[[], Awaitable[None]],
        on_clock_set: Callable[[], object], on_stop: Callable[[stops.Stop], object],
    ) -> None:  # fmt: skip
        self.epoch = 0
        self._name = name
        self._node = node
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._on_gained = on_gained
        self._on_lost = on_lost
        self._on_clock_set = on_clock_set
        self._on_stop = on_stop
        self._until_s = float("-inf")
        self._taken_s = float("inf")
        self._offset_ms = offset_ms(clock)
        self._clock_set = False
        self._set_s = float("-inf")
        self._seen: lane_leases.LaneRow | None = None
        self._seen_s = float("inf")
        self._ended = False

    def permits(self, epoch: int, committed_s: float) -> bool:
        """Whether what was written down under `epoch`, no earlier than `committed_s`, may be written to the bank now.

        The lease alone is not enough: renewed since, it would let a sender through that stood still for so long that
        others have counted its bytes as never sent.
        """
        now_s = self._look_at_clock()
        return epoch == self.epoch and now_s < self._until_s and now_s < committed_s + LEASE_MS / 1000

    @property
    def holds(self) -> bool:
        """Whether the lease holds at this very moment."""
        return self._look_at_clock() < self._until_s

    @property
    def lasted_s(self) -> float:
        """For how long this node has had the lane without a break and with a wall clock that was not seen to be set, by
        a clock that nobody can set; 0 without it.

        Whether the clock was set right or wrong is not known here, nor needed: what was sent before it was set left
        longer ago than this, and what was sent after it has its time from the clock that still goes.
        """
        return max(self._look_at_clock() - max(self._taken_s, self._set_s), 0.0)

    @property
    def clock_set(self) -> bool:
        """Whether the clock was seen to be set by more than a minute since the lease was taken, and be it that it was
        set right again: what was sent meanwhile has its time from the wrong one.
        """
        self._look_at_clock()
        return self._clock_set

    async def begin(self) -> None:
        """Take the lane if it is free, else stand by for it. Returns when the one or the other is done."""
        if not await self._take():
            _log.info("lane.standing_by", lane=self._name)
            self._tasks.spawn(self._stand_by())

    def give_up(self) -> None:
        """Neither renew the lease nor take the lane again. The lease is not released but runs out: whoever takes the
        lane then waits as after an owner that died, for what this one said last may be on its way.
        """
        self._ended = True

    async def end(self) -> None:
        """Let the lane go, so that another node need not wait for the lease to run out. Nothing is sent any more."""
        self._ended = True
        epoch, self.epoch, self._until_s, self._taken_s = self.epoch, 0, float("-inf"), float("inf")
        if epoch:
            try:
                await self._store.write(lambda tx: lane_leases.release(tx, self._name, self._node, epoch))
            except (DBAPIError, StoreFailed) as error:
                said = str(getattr(error, "orig", error))
                _log.warning("lane.not_released", lane=self._name, error=said, action="its lease runs out by itself")

    async def _take(self) -> bool:
        try:
            asked_s, taken = await self._try()
        except DBAPIError as error:
            self._forgive(error, "lane.not_looked_at", "looked at again in a moment")
            return False
        if taken is None:
            return False
        self.epoch = taken.epoch
        self._taken_s = self._clock.monotonic_s()
        self._until_s = asked_s + LEASE_MS / 1000
        self._offset_ms = offset_ms(self._clock)
        self._clock_set, self._set_s = False, float("-inf")
        self._tasks.spawn(self._keep(taken.epoch))
        await self._on_gained(taken.orphaned)
        return True

    async def _try(self) -> tuple[float, lane_leases.Taken | None]:
        """When the lane was asked for, and what came of it: None while it is another's."""
        row = await self._store.read(lambda conn: lane_leases.lease_of(conn, self._name))
        dead = self._dead(row)
        if dead is None and not lane_leases.is_free(row, self._node, self._clock.now_ms()):
            return 0.0, None
        asked_s = self._clock.monotonic_s()
        taken, stop = await self._store.write(
            lambda tx: (lane_leases.take(tx, self._name, self._node, LEASE_MS, dead), stops.last(tx.raw))
        )
        self._on_stop(stop)
        return asked_s, taken

    def _dead(self, row: lane_leases.LaneRow | None) -> lane_leases.LaneRow | None:
        """The lease, if it has not been renewed for so long that its owner may write nothing under it any more."""
        now_s = self._clock.monotonic_s()
        if row != self._seen:
            self._seen, self._seen_s = row, now_s
        return row if now_s - self._seen_s > DEAD_S else None

    async def _stand_by(self) -> None:
        while True:
            await sleep(self._clock, STAND_BY_S)
            if self._over() or await self._take():
                return

    async def _keep(self, epoch: int) -> None:
        asked_s = self._until_s - LEASE_MS / 1000
        while True:
            # All lanes of a process renew at the same moments: one commit carries them. Counted from when it was asked
            # for: a renewal that waited for an absent database has run out when it is committed, and nothing may be
            # sent before the next.
            due_s = (asked_s // RENEW_S + 1) * RENEW_S
            await sleep(self._clock, max(due_s - self._clock.monotonic_s(), 0.0))
            asked_s = self._look_at_clock()
            if self._over():
                return
            try:
                renewed, stop = await self._store.write(
                    lambda tx: (lane_leases.renew(tx, self._name, self._node, epoch, LEASE_MS), stops.last(tx.raw))
                )
            except DBAPIError as error:
                self._forgive(error, "lane.not_renewed", "tried again; nothing is sent once the lease has run out")
                continue
            self._on_stop(stop)
            if renewed:
                self._until_s = asked_s + LEASE_MS / 1000
            elif not self._over():
                await self._lose()
                return

    def _forgive(self, error: DBAPIError, event: str, action: str) -> None:
        """Others in the way, or a database in trouble, are no defect: the lease protects. Raises what is one."""
        if not (is_transient(error) or is_trouble(error)):
            raise error
        _log.warning(event, lane=self._name, error=str(error.orig), action=action)

    async def _lose(self) -> None:
        self.epoch, self._until_s, self._taken_s = 0, float("-inf"), float("inf")
        _log.warning("lane.stood_down", lane=self._name, action="another node owns it; this one stands by")
        await self._on_lost()
        await sleep(self._clock, LEASE_MS / 1000)
        self._tasks.spawn(self._stand_by())

    def _look_at_clock(self) -> float:
        """Remember it if somebody has set the wall clock, and go by what it shows now. The monotonic one's seconds."""
        now_s = self._clock.monotonic_s()
        off_ms = self._clock.now_ms() - now_s * 1000
        if abs(off_ms - self._offset_ms) > CLOCK_SET_MS:
            self._clock_set, self._set_s, self._offset_ms = True, now_s, off_ms
            if self.epoch:
                self._on_clock_set()
        return now_s

    def _over(self) -> bool:
        return self._ended
