"""The trust in the wall clock in borderline cases: it was set, it differs from the bank's, or the node has had the lane
for less than a quarantine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.bank.clock_trust import CLOCK_DIFFERS_MS, ClockTrust
from gateway.bank.lease import Lease
from gateway.kernel.meters import Meters
from protocols.canon.outcome import Fate
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock


class _Lease:
    def __init__(self) -> None:
        self.clock_set = False
        self.lasted_s = 1e9


class _Lane:
    def __init__(self) -> None:
        self.lease, self.meters, self.clock = (
            _Lease(),
            Meters(CollectorRegistry()),
            LifeClock(HeapClock(1_800_000_000.0)),
        )
        self.clock_trust = ClockTrust("b.main", self.clock, cast(Lease, self.lease), self.meters)

    def ahead(self, by_ms: int) -> None:
        """The bank tells its time, and this node's clock is ahead of it by this much."""
        now = datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC)
        self.clock_trust.compare(now - timedelta(milliseconds=by_ms))

    def alarms(self, name: str) -> float:
        return cast(float, self.meters.alarms.labels(name)._value.get())


def test_the_limit_is_a_minute() -> None:
    assert CLOCK_DIFFERS_MS == 60_000


@pytest.mark.parametrize(
    ("ahead_ms", "doubt"),
    [(0, None), (60_000, None), (-60_000, None), (60_001, "clock_differs"), (-60_001, "clock_differs")],
)
def test_a_clock_is_trusted_within_a_minute_of_the_banks(ahead_ms: int, doubt: str | None) -> None:
    lane = _Lane()
    assert lane.clock_trust.trusted() and all(lane.clock_trust.sure(1).of(fate) for fate in Fate)
    lane.ahead(ahead_ms)
    assert lane.clock_trust.doubt == doubt
    with capture_logs() as said:
        assert lane.clock_trust.trusted() is (doubt is None)
    assert {lane.clock_trust.sure(1).of(fate) for fate in Fate} == {doubt is None}
    assert lane.alarms("clock_differs") == (doubt is not None) and lane.alarms("clock_set") == 0
    if doubt:
        [line] = said
        assert (line["event"], line["lane"], line["ahead_of_bank_s"]) == (
            "lane.clock_differs",
            "b.main",
            round(ahead_ms / 1000),
        )
        assert "agrees with the bank's" in line["action"]
    else:
        assert not said


def test_a_clock_that_was_set_is_not_trusted_whatever_the_bank_shows() -> None:
    lane = _Lane()
    lane.ahead(90_000)
    lane.lease.clock_set = True
    with capture_logs() as said:
        assert (
            lane.clock_trust.doubt == "clock_set"
            and not lane.clock_trust.trusted()
            and not lane.clock_trust.sure(1).spans
        )
    lane.ahead(0)
    lane.lease.lasted_s = 0.0
    assert not lane.clock_trust.sure(1).spans
    lane.lease.lasted_s = 1.0
    assert lane.clock_trust.sure(1).spans, "it was not set again for long enough: a word about all copies is believed"
    assert lane.clock_trust.doubt == "clock_set", "and nothing is sent again all the same"
    sure = lane.clock_trust.sure(1)
    assert [fate for fate in Fate if not sure.of(fate)] == [Fate.NOT_FOUND], "it may know it under another day"
    [line] = said
    assert (line["event"], line["ahead_of_bank_s"]) == ("lane.clock_set", 90) and "restart" in line["action"]
    assert lane.alarms("clock_set") == 1 and lane.alarms("clock_differs") == 0


def test_that_it_was_set_is_told_though_nothing_waits_to_be_sent_again() -> None:
    lane = _Lane()
    with capture_logs() as said:
        lane.clock_trust.was_set()
    assert [line["event"] for line in said] == ["lane.clock_set"] and lane.alarms("clock_set") == 1


def test_that_a_clock_begins_and_ceases_to_differ_is_told_once_each() -> None:
    lane = _Lane()
    with capture_logs() as said:
        for ahead_ms in (60_000, 60_001, -70_000, 500, -60_000):
            lane.ahead(ahead_ms)
    assert [(line["event"], line["log_level"], line["lane"], line["ahead_of_bank_s"]) for line in said] == [
        ("lane.clock_differs", "warning", "b.main", 60),
        ("lane.clock_agrees", "info", "b.main", 0),
    ]
    assert "set this machine's clock right" in said[0]["action"]


@pytest.mark.parametrize(
    ("lasted_s", "left_ms"), [(0.0, 300_000), (100.0, 200_000), (299.9995, 1), (300.0, 0), (301.0, 0), (1e9, 0)]
)
def test_a_quarantine_is_counted_from_the_moment_this_node_took_the_lane(lasted_s: float, left_ms: int) -> None:
    lane = _Lane()
    lane.lease.lasted_s = lasted_s
    assert lane.clock_trust.quarantine_left_ms(300_000) == left_ms
    assert {lane.clock_trust.sure(300_000).of(fate) for fate in Fate} == {left_ms == 0}
