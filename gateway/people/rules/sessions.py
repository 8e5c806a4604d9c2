"""How long a sign-in lasts: it ends after a time without use, and after an absolute time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """The limits of a session in milliseconds: without use, and in all."""

    idle_ms: int = 15 * 60_000
    absolute_ms: int = 8 * 3_600_000


@dataclass(frozen=True, slots=True)
class PersonSession:
    """A person who signed in from a UNIX user with a factor. Times are of a clock that never goes backwards."""

    person: str
    uid: int
    factor: str
    began_ms: int
    seen_ms: int

    def ends_ms(self, limits: SessionLimits) -> int:
        """When the session ends if it is not used again."""
        return min(self.seen_ms + limits.idle_ms, self.began_ms + limits.absolute_ms)

    def alive(self, now_ms: int, limits: SessionLimits) -> bool:
        """True before the session's end."""
        return now_ms < self.ends_ms(limits)
