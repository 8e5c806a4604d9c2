"""Acknowledgement window: which deliveries of one channel may be acknowledged."""

from __future__ import annotations

from collections.abc import Callable


class AckWindow:
    """Combines the acks of deliveries that are done in any order into few acks. No ack covers a delivery that is not
    done.

    An ack with `multiple` covers every lower tag of its channel, so that it may only name the last tag of the unbroken
    run of done tags. Tags count 1, 2, 3 … per channel, so that each channel has its own window.
    """

    __slots__ = ("_ack", "_acked", "_delivered", "_done", "_frontier", "_returned", "_target")

    def __init__(self, ack_through: Callable[[int], object]) -> None:
        """Make an empty window. `ack_through(tag)` acks `tag` and all before it, on the window's own channel."""
        self._ack = ack_through
        self._delivered = 0
        self._frontier = 0
        self._target = 0
        self._acked = 0
        self._done: set[int] = set()
        self._returned: set[int] = set()

    @property
    def open(self) -> int:
        """The number of deliveries not done yet."""
        return self._delivered - self._frontier - len(self._done)

    @property
    def acked(self) -> int:
        """The highest tag acked so far; 0 before the first."""
        return self._acked

    def delivered(self, tag: int) -> None:
        """Record that the broker delivered `tag`; tags come in order without gaps."""
        if tag != self._delivered + 1:
            raise ValueError(
                f"delivery tag {tag} follows {self._delivered} on one channel: deliveries between them are missing"
            )
        self._delivered = tag

    def done(self, tag: int) -> None:
        """Record that delivery `tag` is stored durably. Repeating this changes nothing."""
        self._check(tag)
        if tag > self._frontier:
            self._done.add(tag)
            self._advance()

    def done_through(self, tag: int) -> None:
        """Record that `tag` and all earlier deliveries are stored durably."""
        self._check(tag)
        self._done.update(range(self._frontier + 1, tag + 1))
        self._advance()

    def given_back(self, tag: int) -> bool:
        """Record that `tag` will be nacked. False if it is done already and must not be nacked.

        The tag no longer delays later tags, and no ack names it, because the broker would close the channel for an
        unknown tag.
        """
        if tag <= self._frontier or tag in self._done:
            return False
        self._returned.add(tag)
        self._done.add(tag)
        self._advance()
        return True

    def flush(self) -> bool:
        """Send the ack that is due; True if one was sent."""
        if self._target <= self._acked:
            return False
        self._acked = self._target
        self._ack(self._target)
        return True

    def _check(self, tag: int) -> None:
        if not 0 < tag <= self._delivered:
            raise ValueError(f"delivery tag {tag} was never delivered here, the last was {self._delivered}")

    def _advance(self) -> None:
        done, tag = self._done, self._frontier + 1
        while tag in done:
            done.remove(tag)
            if tag in self._returned:
                self._returned.remove(tag)
            else:
                self._target = tag
            tag += 1
        self._frontier = tag - 1
