"""Rule `pause`."""

from __future__ import annotations

import pytest

from gateway.bank.gates.pause import PauseRule
from gateway.kernel.core.gate import PASS, Refuse
from tests.gateway.gates.facts import at_write


@pytest.mark.parametrize("reason", ["operator", "broker_blocked", "stopped", "of_a_later_version"])
def test_no_reason_is_passed_over(reason: str) -> None:
    assert PauseRule().judge(at_write(paused=(reason,))) == Refuse("paused")


def test_without_a_reason_it_leaves() -> None:
    assert PauseRule().judge(at_write()) is PASS
