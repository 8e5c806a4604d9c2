"""Fills a lane's work queue: from this node's commits, and from the journal with work that falls due soon or that
others wrote.

This node hands over its own commits as they happen (`accept`). Commits of other nodes are polled: four times a second
among the work that fell due just now, and every SWEEP_S among all overdue work, because a commit can take longer than
expected, and another node's clock can be wrong.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Any

from gateway.bank.lane_shared import LaneShared
from gateway.kernel import log
from gateway.kernel.clock import offset_ms
from gateway.kernel.commit import work
from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.tasks import CLOCK_LOOK_S, sleep

WORK_PAGE = 5_000
# Work that is due later than this stays in the journal: the returns watch keeps a row per payment for a week.
AHEAD_MS = 600_000
# The poll finds work of other nodes whose due time is at most this far in the past (because of their clock, or of a
# slow commit).
SLACK_MS = 10_000
# Work that is overdue for longer is searched this often.
SWEEP_S = 10.0
# A time service that keeps a clock right moves it by less than this between two looks.
CLOCK_MOVED_MS = 1_000
# Work that was written by a clock ahead of this one is searched this often, and whenever the clock is set back.
AHEAD_LOOK_S = 300.0
_log = log.get("bank.work_loader")


class WorkLoader:
    """Fills a lane's work queue from commits and from the journal. All work of the lane that falls due before
    `until_ms` is in its work queue."""

    def __init__(self, shared: LaneShared) -> None:
        self.until_ms = 0
        self._shared = shared
        self._parts = shared.parts
        self._queue = shared.work_queue
        self._stopping = False
        self._ahead_looked_s = float("-inf")

    @property
    def active(self) -> bool:
        """True if work is accepted: this node owns the lane, and the lane is not halted."""
        return bool(self._shared.lease.epoch) and not self._shared.gate.halted

    def accept(self, row: WorkRow) -> None:
        """Queue a committed work row of this lane if it falls due soon; later ones stay in the journal."""
        if not self.active:
            return
        if row.due_ms > self.until_ms:
            self._queue.forget(row.payment, row.work)
            return
        self._queue.put(row)
        # Wake the pump later, because the commit's own callbacks come first, and many rows come at once.
        self._queue.wake()

    def forget(self) -> None:
        """Forget the loaded work, because another node owns the lane."""
        self.until_ms = 0
        self._queue.clear()

    def stop(self) -> None:
        """Stop looking for work."""
        self._stopping = True

    def watches(self) -> Iterator[Coroutine[Any, Any, None]]:
        """The coroutines to run as long as the lane does."""
        yield self._look_ahead()
        if self._parts.poll_ms:
            yield self._poll()

    async def set_right(self) -> None:
        """Correct due times that were written by a clock ahead of this one, and raise an alarm.

        Otherwise a clock that was ahead by days would delay orders and doubts by days after it is right again.
        """
        self._ahead_looked_s = self._parts.clock.monotonic_s()
        name, epoch, last = self._parts.name, self._shared.lease.epoch, None
        count, ahead_ms = 0, 0
        while True:
            now_ms = self._parts.clock.now_ms()
            found = await self._parts.store.read(
                partial(work.from_ahead, lane=name, now_ms=now_ms, after=last, limit=WORK_PAGE)
            )
            if found:
                changed = await self._parts.store.write(partial(work.set_right, lane=name, epoch=epoch, found=found))
                count += len(changed)
                ahead_ms = max([ahead_ms, *(row.set_ms - now_ms for row in found if row.set_ms is not None)])
                for row in changed:
                    if (row.payment, row.work) not in self._queue.under_way:
                        self.accept(row)
            if len(found) < WORK_PAGE:
                break
            last = found[-1]
        if count:
            self._parts.meters.alarms.labels("clock_was_ahead").inc()
            _log.error(
                "lane.clock_was_ahead",
                bank=self._parts.bank_name,
                lane=name,
                work=count,
                ahead_s=round(ahead_ms / 1000),
                action=(
                    "another node's clock was ahead; the work that it postponed is due by this node's clock; compare "
                    "the clocks of all nodes"
                ),
            )

    async def load(self) -> None:
        """Read open work that falls due soon, a page at a time, so that a long list never holds the loop."""
        # Set the bound first: work that is committed while the pages are read is accepted if it is due before the
        # bound.
        until_ms = self.until_ms = self._parts.clock.now_ms() + AHEAD_MS
        last: WorkRow | None = None
        while True:
            rows = await self._parts.store.read(
                partial(work.all_open, lane=self._parts.name, after=last, limit=WORK_PAGE)
            )
            near = [row for row in rows if row.due_ms <= until_ms]
            self._put_new(near)
            if len(near) < WORK_PAGE:
                return
            last = rows[-1]

    async def _look_ahead(self) -> None:
        """Read work well before it falls due, and wake the pump in case the clock was set."""
        at_ms = offset_ms(self._parts.clock)
        while not self._stopping:
            await sleep(self._parts.clock, CLOCK_LOOK_S)
            before_ms, at_ms = at_ms, offset_ms(self._parts.clock)
            if self.active:
                moved_ms = round(at_ms - before_ms)
                if abs(moved_ms) > CLOCK_MOVED_MS:
                    self._clock_was_set(moved_ms)
                looked_s = self._parts.clock.monotonic_s() - self._ahead_looked_s
                if moved_ms < -CLOCK_MOVED_MS or looked_s >= AHEAD_LOOK_S:
                    await self.set_right()
                if not AHEAD_MS / 2 < self.until_ms - self._parts.clock.now_ms() <= AHEAD_MS:
                    await self.load()
                self._queue.wake()

    def _clock_was_set(self, by_ms: int) -> None:
        _log.warning(
            "lane.clock_was_set",
            lane=self._parts.name,
            by_ms=by_ms,
            action="the due work is determined again; check this machine's clock",
        )
        if by_ms < 0:
            self._queue.sooner(-by_ms)

    async def _poll(self) -> None:
        """Look for work that other nodes wrote: orders that they accepted, payments that they released."""
        clock = self._parts.clock
        until_ms, sweep_s = clock.now_ms(), clock.monotonic_s() + SWEEP_S
        while not self._stopping:
            await sleep(clock, self._parts.poll_ms / 1000)
            if not self.active:
                continue
            since_ms, until_ms = until_ms - SLACK_MS, clock.now_ms()
            if clock.monotonic_s() >= sweep_s:
                # A row that was committed more than SLACK_MS after its due time is found by a read from the start.
                since_ms, sweep_s = 0, clock.monotonic_s() + SWEEP_S
            rows = await self._parts.store.read(
                partial(work.fresh, lane=self._parts.name, since_ms=since_ms, until_ms=until_ms, limit=WORK_PAGE)
            )
            if self._put_new(rows):
                self._queue.wake()

    def _put_new(self, rows: list[WorkRow]) -> bool:
        """Put work that is neither queued nor under way on the work queue. Returns whether there was any."""
        queue = self._queue
        new = [row for row in rows if not queue.knows_or_does(row.payment, row.work)]
        for row in new:
            queue.put(row)
        return bool(new)
