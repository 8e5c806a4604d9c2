"""The audit trail takes the verdicts of joint tests, and tells them again in their order."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control import joint_run_answers
from tests.gateway.cli.control_operator import OTHER, Operator
from tests.gateway.control.test_exchange_traces import with_rings
from tests.world.world import World

TRIES = ("joint-runs", "abcdef", "tries")
LANE = ("POST", "joint-runs", "abcdef", "lanes", "sample.main")
TRIED: dict[str, Any] = {"name": "R1-settles.payment-1", "bank": "sample", "verdict": "passed", "files": "ab" * 32}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    world = World(tmp_path, wrap=with_rings, bank_options={"sessions": 1})
    world.start()
    world.run(2)
    yield Operator(world)
    world.crash()


def test_verdicts_are_told_again_in_their_order(operator: Operator) -> None:
    for verdict in ("waiting", "passed"):
        assert operator.ask("POST", *TRIES, **{**TRIED, "verdict": verdict}) == {"recorded": True}
    operator.ask("POST", "joint-runs", "fedcba", "tries", **TRIED)
    told = operator.ask("GET", *TRIES)["tries"]
    assert [(one["try"], one["verdict"], one["files"], one["actor"]) for one in told] == [
        ("R1-settles.payment-1", verdict, "ab" * 32, "uid:root") for verdict in ("waiting", "passed")
    ]
    assert operator.trail("joint-test:abcdef") == [("uid:root", "joint_test.tried")] * 2


@pytest.mark.parametrize("wrong", [{"files": "ab"}, {"name": "../x"}, {"verdict": "Very good"}, {"files": "AB" * 32}])
def test_what_no_joint_test_writes_is_refused(operator: Operator, wrong: dict[str, str]) -> None:
    operator.no(400, "bad_try", "POST", *TRIES, **{**TRIED, **wrong})
    assert operator.ask("GET", *TRIES)["tries"] == []


def test_digests_of_each_exchange_with_sign_ons_and_probes_are_written_once(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {one["number"]: one for one in operator.ask("GET", "lanes", "sample.main", "trace")["events"]}
    monkeypatch.setattr(joint_run_answers, "MOST_EVENTS", 2)
    said = operator.ask(*LANE)
    found = list(said["exchanges"])
    while (said := operator.ask(*LANE, after=said["last"]))["exchanges"]:
        assert len(said["exchanges"]) <= 2
        found += said["exchanges"]
    assert [one["number"] for one in found] == list(range(1, len(found) + 1)) and len(found) >= len(shown)
    assert {"sign_on", "probe"} & {one["purpose"] for one in found}
    for one in found[: len(shown)]:
        parts = shown[one["number"]]["parts"]
        assert [hashlib.sha256(b64decode(part["base64"])).hexdigest() for part in parts] == [
            part["sha256"] for part in one["parts"]
        ]
    told = operator.ask("GET", *TRIES)
    assert (told["exchanges"], told["tries"]) == (found, [])
    assert set(operator.trail("joint-test:abcdef")) == {("uid:root", "joint_test.exchanges")}


def test_the_first_question_begins_some_events_back_and_so_does_one_about_a_trace_that_began_anew(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint_run_answers, "FIRST_EVENTS", 1)
    first, beyond = operator.ask(*LANE), operator.ask(*LANE, after=1_000_000)
    assert len(first["exchanges"]) == 1 and first["last"] > 1
    assert beyond == first


def test_a_lane_that_is_not_there_and_a_run_that_is_none_are_refused(operator: Operator) -> None:
    operator.no(404, "no_such_lane", "POST", "joint-runs", "abcdef", "lanes", "icbc.main")
    operator.no(400, "bad_try", "POST", "joint-runs", "NO", "lanes", "sample.main")
    operator.no(403, "not_enrolled", *LANE, peer=OTHER)
