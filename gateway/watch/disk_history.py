"""In how many days the disk of `state_dir` will be full, by the space that it lost in the last day and in the last
week.

A sample of the free space is stored each hour in a small file, so that it survives a restart. The faster of the two
rates counts. Shorter periods are not used, because a backup or a report fills the disk for a while and frees the space
again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FILE = "disk-history.json"
EVERY_S = 3_600.0
KEPT_S = 7 * 86_400.0
LEAST_S = 6 * 3_600.0
WINDOWS_S = (86_400.0 + EVERY_S, KEPT_S)
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DiskForecast:
    """`days` until the disk is full, at the rate of the last `over_s` seconds."""

    days: float
    over_s: float


class DiskHistory:
    """Samples of the free space in one folder. Used by one thread at a time. A file that cannot be read or written is
    ignored: the samples in memory go on."""

    def __init__(self, state_dir: Path) -> None:
        self._file = state_dir / FILE
        self._samples: list[tuple[float, int]] = []
        with suppress(OSError, ValueError, TypeError):
            self._samples = [(float(at_s), int(free)) for at_s, free in json.loads(self._file.read_text("utf-8"))]

    def forecast(self, free: int, now_s: float) -> DiskForecast | None:
        """Count a measurement; returns when the disk will be full, or None if it does not fill, or if too little is
        known."""
        # A sample from the future was written by a clock that was ahead.
        self._samples = [one for one in self._samples if now_s - KEPT_S - EVERY_S <= one[0] <= now_s]
        if not self._samples or now_s - self._samples[-1][0] >= EVERY_S:
            self._samples.append((now_s, free))
            with suppress(OSError):
                fresh = self._file.with_suffix(".new")
                fresh.write_text(json.dumps(self._samples), "utf-8")
                fresh.replace(self._file)
        return min(self._forecasts(free, now_s), key=lambda one: one.days, default=None)

    def _forecasts(self, free: int, now_s: float) -> Iterator[DiskForecast]:
        for window_s in WINDOWS_S:
            first = next((one for one in self._samples if now_s - one[0] <= window_s), None)
            if first is not None and (over_s := now_s - first[0]) >= LEAST_S and first[1] > free:
                yield DiskForecast(free / (first[1] - free) * over_s / _DAY_S, over_s)
