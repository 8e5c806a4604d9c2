"""Senders take turns: what one of them has sent in thousands does not stand before another one's order.

The broker's queues are one for all senders. So that an order behind a flood is seen at all, more than usual is taken
out of a queue while one sender has most of what waits here; and what is here is begun by turns, of each sender in the
order of its messages, and no more of one at a time than leaves room for others.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from gateway.erp.amqp_types import Delivery
from gateway.erp.consumer import WIDER

MOST_AT_ONCE, MOST_OF_ONE = 192, 96
"""So many are under way into the journal: six groups of its writer."""
MOST_WIDENINGS = 10

TurnKey = tuple[str, str | None]


class Turns:
    """See the module. `begin` starts on a delivery; `done` is to be called once for each that was begun.

    `widen` and `narrow` ask for more of a queue, or no more of it than usual.
    """

    def __init__(
        self, prefetch: int, begin: Callable[[Delivery], None], widen: Callable[[str], None],
        narrow: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._prefetch = prefetch
        self._begin = begin
        self._widen = widen
        self._narrow = narrow
        self._waiting: OrderedDict[TurnKey, deque[Delivery]] = OrderedDict()
        self._begun: dict[TurnKey, int] = {}
        self._under_way = 0
        self._pumping = False
        self._of_queue: dict[str, int] = {}
        self._widened: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """Deliveries that are not begun."""
        return sum(self._of_queue.values())

    def put(self, delivery: Delivery) -> None:
        """One more; it is begun now if it is its sender's turn."""
        key, queue = _key(delivery), delivery.queue
        theirs = self._waiting.setdefault(key, deque())
        theirs.append(delivery)
        self._of_queue[queue] = self._of_queue.get(queue, 0) + 1
        self._pump()
        times = self._widened.get(queue, 0)
        if times < MOST_WIDENINGS and 2 * len(theirs) > self._prefetch + times * WIDER:
            self._widened[queue] = times + 1
            self._widen(queue)

    def done(self, delivery: Delivery) -> None:
        """One that was begun has ended, whichever way."""
        key = _key(delivery)
        self._under_way -= 1
        self._begun[key] -= 1
        if not self._begun[key]:
            del self._begun[key]
        self._pump()

    def forget(self) -> int:
        """Drop what is not begun: its connection is gone, and it will be delivered again. Returns how many."""
        dropped = self.waiting
        self._waiting.clear()
        self._of_queue.clear()
        self._widened.clear()
        return dropped

    def _pump(self) -> None:
        if self._pumping:
            return  # one that ends at once has the next begun by the loop below, however many there are
        self._pumping = True
        try:
            while (key := self._next()) is not None:
                self._take(key)
        finally:
            self._pumping = False

    def _next(self) -> TurnKey | None:
        if self._under_way >= MOST_AT_ONCE:
            return None
        # Whoever has least under way; of several, whoever's turn is longest ago.
        key = min(self._waiting, key=lambda one: self._begun.get(one, 0), default=None)
        return key if key is not None and self._begun.get(key, 0) < MOST_OF_ONE else None

    def _take(self, key: TurnKey) -> None:
        theirs = self._waiting[key]
        delivery = theirs.popleft()
        # Behind the others: their turn comes first.
        self._waiting.move_to_end(key)
        if not theirs:
            del self._waiting[key]
        self._begun[key] = self._begun.get(key, 0) + 1
        self._under_way += 1
        self._left(delivery.queue)
        self._begin(delivery)

    def _left(self, queue: str) -> None:
        self._of_queue[queue] -= 1
        if self._widened.get(queue) and 4 * self._of_queue[queue] < self._prefetch:
            self._widened[queue] = 0
            self._narrow(queue)


def _key(delivery: Delivery) -> TurnKey:
    return delivery.queue, delivery.properties.user_id
