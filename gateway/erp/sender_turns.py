"""Fair scheduling of deliveries between senders, so that a flood from one sender does not delay another's order.

All senders share the broker's queues. While one sender has most of the waiting deliveries, more than usual are taken
from the queue, so that orders behind the flood are seen. Waiting deliveries are started in turns, in order per sender,
with a limit per sender.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from gateway.erp.consumer import WIDER
from gateway.kernel.deliveries import Delivery

MOST_AT_ONCE, MOST_OF_ONE = 192, 96
"""How many deliveries are in progress at once: six groups of the journal's writer; and the limit of one sender."""
MOST_WIDENINGS = 10

TurnKey = tuple[str, str | None]


class SenderTurns:
    """Starts deliveries in fair turns between senders. `begin` starts a delivery; call `done` once for each that was
    started.

    `widen` and `narrow` ask for more deliveries of a queue, or for the usual number.
    """

    def __init__(
        self,
        prefetch: int,
        begin: Callable[[Delivery], None],
        widen: Callable[[str], None],
        narrow: Callable[[str], None],
    ) -> None:
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
        """The number of deliveries that were not started yet."""
        return sum(self._of_queue.values())

    def put(self, delivery: Delivery) -> None:
        """Add a delivery; it starts now if it is its sender's turn."""
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
        """Record that a started delivery has ended."""
        key = _key(delivery)
        self._under_way -= 1
        self._begun[key] -= 1
        if not self._begun[key]:
            del self._begun[key]
        self._pump()

    def forget(self) -> int:
        """Drop the deliveries not started, because the connection is lost and they will be delivered again; returns
        their number."""
        dropped = self.waiting
        self._waiting.clear()
        self._of_queue.clear()
        self._widened.clear()
        return dropped

    def _pump(self) -> None:
        if self._pumping:
            return  # a delivery that ends at once is followed by the next one in the loop below
        self._pumping = True
        try:
            while (key := self._next()) is not None:
                self._take(key)
        finally:
            self._pumping = False

    def _next(self) -> TurnKey | None:
        waiting, begun = self._waiting, self._begun
        if not waiting or self._under_way >= MOST_AT_ONCE:
            return None
        # The sender with the fewest in progress; of several, the one whose turn is longest ago.
        key = next(iter(waiting)) if len(waiting) == 1 else min(waiting, key=lambda one: begun.get(one, 0))
        return key if begun.get(key, 0) < MOST_OF_ONE else None

    def _take(self, key: TurnKey) -> None:
        theirs = self._waiting[key]
        delivery = theirs.popleft()
        # Move it behind the others.
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
