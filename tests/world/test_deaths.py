"""The real daemon dies at every named point; at each of its passings in `make test-long` and by `make crash`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.world import deaths
from tests.world.deaths import DeathPoint, Verdict, places
from tests.world.services import Broker


def test_there_are_points_enough() -> None:
    assert len({place.point for place in places()}) >= 40, "by name; the same point passed again does not count"


def _played(broker: Broker, folder: Path, where: Sequence[DeathPoint], *, links: bool) -> None:
    verdict = Verdict()
    with deaths.ground(broker, broker.test_vhost, folder, links=links) as at:
        deaths.play(at, where, verdict, "T-")
    print(verdict.last_line())
    assert verdict.last_line().startswith(f"crash: {len(where)} points")
    assert verdict.duplicated == []
    assert verdict.lost == []
    assert verdict.missed == []


@pytest.mark.broker
@pytest.mark.timeout(600)
def test_no_death_duplicates_or_loses(broker: Broker, tmp_path: Path) -> None:
    first = list({place.point: place for place in reversed(places()) if "link" not in place.point}.values())
    assert len(first) >= 40
    _played(broker, tmp_path, first[::-1], links=False)


@pytest.mark.broker
@pytest.mark.timeout(600)
def test_no_death_after_a_step_of_a_linked_payment_duplicates_or_loses(broker: Broker, tmp_path: Path) -> None:
    linked = [place for place in places() if "link" in place.point and place.point.endswith(".after")]
    assert len(linked) >= 3
    _played(broker, tmp_path, linked, links=True)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(600)
def test_no_death_in_a_linked_payment_duplicates_or_loses(broker: Broker, tmp_path: Path) -> None:
    linked = [place for place in places() if "link" in place.point]
    assert len(linked) >= 6
    _played(broker, tmp_path, linked, links=True)


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.timeout(900)
def test_no_death_at_any_passing_duplicates_or_loses(broker: Broker, tmp_path: Path) -> None:
    _played(broker, tmp_path, places(), links=True)
