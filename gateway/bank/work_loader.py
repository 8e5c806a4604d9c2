"""Fills a lane's work queue from the journal: what falls due soon, and what other nodes wrote.

The lane's own commits are offered to it as they happen. What another node commits is looked for: four times a second
among what fell due just now, and more seldom among all that is overdue, because a commit can take longer than anybody
thought, and another node's clock can be wrong.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway import log
from gateway.clock import offset_ms
from gateway.journal.commit import work
from gateway.journal.commit.rows import WorkRow
from gateway.tasks import CLOCK_LOOK_S, sleep

if TYPE_CHECKING:
    from gateway.bank.lane import Lane

WORK_PAGE = 5_000
# What is due later than this stays in the journal: a week's watch over returns is a row per payment.
AHEAD_MS = 600_000
# Work that another node wrote with an earlier due time than now (its clock, a slow commit) is seen at once for so long.
SLACK_MS = 10_000
# What is overdue for longer is looked through so often.
SWEEP_S = 10.0
# A time service that keeps a clock right moves it by less between two looks.
CLOCK_MOVED_MS = 1_000
# Work that was written by a clock ahead of this one is looked for so often, and when the clock was set back.
AHEAD_LOOK_S = 300.0
_log = log.get("bank.work_loader")


class WorkLoader:
    """See the module. `until_ms`: everything of the lane that falls due before it is on its work queue."""

    def __init__(self, lane: Lane) -> None:
        self.until_ms = 0
        self._lane = lane
        self._parts = lane.parts
        self._ahead_looked_s = float("-inf")

    def watches(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What is to run as long as the lane does."""
        yield self._look_ahead()
        if self._parts.poll_ms:
            yield self._poll()

    async def set_right(self) -> None:
        """Let what was written by a clock ahead of this one be due by this one, and say so.

        A moment is believed only as far as the clock that it was written by: one that was ahead by days would let
        orders and doubts wait for days after it is right again.
        """
        self._ahead_looked_s = self._parts.clock.monotonic_s()
        name, epoch, last = self._parts.name, self._lane.epoch, None
        count, ahead_ms = 0, 0
        while True:
            now_ms = self._parts.clock.now_ms()
            found = await self._parts.store.read(
                partial(work.from_ahead, lane=name, now_ms=now_ms, after=last, limit=WORK_PAGE)
            )
            if found:
                changed = await self._parts.store.write(
                    partial(work.set_right, lane=name, epoch=epoch, found=found)
                )
                count += len(changed)
                ahead_ms = max([ahead_ms, *(row.set_ms - now_ms for row in found if row.set_ms is not None)])
                for row in changed:
                    if (row.payment, row.work) not in self._lane.taken:
                        self._lane.offer(row)
            if len(found) < WORK_PAGE:
                break
            last = found[-1]
        if count:
            self._parts.meters.alarms.labels("clock_was_ahead").inc()
            _log.error("lane.clock_was_ahead", bank=self._parts.bank_name, lane=name, work=count,
                       ahead_s=round(ahead_ms / 1000),
                       action="what it had put off is due by this clock; look at the clocks of all nodes")  # fmt: skip

    async def load(self) -> None:
        """Read open work that falls due soon, a page at a time, so that a long list never holds the loop."""
        # First the bound: what is committed while the pages are read is offered, and kept if it lies within.
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
        """Read what falls due soon, long before it does; and look at the work queue, whatever the clock said before."""
        at_ms = offset_ms(self._parts.clock)
        while not self._lane.stopping:
            await sleep(self._parts.clock, CLOCK_LOOK_S)
            before_ms, at_ms = at_ms, offset_ms(self._parts.clock)
            if self._lane.epoch and not self._lane.halted:
                moved_ms = round(at_ms - before_ms)
                if abs(moved_ms) > CLOCK_MOVED_MS:
                    self._clock_was_set(moved_ms)
                looked_s = self._parts.clock.monotonic_s() - self._ahead_looked_s
                if moved_ms < -CLOCK_MOVED_MS or looked_s >= AHEAD_LOOK_S:
                    await self.set_right()
                if not AHEAD_MS / 2 < self.until_ms - self._parts.clock.now_ms() <= AHEAD_MS:
                    await self.load()
                self._lane.wake()

    def _clock_was_set(self, by_ms: int) -> None:
        _log.warning("lane.clock_was_set", lane=self._parts.name, by_ms=by_ms,
                     action="what is due is looked at anew")  # fmt: skip
        if by_ms < 0:
            self._lane.work_queue.sooner(-by_ms)

    async def _poll(self) -> None:
        """Look for work that other nodes wrote: orders they took in, holds they released."""
        clock = self._parts.clock
        until_ms, sweep_s = clock.now_ms(), clock.monotonic_s() + SWEEP_S
        while not self._lane.stopping:
            await sleep(clock, self._parts.poll_ms / 1000)
            if not self._lane.epoch or self._lane.halted:
                continue
            since_ms, until_ms = until_ms - SLACK_MS, clock.now_ms()
            if clock.monotonic_s() >= sweep_s:
                # What was committed when it had been due for longer is among the longest due.
                since_ms, sweep_s = 0, clock.monotonic_s() + SWEEP_S
            rows = await self._parts.store.read(
                partial(work.fresh, lane=self._parts.name, since_ms=since_ms, until_ms=until_ms, limit=WORK_PAGE)
            )
            if self._put_new(rows):
                self._lane.wake()

    def _put_new(self, rows: list[WorkRow]) -> bool:
        """Put what is neither known nor under way on the work queue; whether there was any."""
        work_queue, taken = self._lane.work_queue, self._lane.taken
        new = [row for row in rows
               if (row.payment, row.work) not in taken and not work_queue.knows(row.payment, row.work)]  # fmt: skip
        for row in new:
            work_queue.put(row)
        return bool(new)
