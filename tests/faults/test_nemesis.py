"""Tests whether incidents wait for kills and zombies that are delayed."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from faults.kinds import Kind
from faults.nemesis import Nemesis


class Hours:
    """A system with one kind of incident. Each wait moves its clock by one second."""

    def __init__(self, kills: int, zombies: int, last_s: float) -> None:
        self.played: list[float] = []
        self.stopping = False
        self.dice = random.Random(1)
        self.diary, self.grounds = SimpleNamespace(kills=kills), SimpleNamespace(zombies=[None] * zombies)
        self.now_s, self._last_s = 100.0, 100.0 + last_s
        self.clock = SimpleNamespace(monotonic_s=lambda: self.now_s)

    async def between(self, _least_s: float, _most_s: float) -> None:
        """Wait for one second."""
        self.now_s += 1.0
        self.stopping = self.now_s > self._last_s

    async def play(self, _system: Any) -> None:
        """Play the incident."""
        self.played.append(self.now_s - 100.0)


@pytest.mark.parametrize(
    ("met", "wanted", "played"),
    [(0, 0, [1, 2, 3, 4, 5, 6]), (2, 4, [1, 2]), (4, 4, [1, 2, 3, 4, 5, 6]), (3, 4, [1, 2, 3]), (0, 4, [])],
)
@pytest.mark.parametrize("what", ["kills", "zombies"])
def test_incidents_wait_for_what_is_behind_and_for_no_more(
    what: str, met: int, wanted: int, played: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`met` kills or zombies have happened and `wanted` are requested within four seconds."""
    kills = what == "kills"
    system: Any = Hours(met, 0, 6.0) if kills else Hours(0, met, 6.0)
    monkeypatch.setattr("faults.nemesis.kinds", lambda _crash_loop: (Kind("the only one", "F-00", system.play),))
    asked = {"kills": wanted} if kills else {"zombies": wanted}
    Deferred.fromCoroutine(Nemesis(system, long=True, within_s=4.0, **asked).faults_for_ever())
    assert system.played == played


def test_incidents_wait_for_kills_no_longer_than_15_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine kills lag for the whole campaign."""
    system: Any = Hours(0, 0, 46.0)
    monkeypatch.setattr("faults.nemesis.kinds", lambda _crash_loop: (Kind("the only one", "F-00", system.play),))
    Deferred.fromCoroutine(Nemesis(system, long=True, within_s=4.0, kills=4).faults_for_ever())
    assert system.played == [15, 30, 45]
