"""The clock of one life in a world: it may be wrong, stand still for a while, and set no timers once the life is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from tests.world.clock import HeapClock


class LifeClock:
    """The world's clock for one life. A dead life sets no timers, and its timers do not fire.

    `off_ms`: how wrong its wall clock is.
    """

    def __init__(self, clock: HeapClock, off_ms: int = 0) -> None:
        self._clock = clock
        self.off_ms = off_ms
        self.dead = False
        self._grave = HeapClock()
        self._held: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None

    @property
    def frozen(self) -> bool:
        """Whether the clock is frozen."""
        return self._held is not None

    def freeze(self) -> None:
        """Suspend the process, as on a paused machine: its timers wait for `thaw`, while the world's time goes on."""
        self._held = []

    def thaw(self) -> None:
        """Resume: all due timers run now, in order."""
        held, self._held = self._held or [], None
        for fn, args in held:
            self._alive(fn, args)

    def now_ms(self) -> int:
        return round(self._clock.seconds() * 1000) + self.off_ms

    def monotonic_s(self) -> float:
        return self._clock.seconds()

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        if self.dead:
            # Python ends a dead life's coroutines at any time, and the world must not notice.
            return self._grave.callLater(delay_s, fn, *args)
        return self._clock.callLater(delay_s, self._alive, fn, args)

    def _alive(self, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        if self._held is not None:
            self._held.append((fn, args))
        elif not self.dead:
            fn(*args)
