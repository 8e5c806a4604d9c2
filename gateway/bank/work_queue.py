"""A lane's due work in memory: a copy of the journal's work rows, ordered by time, sends in order of acceptance."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import islice

from gateway.kernel.commit.rows import WorkRow
from gateway.kernel.core.states import Work

_ORDER = {Work.EXPIRE: 0, Work.ESCALATE: 0, Work.ENQUIRE: 1, Work.SEND: 2, Work.REPLAY: 2, Work.RETURNS: 3}
ASKING = frozenset({Work.ENQUIRE, Work.RETURNS})
_ENQUIRIES, _SENDS, _RETURNS = _ORDER[Work.ENQUIRE], _ORDER[Work.SEND], _ORDER[Work.RETURNS]


class WorkQueue:
    """The lane's due work in order of time. A later row for the same payment and kind replaces the earlier one.

    `under_way` are the items that are being worked on. `wake` makes the lane look at the queue soon.
    """

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.under_way: set[tuple[str, Work]] = set()
        self.wake = wake
        self._due_ms: dict[tuple[str, Work], int] = {}
        self._waiting: list[tuple[int, str, Work]] = []
        self._now: dict[int, deque[tuple[str, Work, int]]] = {rank: deque() for rank in sorted(set(_ORDER.values()))}
        self._sends_first = False

    def __len__(self) -> int:
        return len(self._due_ms)

    def put(self, row: WorkRow) -> None:
        """Queue a work row that was committed."""
        key = (row.payment, row.work)
        if self._due_ms.get(key) != row.due_ms:
            self._due_ms[key] = row.due_ms
            heapq.heappush(self._waiting, (row.due_ms, row.payment, row.work))

    def knows(self, payment: str, work: Work) -> bool:
        """True if an item of this kind waits for the payment, whenever it is due."""
        return (payment, work) in self._due_ms

    def knows_or_does(self, payment: str, work: Work) -> bool:
        """True if an item of this kind waits for the payment, or is being worked on."""
        return (payment, work) in self.under_way or (payment, work) in self._due_ms

    def later(self, payment: str, work: Work, due_ms: int) -> None:
        """Queue again an item that could not be done now. Nothing was committed; its row in the journal stays."""
        self._due_ms[payment, work] = due_ms
        heapq.heappush(self._waiting, (due_ms, payment, work))

    def postpone(self, payment: str, work: Work, due_ms: int) -> None:
        """Queue an item again as `later` does, and wake the lane."""
        self.later(payment, work, due_ms)
        self.wake()

    def clear(self) -> None:
        """Forget all due work, because another node owns the lane. Work under way ends by itself."""
        self._due_ms.clear()
        self._waiting.clear()
        for queue in self._now.values():
            queue.clear()
        self._sends_first = False

    def sooner(self, by_ms: int) -> None:
        """Make sends and enquiries due earlier after the clock was set back by `by_ms`, because they were timed by the
        old clock.

        Work that is not due yet for another reason is postponed again when it is taken. Two kinds of times stay as they
        are: times that others named (the end of an order's validity), and periods that protect money (the quarantine
        before a repeat).
        """
        for (payment, work), due_ms in tuple(self._due_ms.items()):
            if work in (Work.SEND, Work.ENQUIRE):
                self.later(payment, work, due_ms - by_ms)

    def forget(self, payment: str, work: Work) -> None:
        """Drop an item that is not due any more, or so late that the journal keeps it."""
        self._due_ms.pop((payment, work), None)

    def has_due(self, *, sends: bool = True, asks: bool = True) -> bool:
        """True if work that needs the bank is due and not yet taken."""
        now = self._now
        return bool((sends and now[_SENDS]) or (asks and (now[_ENQUIRIES] or now[_RETURNS])))

    def next_sends(self, most: int) -> list[str]:
        """The keys of up to `most` payments whose sends are due, in the order of the queue."""
        due = self._now[_ORDER[Work.SEND]]
        sends = (
            payment
            for payment, work, due_ms in due
            if work is Work.SEND and self._due_ms.get((payment, work)) == due_ms
        )
        return list(islice(sends, most))

    def next_ms(self) -> int | None:
        """When the next item falls due; None if nothing waits."""
        while self._waiting and not self._current(self._waiting[0]):
            heapq.heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def take_due(
        self, now_ms: int, *, quick: bool = True, slow: bool = True, sends: bool = True, asks: bool = True
    ) -> tuple[str, Work] | None:
        """The next due item: deadlines first, then enquiries and sends in turn, watching for returns last.

        `quick` items need no bank (expire, escalate), `slow` ones do; without `sends` nothing is sent, without `asks`
        nothing is asked. After that, the caller must finish or return the item.
        """
        while self._waiting and self._waiting[0][0] <= now_ms:
            item = heapq.heappop(self._waiting)
            if self._current(item):
                due_ms, payment, work = item
                self._now[_ORDER[work]].append((payment, work, due_ms))
        for rank in self._ranks(quick, slow, sends, asks):
            queue = self._now[rank]
            while queue:
                payment, work, due_ms = queue.popleft()
                if self._due_ms.get((payment, work)) == due_ms:
                    del self._due_ms[payment, work]
                    return payment, work
        return None

    def _ranks(self, quick: bool, slow: bool, sends: bool, asks: bool) -> tuple[int, ...]:
        ranks: tuple[int, ...] = (0,) if quick else ()
        if slow:
            # Sends and enquiries take turns, so that many of one kind do not delay the other kind.
            self._sends_first = not self._sends_first
            ranks += _SLOW[self._sends_first, sends, asks]
        return ranks

    def _current(self, item: tuple[int, str, Work]) -> bool:
        due_ms, payment, work = item
        return self._due_ms.get((payment, work)) == due_ms


_SLOW = {
    (False, True, True): (_ENQUIRIES, _SENDS, _RETURNS),
    (True, True, True): (_SENDS, _ENQUIRIES, _RETURNS),
    (False, True, False): (_SENDS,),
    (True, True, False): (_SENDS,),
    (False, False, True): (_ENQUIRIES, _RETURNS),
    (True, False, True): (_ENQUIRIES, _RETURNS),
    (False, False, False): (),
    (True, False, False): (),
}
"""The order of the work that needs the bank, by whether sends go first, whether sending is allowed, and asking."""
