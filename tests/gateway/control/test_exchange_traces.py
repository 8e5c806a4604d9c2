"""`GET /lanes/LANE/trace`: who may read it, what the audit trail notes, and that a follower gets each event once."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.bank.exchange_ring import ExchangeRing
from gateway.control import exchange_traces
from gateway.parts import Parts
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.world import world as worlds
from tests.world.world import Life, World

TRACE = ("GET", "lanes", "sample.main", "trace")


def with_rings(life: Life, parts: Parts) -> Parts:
    """A world whose daemon records the exchanges of its one lane."""
    world = life.world
    ring = ExchangeRing(world.folder / "traces", "sample.main", 1 << 20, world.vault)
    return replace(parts, rings={"sample.main": ring})


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    known = {**worlds._TWIN_OPTIONS["sample"], "password": "a long secret"}
    monkeypatch.setitem(worlds._TWIN_OPTIONS, "sample", known)
    world = World(tmp_path, wrap=with_rings, bank_options={"sessions": 1})
    world.credentials = {"user": "u", "password": "a long secret"}
    world.start()
    world.run(2)
    yield Operator(world)
    world.crash()


def test_the_last_events_are_shown_and_the_look_is_noted(operator: Operator) -> None:
    operator.world.submit("A-1")
    operator.world.run(3)
    said = operator.ask(*TRACE)
    sent = next(one for one in said["events"] if one["event"] == "request" and one["purpose"] == "send")
    assert [part["name"] for part in sent["parts"]] == ["signed order", "sent"]
    bytes_sent = sent["parts"][1]
    assert b64decode(bytes_sent["base64"]).decode() == bytes_sent["text"] and bytes_sent["cut_after"] is None
    assert operator.trail("sample.main").count(("uid:root", "lane.trace_shown")) == 1
    assert len(operator.ask(*TRACE, query={"last": "2"})["events"]) == 2


def test_a_follower_gets_each_event_once_and_is_noted_once(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    said = operator.ask(*TRACE)
    seen = [one["number"] for one in said["events"]]
    operator.world.submit("A-1")
    operator.world.run(3)
    monkeypatch.setattr(exchange_traces, "MOST_EVENTS", 40)
    monkeypatch.setattr(exchange_traces, "MOST_BYTES", 3_000)
    while (said := operator.ask(*TRACE, query={"after": str(said["last"])}))["events"]:
        assert len(said["events"]) <= 2
        seen += [one["number"] for one in said["events"]]
    assert seen == list(range(1, len(seen) + 1)) and len(seen) > 4
    assert operator.trail("sample.main").count(("uid:root", "lane.trace_shown")) == 1


def test_a_large_message_still_comes_but_alone(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_traces, "MOST_BYTES", 10)
    said = operator.ask(*TRACE, query={"after": "0"})
    assert len(said["events"]) >= 1 and said["last"] == said["events"][-1]["number"]


def test_the_password_is_nowhere(operator: Operator) -> None:
    password = operator.world.credentials["password"]
    said = operator.ask(*TRACE)
    texts = [part["text"] for one in said["events"] for part in one["parts"]]
    assert texts and not any(password in text for text in texts)
    assert any("*" * len(password) in text for text in texts)


def test_who_may_not_and_what_is_not_there(operator: Operator) -> None:
    operator.no(403, "not_allowed", *TRACE, peer=OTHER)
    operator.no(404, "no_such_lane", "GET", "lanes", "icbc.main", "trace")
    operator.no(400, "bad_number", *TRACE, query={"after": "-1"})
    operator.no(400, "bad_number", *TRACE, query={"last": "0"})


def test_a_lane_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    assert "trace_kib" in Operator(world).no(409, "not_kept", *TRACE)
