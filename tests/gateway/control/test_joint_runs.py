"""The audit trail takes the verdicts of joint tests, and tells them again in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.cli.control_operator import Operator
from tests.world.world import World

TRIES = ("joint-runs", "abcdef", "tries")
TRIED: dict[str, Any] = {"name": "R1-settles.payment-1", "bank": "sample", "verdict": "passed", "files": "ab" * 32}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    world = World(tmp_path)
    world.start()
    world.run(1)
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
