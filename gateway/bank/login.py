"""The state that all lanes with the same user at a bank share, because the bank counts by user.

It keeps the bank's pace, for all requests together and for each sort, and the wait after a refused sign-on. The wait is
needed because a refused password would be refused again, and banks lock a login after a few refusals. An expired token
is different: the next sign-on is tried at once.
"""

from __future__ import annotations

from twisted.internet.defer import DeferredLock

from gateway.bank.token_bucket import TokenBucket
from gateway.kernel.clock import Clock
from protocols.canon import limits

QUIET_S = (300.0, 3_600.0, 86_400.0)
"""The wait after the first refusal in a row, the second, and each further one: at most four attempts a day."""
BACKGROUND_SHARE = 0.25
"""The largest share of the pace for background questions, so that a burst of payments finds tokens."""
ASKING_SHARE = 0.5
"""The largest share of the pace for enquiries, so that many payments in doubt leave room for sending."""


class Login:
    """The state that all lanes of one user at a bank share: the pace of requests, and the wait after a refused sign-on.
    `door` lets one sign-on through at a time. `per_second` replaces the bank's own pace."""

    def __init__(self, clock: Clock, pace: limits.Pace, per_second: float | None = None) -> None:
        self.door = DeferredLock()
        self._clock = clock
        self._refused = 0
        self.refusal = ""
        self._quiet_until_s = float("-inf")
        rate, now_s = per_second or pace.per_second, clock.monotonic_s()
        self._all = TokenBucket(rate, pace.burst, now_s)
        self._asking = TokenBucket(rate * ASKING_SHARE, pace.burst // 2, now_s)
        self._background = TokenBucket(rate * BACKGROUND_SHARE, 1, now_s)
        self._apart = {sort: TokenBucket(1 / gap_s, 1, now_s) for sort, gap_s in pace.apart_s.items()}
        self._known: dict[tuple[str, bool, bool], tuple[TokenBucket, ...]] = {}

    # ---- pace ----

    def wait_s(self, sort: str, *, asking: bool = False, background: bool = False) -> float:
        """The seconds until a request of this sort may begin; 0.0 if one may begin now. Nothing is counted.

        With an empty `sort`: whether a request of any sort may begin. `asking`: the request is an enquiry about a
        payment. `background`: nobody waits for its answer.
        """
        now_s = self._clock.monotonic_s()
        return max([pace.until_s(now_s) for pace in self._paces(sort, asking, background)])

    @property
    def background_s(self) -> float:
        """The seconds until the share of background questions allows one."""
        return self._background.until_s(self._clock.monotonic_s())

    def apart_s(self, sort: str) -> float:
        """As `wait_s`, but only for the bank's own pause between requests of this sort."""
        apart = self._of_sort(sort)
        return 0.0 if apart is None else apart.until_s(self._clock.monotonic_s())

    def begin(self, sort: str, *, asking: bool = False, background: bool = False) -> None:
        """Count one request of this sort."""
        now_s = self._clock.monotonic_s()
        for pace in self._paces(sort, asking, background):
            pace.wait_s(now_s)

    def rest(self, seconds: float) -> None:
        """Send no request for this many seconds, because the bank says that this user sends too fast."""
        self._all.rest(seconds)

    def _paces(self, sort: str, asking: bool, background: bool) -> tuple[TokenBucket, ...]:
        # There are few sorts, and the pace of each stays the same.
        found = self._known.get((sort, asking, background))
        if found is None:
            shares = (self._asking if asking else None, self._background if background else None)
            wanted = (self._all, *shares, self._of_sort(sort))
            found = self._known[sort, asking, background] = tuple(pace for pace in wanted if pace is not None)
        return found

    def _of_sort(self, sort: str) -> TokenBucket | None:
        shared = None if sort in ("", limits.MONEY) else self._apart.get(limits.QUESTION)
        return self._apart.get(sort, shared)

    # ---- signing on ----

    @property
    def quiet_s(self) -> float:
        """The seconds for which no session may sign on; 0.0 if one may sign on now."""
        return max(self._quiet_until_s - self._clock.monotonic_s(), 0.0)

    def refused(self, error: str) -> float:
        """Count a sign-on that the bank refused in these words, which are kept as `refusal`. Returns the seconds for
        which no session tries again."""
        self.refusal = f"the bank refused the sign-on: {error}"
        quiet_s = QUIET_S[min(self._refused, len(QUIET_S) - 1)]
        self._refused += 1
        self._quiet_until_s = self._clock.monotonic_s() + quiet_s
        return quiet_s

    def accepted(self) -> None:
        """Set the count of refused sign-ons to zero, because the bank accepted one."""
        self._refused = 0
