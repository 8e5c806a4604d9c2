"""Time, chance and fresh ids, as arguments: nothing else in the gateway reads a clock or draws a random number."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_HEAD_SHIFTS, _TAIL_SHIFTS = tuple(range(120, 31, -10)), (30, 20, 10, 0)
_TAIL_BITS = 40
_BASE_32 = str.maketrans(_CROCKFORD, "0123456789abcdefghijklmnopqrstuv")
_RANDOM_BITS = 80
_UUID_RANDOM_BITS = 74


class Clock(Protocol):
    """Tells the time and starts timers. `now_ms` and `monotonic_s` may be called from any thread."""

    def now_ms(self) -> int:
        """Wall-clock time: milliseconds of UTC since 1970. It may jump; never measure durations with it."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never go backwards: for durations, time-outs and permits."""

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call `fn(*args)` in the reactor's thread after `delay_s` seconds. Reactor thread only."""


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_s() -> float:
    """Seconds of a clock that nobody can set and that goes on while the machine sleeps. So a lease has run out when the
    machine wakes.
    """
    return time.clock_gettime(_STEADY)


def keep_steady(reactor: Any) -> None:
    """Let the reactor count its timers by `steady_s`. Call it before the reactor has timers.

    Twisted counts timers by the wall clock. If the clock were set back by an hour, no time-out would fire and no lease
    would be renewed for an hour; if it were set forward, all timers would fire at once.
    """
    reactor.seconds = steady_s


def offset_ms(clock: Clock) -> float:
    """The milliseconds by which the wall clock is ahead of the monotonic clock. They change only if somebody sets the
    clock.
    """
    return clock.now_ms() - clock.monotonic_s() * 1000


class SystemClock:
    """The Clock of the daemon: the machine's clocks, and timers of the running reactor."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor

    def now_ms(self) -> int:
        """Milliseconds of UTC since 1970."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """The seconds of `steady_s`."""
        return steady_s()

    def later(self, delay_s: float, fn: Callable[..., object], *args: Any) -> IDelayedCall:
        """Call `fn(*args)` in the reactor's thread after `delay_s` seconds."""
        return self._reactor.callLater(delay_s, fn, *args)


class Entropy(Protocol):
    """Makes unique ids and random values. Safe to use from any thread."""

    def ulid(self, now_ms: int) -> str:
        """A new ULID: 26 characters that sort by time; later calls of this object sort after earlier ones."""

    def random(self) -> float:
        """A random number in [0, 1), for jitter. Not for secrets."""

    def bytes(self, n: int) -> bytes:
        """`n` unpredictable random bytes."""


class Ulids:
    """Makes ULIDs that never repeat and always increase, even if the wall clock goes backwards."""

    def __init__(self, draw: Callable[[int], bytes]) -> None:
        self._draw = draw
        self._last = 0
        self._head = -1
        self._head_text = ""
        self._lock = Lock()

    def next(self, now_ms: int) -> str:
        """The next ULID. It carries the time `now_ms`, or follows the last ULID if that one is later."""
        with self._lock:
            if now_ms > self._last >> _RANDOM_BITS:
                self._last = (now_ms << _RANDOM_BITS) | int.from_bytes(self._draw(10), "big")
            else:
                self._last += 1
            value = self._last
            if value >> _TAIL_BITS != self._head:
                # ULIDs of one millisecond differ in the last letters only.
                self._head = value >> _TAIL_BITS
                self._head_text = "".join([_PAIRS[(value >> shift) & 1023] for shift in _HEAD_SHIFTS])
            head = self._head_text
        return head + "".join([_PAIRS[(value >> shift) & 1023] for shift in _TAIL_SHIFTS])


class SystemEntropy:
    """Makes ids and random values from the operating system's randomness."""

    def __init__(self) -> None:
        self._ulids = Ulids(os.urandom)

    def ulid(self, now_ms: int) -> str:
        """A new ULID, which sorts after every earlier one of this object."""
        return self._ulids.next(now_ms)

    def random(self) -> float:
        """A random number in [0, 1)."""
        return random.random()

    def bytes(self, n: int) -> bytes:
        """`n` unpredictable random bytes."""
        return os.urandom(n)


_VALUES = {letter: value for value, letter in enumerate(_CROCKFORD)}


def ulid_from(at_ms: int) -> str:
    """The smallest ULID of this moment. Every ULID that was made before it is smaller."""
    digits, at_ms = [], max(at_ms, 0)
    for _ in range(10):
        at_ms, digit = divmod(at_ms, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits)) + "0" * 16


def ulid_ms(ulid: str) -> int:
    """The time in a ULID, in milliseconds of UTC since 1970."""
    at_ms = 0
    for letter in ulid[:10]:
        at_ms = at_ms * 32 + _VALUES[letter]
    return at_ms


def uuid7(ulid: str) -> str:
    """The UUIDv7 (RFC 9562) with the time and the low 74 random bits of `ulid`: AMQP peers expect a UUID.

    The order is kept: of two ULIDs of one source, the later one gives the greater text.
    """
    value = int(ulid.translate(_BASE_32), 32)
    at_ms, chance = value >> _RANDOM_BITS, value & ((1 << _UUID_RANDOM_BITS) - 1)
    number = (at_ms << 80) | (0x7 << 76) | ((chance >> 62) << 64) | (0b10 << 62) | (chance & ((1 << 62) - 1))
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
