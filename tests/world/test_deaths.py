"""The real daemon dies at every named point, once each; five times by `make crash ROUNDS=5`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.world import deaths
from tests.world.deaths import Verdict, places
from tests.world.services import Broker


def test_there_are_points_enough() -> None:
    assert len({place.point for place in places()}) >= 40, "by name; the same point passed again does not count"


@pytest.mark.broker
@pytest.mark.timeout(600)
def test_no_death_duplicates_or_loses(broker: Broker, tmp_path: Path) -> None:
    verdict = Verdict()
    with deaths.ground(broker, broker.test_vhost, tmp_path) as at:
        deaths.play(at, places(), verdict, "T-")
    print(verdict.last_line())
    assert verdict.duplicated == []
    assert verdict.lost == []
    assert verdict.missed == []
