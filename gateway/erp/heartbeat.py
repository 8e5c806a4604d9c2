"""Canary messages, to detect a connection that looks alive but delivers nothing."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE = 3
"""The number of canaries lost in a row that means a dead connection, whatever its AMQP heartbeat says."""


class Heartbeat:
    """Sends a canary message to itself through the broker every `every_s` seconds and counts those that do not return.

    It counts canaries, not seconds: after a pause of the process, canaries may still wait to be read.
    """

    def __init__(
        self, clock: IReactorTime, every_s: float, send_canary: Callable[[], None], on_silence: Callable[[float], None]
    ) -> None:
        """Make a heartbeat. `send_canary` publishes one canary message; `on_silence(seconds)` is called once when none
        has returned."""
        self._clock = clock
        self._every_s = every_s
        self._send_canary = send_canary
        self._on_silence = on_silence
        self._timer: IDelayedCall | None = None
        self._unanswered = 0
        self.heard_at_s: float | None = None

    def start(self) -> None:
        """Start, or start again, without outstanding canary messages."""
        self.stop()
        self._unanswered = 0
        self._tick()

    def stop(self) -> None:
        """Stop sending and counting canary messages."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def returned(self) -> None:
        """Record that a canary message has returned."""
        self.heard_at_s = self._clock.seconds()
        self._unanswered = 0

    def _tick(self) -> None:
        self._timer = None
        if self._unanswered >= PATIENCE:
            self._on_silence(self._unanswered * self._every_s)
            return
        self._unanswered += 1
        self._timer = self._clock.callLater(self._every_s, self._tick)
        self._send_canary()
