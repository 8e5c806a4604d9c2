"""Whether incidents wait for kills that are behind."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from faults.incidents import Kind
from faults.nemesis import Nemesis


class Hours:
    """A field with one kind of incident and a clock that its own waiting moves, one second a time."""

    def __init__(self, kills: int, last_s: float) -> None:
        self.played: list[float] = []
        self.stopping = False
        self.dice = random.Random(1)
        self.diary = SimpleNamespace(kills=kills)
        self.now_s, self._last_s = 100.0, 100.0 + last_s
        self.clock = SimpleNamespace(monotonic_s=lambda: self.now_s)

    async def between(self, _least_s: float, _most_s: float) -> None:
        """A second."""
        self.now_s += 1.0
        self.stopping = self.now_s > self._last_s

    async def play(self, _field: Any) -> None:
        """The incident."""
        self.played.append(self.now_s - 100.0)


@pytest.mark.parametrize(("kills", "wanted", "played"), [
    (0, 0, [1, 2, 3, 4, 5, 6]), (2, 4, [1, 2]), (4, 4, [1, 2, 3, 4, 5, 6]), (3, 4, [1, 2, 3]), (0, 4, []),
])  # fmt: skip
def test_incidents_wait_for_kills_that_are_behind_and_for_no_more(
    kills: int, wanted: int, played: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of four kills within four seconds; then two seconds more."""
    field: Any = Hours(kills, 6.0)
    monkeypatch.setattr("faults.nemesis.kinds", lambda _crash_loop: (Kind("the only one", "F-00", field.play),))
    Deferred.fromCoroutine(Nemesis(field, long=True, kills=wanted, within_s=4.0).weather_for_ever())
    assert field.played == played
