"""The lane's lease: acquire, renew and lose it; and whether a send is permitted now.

One node at a time owns a lane. Others stand by and check whether the lease has run out. A node that lost its lease
sends nothing more to the bank, waits, and stands by like any other.

The owner's wall clock determines the end that is written into a lease. If an owner dies while its clock is ahead, the
other nodes still notice it, because its lease is not renewed any more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy.exc import DBAPIError

from gateway.kernel import log
from gateway.kernel.clock import Clock, offset_ms
from gateway.kernel.cluster import lane_leases, stops
from gateway.kernel.commit.store import Store, StoreFailed
from gateway.kernel.sql.databases import is_transient, is_trouble
from gateway.kernel.tasks import Tasks, sleep

LEASE_MS = 15_000
RENEW_S = LEASE_MS / 3_000
STAND_BY_S = 1.0
# A lease that stays unchanged for this long has no living owner, whatever the wall clocks say: it was acquired before
# it was first seen.
DEAD_S = LEASE_MS / 1000 + RENEW_S
# After this time, bytes that a dead owner had in its kernel have reached the bank or are lost: TCP_USER_TIMEOUT (10 s)
# and 5 s more. Its lease had run out before.
ORPHAN_QUIET_S = 15.0
CLOCK_SET_MS = 60_000
_log = log.get("bank.lease")


class Lease:
    """Acquires, renews and loses a lane's lease, and says whether a send is permitted now. `on_acquired` is called with
    True if the last owner may still be writing; `on_lost` is awaited.

    `on_clock_set` is called each time the wall clock is seen to be set while the lane is held. `on_stop` gets the state
    of the emergency stop with each acquisition and renewal, so that nothing is permitted for longer than LEASE_MS
    without knowing it.
    """

    def __init__(
        self,
        name: str,
        node: str,
        store: Store,
        clock: Clock,
        tasks: Tasks,
        on_acquired: Callable[[bool], Awaitable[None]],
        on_lost: Callable[[], Awaitable[None]],
        on_clock_set: Callable[[], object],
        on_stop: Callable[[stops.Stop], object],
    ) -> None:
        self.epoch = 0
        self._name = name
        self._node = node
        self._store = store
        self._clock = clock
        self._tasks = tasks
        self._on_acquired = on_acquired
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
        """True if what was committed under `epoch`, no earlier than `committed_s`, may be written to the bank now.

        A valid lease is not enough. It may have been renewed after the commit, while the process stood still for so
        long that another node took the lane over and counted the bytes as never sent.
        """
        now_s = self._look_at_clock()
        return epoch == self.epoch and now_s < self._until_s and now_s < committed_s + LEASE_MS / 1000

    @property
    def holds(self) -> bool:
        """True if the lease holds at this very moment."""
        return self._look_at_clock() < self._until_s

    @property
    def lasted_s(self) -> float:
        """The seconds for which this node has had the lane without a break and without a change of its wall clock; else
        0.

        The time is measured by the monotonic clock. It does not matter whether the clock was set right or wrong: every
        send before the change is older than this time, and every later send is timed by the present clock.
        """
        return max(self._look_at_clock() - max(self._taken_s, self._set_s), 0.0)

    @property
    def clock_set(self) -> bool:
        """True if the wall clock was set by more than a minute since the lease was acquired, even if it is right again,
        because sends of that time were dated by the wrong clock."""
        self._look_at_clock()
        return self._clock_set

    async def begin(self) -> None:
        """Acquire the lane if it is free, else stand by. Returns when either is done."""
        if not await self._take():
            _log.info("lane.standing_by", lane=self._name)
            self._tasks.spawn(self._stand_by())

    def give_up(self) -> None:
        """Neither renew the lease nor acquire the lane again. The lease runs out and is not released, so the next owner
        waits as after an owner that died, because this one's last bytes may still be in transit."""
        self._ended = True

    async def run_out(self) -> None:
        """After `give_up`: wait until the lease has run out and `begin` may acquire the lane again."""
        while self.holds:
            await sleep(self._clock, STAND_BY_S)
        self.epoch, self._until_s, self._taken_s, self._ended = 0, float("-inf"), float("inf"), False

    async def end(self) -> None:
        """Release the lane, so that another node need not wait for the lease to run out. Nothing is sent any more."""
        self._ended = True
        epoch, self.epoch, self._until_s, self._taken_s = self.epoch, 0, float("-inf"), float("inf")
        if epoch:
            try:
                await self._store.write(lambda tx: lane_leases.release(tx, self._name, self._node, epoch))
            except (DBAPIError, StoreFailed) as error:
                said = str(getattr(error, "orig", error))
                _log.warning(
                    "lane.not_released",
                    lane=self._name,
                    error=said,
                    action="the lane's lease runs out by itself; the lane's next owner waits for that",
                )

    async def _take(self) -> bool:
        try:
            asked_s, taken = await self._try()
        except DBAPIError as error:
            self._forgive(
                error,
                "lane.not_looked_at",
                "this node does not have the lane and sends nothing on it; it tries again in some seconds",
            )
            return False
        if taken is None:
            return False
        self.epoch = taken.epoch
        self._taken_s = self._clock.monotonic_s()
        self._until_s = asked_s + LEASE_MS / 1000
        self._offset_ms = offset_ms(self._clock)
        self._clock_set, self._set_s = False, float("-inf")
        self._tasks.spawn(self._keep(taken.epoch))
        await self._on_acquired(taken.orphaned)
        return True

    async def _try(self) -> tuple[float, lane_leases.NewLease | None]:
        """Try once to acquire the lane. Returns the time of the request (monotonic), and the lease; None while another
        node owns the lane."""
        row = await self._store.read(lambda conn: lane_leases.lease_of(conn, self._name))
        dead = self._dead(row)
        if dead is None and not lane_leases.is_free(row, self._node, self._clock.now_ms()):
            return 0.0, None
        asked_s = self._clock.monotonic_s()
        taken, stop = await self._store.write(
            lambda tx: (lane_leases.acquire(tx, self._name, self._node, LEASE_MS, dead), stops.last(tx.raw))
        )
        self._on_stop(stop)
        return asked_s, taken

    def _dead(self, row: lane_leases.LaneRow | None) -> lane_leases.LaneRow | None:
        """The lease if it was not renewed for so long that its owner may not write under it any more; else None."""
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
            # All lanes of a process renew at the same moments, so that one commit carries them. The time counts from
            # the request: a renewal that waited for an absent database has run out when it is committed, and nothing
            # may be sent before the next.
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
                self._forgive(
                    error,
                    "lane.not_renewed",
                    "the renewal is tried again; if the lease runs out first, nothing is sent",
                )
                continue
            self._on_stop(stop)
            if renewed:
                self._until_s = asked_s + LEASE_MS / 1000
            elif not self._over():
                await self._lose()
                return

    def _forgive(self, error: DBAPIError, event: str, action: str) -> None:
        """Log a conflict with another session, or a database in trouble, and go on, because the lease protects. Raises
        any other error."""
        if not (is_transient(error) or is_trouble(error)):
            raise error
        _log.warning(event, lane=self._name, error=str(error.orig), action=action)

    async def _lose(self) -> None:
        self.epoch, self._until_s, self._taken_s = 0, float("-inf"), float("inf")
        _log.warning(
            "lane.lease_lost",
            lane=self._name,
            action="another node has the lane; this node sends nothing on it and stands by",
        )
        await self._on_lost()
        await sleep(self._clock, LEASE_MS / 1000)
        self._tasks.spawn(self._stand_by())

    def _look_at_clock(self) -> float:
        """Note whether somebody has set the wall clock. Returns the monotonic clock's seconds."""
        now_s = self._clock.monotonic_s()
        off_ms = self._clock.now_ms() - now_s * 1000
        if abs(off_ms - self._offset_ms) > CLOCK_SET_MS:
            self._clock_set, self._set_s, self._offset_ms = True, now_s, off_ms
            if self.epoch:
                self._on_clock_set()
        return now_s

    def _over(self) -> bool:
        return self._ended
