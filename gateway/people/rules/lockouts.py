"""Lock-out: after ten failed sign-ins in a row a person cannot sign in for thirty minutes."""

from __future__ import annotations

from dataclasses import dataclass

MOST_FAILURES = 10
LOCKED_MS = 30 * 60_000


@dataclass(frozen=True, slots=True)
class SignInAttempts:
    """A person's failed sign-ins in a row since the last success or lock-out, and until when signing in is refused."""

    failures: int = 0
    locked_until_ms: int = 0

    def locked(self, now_ms: int) -> bool:
        """True while signing in is refused, even with the right factors."""
        return now_ms < self.locked_until_ms

    def failed(self, now_ms: int) -> SignInAttempts:
        """The attempts after one more failure. A failure during a lock-out does not count, so that nobody can lengthen
        it."""
        if self.locked(now_ms):
            return self
        if self.failures + 1 >= MOST_FAILURES:
            return SignInAttempts(0, now_ms + LOCKED_MS)
        return SignInAttempts(self.failures + 1, 0)
