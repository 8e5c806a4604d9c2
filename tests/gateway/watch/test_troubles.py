"""Troubles: each kind is found by what there is to see, logged once when it begins and when it is over, and counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.bank.fault_reasons import REMEDIES, remedy
from gateway.bank.handshake_errors import Reason
from gateway.bank.push_listener import NotListening
from gateway.clock import SystemClock
from gateway.meters import NOT_READY, TROUBLES, Meters
from gateway.start_failures import StartFailure
from gateway.watch import troubles
from gateway.watch.condition_metrics import Capacity
from gateway.watch.health import Readiness
from gateway.watch.troubles import RUNBOOKS, Observed, Trouble, TroubleWatch, found
from protocols.erp.news import instant
from tests.world.clock import HeapClock

WELL = Observed(Readiness((), {}), {}, "", "", 3.0, {}, Capacity(90, 100, 7), 0, 1_000_000.0)
FAILURE = StartFailure("2026-11-28T09:00:00Z", 77, 69, "process 5 works in /x", "leave it")


def kinds(**seen: Any) -> list[str]:
    return [one.kind for one in found(replace(WELL, **seen))]


def lacking(*codes: str) -> Readiness:
    return Readiness(tuple(f"because of {code}" for code in codes), {}, codes)


@pytest.mark.parametrize(("seen", "expected"), [
    ({}, []),
    ({"ready": lacking("stopped")}, ["stopped"]), ({"ready": lacking("journal")}, ["journal"]),
    ({"ready": lacking("broker")}, ["broker"]), ({"ready": lacking("draining", "broker")}, []),
    ({"ready": lacking("broker_blocked")}, ["broker_blocked"]),
    ({"heartbeat_s": 181.0}, ["heartbeat"]), ({"heartbeat_s": 179.0}, []), ({"heartbeat_s": None}, []),
    ({"capacity": Capacity(9, 100, 7)}, ["disk"]), ({"capacity": Capacity(10, 100, 7)}, []), ({"capacity": None}, []),
    ({"capacity": Capacity(90, 100, 2**30 + 1)}, ["permit_log"]),
    ({"capacity": Capacity(90, 100, 7, FAILURE)}, ["start_failed"]),
    ({"certificates": {("pab", "client"): 1_000_000.0 + 29 * 86_400}}, ["certificate"]),
    ({"certificates": {("pab", "client"): 1_000_000.0 + 31 * 86_400}}, []),
    ({"overdue": 1}, ["retention"]),
    ({"not_listening": {"pab": NotListening("no such address", "set another")}}, ["pushes"]),
])  # fmt: skip
def test_each_kind_is_seen(seen: dict[str, Any], expected: list[str]) -> None:
    assert kinds(**seen) == expected


def test_the_database_and_the_broker_are_told_apart_by_what_they_said() -> None:
    def told(**seen: Any) -> str:
        return next(found(replace(WELL, **seen))).remedy

    down, no_broker = lacking("journal"), lacking("broker")
    assert "start the database" in told(ready=down, journal="Connection refused")
    assert "disk is full" in told(ready=down, journal="database or disk is full")
    assert "journal.password" in told(ready=down, journal="password authentication failed for user x")
    assert "broker.password" in told(ready=no_broker, broker="403 ACCESS_REFUSED")
    assert "start RabbitMQ" in told(ready=no_broker, broker="Connection refused")


def test_a_lanes_remedy_is_that_of_its_reason() -> None:
    for one in Reason:
        assert remedy(one.value) == one.remedy
    assert remedy("no_answer") == REMEDIES["no_answer"] and remedy("digest") == REMEDIES["signature"]
    assert remedy("something") == ""


def test_every_kind_has_its_page_and_every_reason_is_a_trouble_or_meant() -> None:
    assert set(RUNBOOKS) == set(TROUBLES)
    # An operator or the service manager meant it; no lane ready is told lane by lane.
    assert set(NOT_READY) - set(TROUBLES) == {"stopping", "draining", "no_lane"}


def test_what_begins_and_ends_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def error(self, event: str, **fields: Any) -> None:
            lines.append((event, fields))

        info = error

    monkeypatch.setattr(troubles, "_log", Log())
    meters, clock = Meters(CollectorRegistry()), HeapClock()
    watch = TroubleWatch(meters, SystemClock(clock), instant)
    one, other = Trouble("lane", "pab.main", "refused", "call"), Trouble("lane", "boc.main", "refused", "call")
    disk = Trouble("disk", "state_dir", "9 MiB", "make room")

    def value(kind: str) -> float | None:
        return meters.registry.get_sample_value("bankgw_troubles", {"trouble": kind})

    watch.look([one, other, disk])
    watch.look([one, other, replace(disk, cause="8 MiB")])
    assert [event for event, _ in lines] == ["trouble.began"] * 3 and value("lane") == 2 and value("disk") == 1
    assert [row["subject"] for row in watch.words()] == ["boc.main", "pab.main", "state_dir"]
    assert watch.words()[0]["runbook"] == "BankgwLaneDown" and watch.words()[2]["cause"] == "8 MiB"
    watch.look([replace(one, cause="silent")])
    assert [event for event, _ in lines[3:]] == ["trouble.began", "trouble.over", "trouble.over"]
    assert value("lane") == 1 and value("disk") == 0 and value("clock") == 0
