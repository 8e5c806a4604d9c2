"""Proof that messages still come through, for connections that look alive and deliver nothing."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE = 3
"""How many unanswered songs in a row mean that the connection is dead, whatever its heartbeat says."""


class Heartbeat:
    """Sends itself a message through the broker every `every_s` seconds and counts those that do not come back.

    It counts songs and not seconds: after a pause of the whole process the answers are still waiting to be read.
    """

    def __init__(self, clock: IReactorTime, every_s: float, sing: Callable[[], None],
                 on_silence: Callable[[float], None]) -> None:
        """`sing` publishes one canary message; `on_silence(seconds)` is called once when none came back."""
        self._clock = clock
        self._every_s = every_s
        self._sing = sing
        self._on_silence = on_silence
        self._timer: IDelayedCall | None = None
        self._unanswered = 0
        self.heard_at_s: float | None = None

    def start(self) -> None:
        """Begin (again), with nothing unanswered."""
        self.stop()
        self._unanswered = 0
        self._tick()

    def stop(self) -> None:
        """Send and count no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def heard(self) -> None:
        """A canary message came back."""
        self.heard_at_s = self._clock.seconds()
        self._unanswered = 0

    def _tick(self) -> None:
        self._timer = None
        if self._unanswered >= PATIENCE:
            self._on_silence(self._unanswered * self._every_s)
            return
        self._unanswered += 1
        self._timer = self._clock.callLater(self._every_s, self._tick)
        self._sing()
