"""How long a bank usually takes to answer a lane, and from when on an answer is overdue.

An answer is overdue if it takes three times as long as the slowest of the last answers, and at least 2 s. So after four
seconds of waiting, a bank that always takes ten seconds is not overdue, and a bank that usually answers at once is.
"""

from __future__ import annotations

from collections import deque

KEPT = 200
LEAST_S = 2.0
UNKNOWN_S = 10.0
TIMES = 3.0


class AnswerTimes:
    """The durations of a lane's last answered exchanges."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=KEPT)

    def note(self, seconds: float) -> None:
        """Count one answer."""
        self._seconds.append(seconds)

    def limit_s(self, longest_s: float) -> float:
        """From when on an answer is overdue; never later than half of `longest_s`, after which the exchange is given
        up."""
        usual_s = TIMES * max(self._seconds) if self._seconds else UNKNOWN_S
        return min(max(LEAST_S, usual_s), longest_s / 2)
