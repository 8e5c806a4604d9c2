"""Keeps the due payments of paused companies away from a lane's sessions and from the bank's pace.

A payment of a paused company that took a session, or one of the requests that the bank allows a second, would delay the
payments of other companies on the lane.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from itertools import islice
from typing import Any

from gateway.bank.lane_parts import LaneParts
from gateway.bank.ready_payments import READ_AHEAD, ReadyPayments
from gateway.bank.work_queue import WorkQueue
from gateway.kernel.core.states import Work
from gateway.payments.rows import lookup

LOOK_AGAIN_MS = 60_000
"""How long a payment of a paused company is not due. When the company is resumed, it is due at once."""


class CompanyWaits:
    """Keeps the due sends of paused companies waiting on one lane. Without a paused company it does nothing.

    `spawn` starts a read of the journal, which payments need that the lane does not have in memory.
    """

    def __init__(
        self,
        parts: LaneParts,
        work_queue: WorkQueue,
        ready: ReadyPayments,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._parts = parts
        self._queue = work_queue
        self._ready = ready
        self._spawn = spawn
        self._waiting: dict[tuple[str, Work], str] = {}
        self._unread: dict[tuple[str, Work], None] = {}
        self._may_go: set[tuple[str, Work]] = set()
        self._reading = False
        parts.companies.on_resumed(self._resume)

    def keeps(self, payment: str, kind: Work) -> bool:
        """True if this due send stays here, because its company is paused, or because the journal must be read first.
        It is queued again then. False if the lane may begin it."""
        companies, key = self._parts.companies, (payment, kind)
        if not companies.paused:
            return False
        if key in self._may_go:
            self._may_go.discard(key)
            return False
        company = self._waiting.get(key, "")
        if company not in companies.paused:
            row = self._ready.kept(payment)
            if row is None:
                self._read_later(key)
                return True
            company = companies.of(row)
        if not company:
            self._waiting.pop(key, None)
            return False
        self._wait(key, company)
        return True

    def clear(self) -> None:
        """Forget all waiting payments, because another node owns the lane."""
        self._waiting.clear()
        self._unread.clear()
        self._may_go.clear()

    def _wait(self, key: tuple[str, Work], company: str) -> None:
        self._waiting[key] = company
        self._queue.later(*key, self._parts.clock.now_ms() + LOOK_AGAIN_MS)

    def _resume(self) -> None:
        """Make the payments of resumed companies due now, in the order in which they were accepted."""
        paused, now_ms = self._parts.companies.paused, self._parts.clock.now_ms()
        for key in sorted(key for key, company in self._waiting.items() if company not in paused):
            del self._waiting[key]
            # It may have been cancelled or have expired meanwhile: then it is not queued any more.
            if self._queue.knows(*key):
                self._queue.later(*key, now_ms)
        if not paused:
            self._may_go.clear()
        self._queue.wake()

    def _read_later(self, key: tuple[str, Work]) -> None:
        self._unread[key] = None
        if not self._reading:
            self._reading = True
            self._spawn(self._read())

    async def _read(self) -> None:
        """Find out the companies of the payments that are not in memory."""
        try:
            while self._unread:
                some = tuple(islice(self._unread, READ_AHEAD))
                found = await self._parts.store.read(partial(lookup.fetch_each, payments=[one for one, _ in some]))
                rows = {row.payment: row for row in found}
                for key in some:
                    if key not in self._unread:
                        continue  # another node owns the lane meanwhile
                    del self._unread[key]
                    row = rows.get(key[0])
                    company = "" if row is None else self._parts.companies.of(row)
                    if company:
                        self._wait(key, company)
                    else:
                        self._may_go.add(key)
                        self._queue.later(*key, self._parts.clock.now_ms())
                self._queue.wake()
        finally:
            self._reading = False
