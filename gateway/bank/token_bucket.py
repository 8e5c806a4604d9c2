"""A token bucket on the monotonic clock, which limits how fast a bank is asked."""

from __future__ import annotations

LEAST_WAIT_S = 0.001
"""A shorter wait can be lost in a clock's rounding; the caller would ask again in the same instant."""


class TokenBucket:
    """Limits the rate of requests: at most `burst` at once and `per_second` in the long run.

    `wait_s` takes a token or says how long to wait.
    """

    def __init__(self, per_second: float, burst: int, now_s: float) -> None:
        self._per_second = per_second
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._at_s = now_s

    def wait_s(self, now_s: float) -> float:
        """Take a token and return 0.0, or return the seconds until there is one."""
        wait_s = self.until_s(now_s)
        if wait_s == 0.0:
            self._tokens -= 1.0
        return wait_s

    def until_s(self, now_s: float) -> float:
        """As `wait_s`, but without taking a token."""
        tokens = self._tokens
        if now_s > self._at_s:
            tokens += (now_s - self._at_s) * self._per_second
        self._tokens = tokens = tokens if tokens < self._burst else self._burst
        self._at_s = now_s
        return 0.0 if tokens >= 1.0 else max((1.0 - tokens) / self._per_second, LEAST_WAIT_S)

    def rest(self, seconds: float) -> None:
        """Give no token for this many seconds, because the bank says that requests come too fast."""
        self._tokens = min(self._tokens, 1.0 - seconds * self._per_second)
