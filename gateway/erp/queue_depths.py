"""How many messages wait in the gateway's own queues on the broker, asked every second.

A passive declaration needs no right and takes no message. Messages that wait there are not yet the gateway's: they were
neither read nor acknowledged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from gateway.erp.amqp_types import BrokerRefused, Declarer

EVERY_S = 1.0


class QueueDepths:
    """The depths of queues on one connection after another. `depths` is empty while there is no connection."""

    def __init__(self) -> None:
        self.depths: Mapping[str, int] = {}

    async def keep(self, declarer: Declarer, queues: Iterable[str], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Ask again and again until the connection ends. A queue that the broker refuses to show is left out."""
        wanted = tuple(queues)
        try:
            while True:
                found = {}
                for queue in wanted:
                    try:
                        found[queue] = await declarer.queue_exists(queue)
                    except BrokerRefused:
                        continue
                self.depths = found
                await sleep(EVERY_S)
        finally:
            self.depths = {}
