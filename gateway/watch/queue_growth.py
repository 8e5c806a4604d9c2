"""Which of the broker's queues grow: many messages wait, and they do not become fewer."""

from __future__ import annotations

from collections.abc import Mapping

MANY = 1_000
FALLS = 3
"""A queue that has become shorter so many times in a row does not grow any more."""


class QueueGrowth:
    """Compares the depths of each look with those before."""

    def __init__(self) -> None:
        self._before: Mapping[str, int] = {}
        self._falls: dict[str, int] = {}

    def growing(self, depths: Mapping[str, int]) -> Mapping[str, int]:
        """The queues that grow, with the number of messages that wait."""
        if depths is not self._before:
            for queue, depth in depths.items():
                before = self._before.get(queue)
                if depth < MANY:
                    self._falls.pop(queue, None)
                elif before is not None and depth < before:
                    self._falls[queue] = self._falls.get(queue, FALLS) + 1
                elif before is not None:
                    self._falls[queue] = 0
            self._falls = {queue: falls for queue, falls in self._falls.items() if queue in depths}
            self._before = depths
        return {queue: depths[queue] for queue, falls in self._falls.items() if falls < FALLS}
