"""Proof that messages still come through, for connections that look alive and deliver nothing."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

PATIENCE = 3
"""How many intervals of silence mean that the connection is dead, whatever its heartbeat says."""


class Canary:
    """Sends itself a message through the broker every `every_s` seconds and counts the silence."""

    def __init__(self, clock: IReactorTime, every_s: float, sing: Callable[[], None],
                 on_silence: Callable[[float], None]) -> None:
        """`sing` publishes one canary message; `on_silence(seconds)` is called once when none came back in
        time.
        """
        self._clock = clock
        self._every_s = every_s
        self._sing = sing
        self._on_silence = on_silence
        self._timer: IDelayedCall | None = None
        self._since_s = 0.0
        self.heard_at_s: float | None = None

    def start(self) -> None:
        """Begin (again): silence counts from now."""
        self.stop()
        self._since_s = self._clock.seconds()
        self._tick()

    def stop(self) -> None:
        """Send and count no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def heard(self) -> None:
        """A canary message came back."""
        self.heard_at_s = self._since_s = self._clock.seconds()

    def _tick(self) -> None:
        self._timer = None
        silence_s = self._clock.seconds() - self._since_s
        if silence_s >= PATIENCE * self._every_s:
            self._on_silence(silence_s)
            return
        self._timer = self._clock.callLater(self._every_s, self._tick)
        self._sing()
