"""Rule `validity`."""

from __future__ import annotations

import pytest

from gateway.bank.gates.validity import ValidityRule
from gateway.kernel.core.gate import PASS, Refuse
from protocols.canon.outcome import State
from tests.gateway.gates.facts import NOW_MS, at_write, row


@pytest.mark.parametrize(
    ("until_ms", "leaves"), [(None, True), (NOW_MS + 1, True), (NOW_MS, False), (NOW_MS - 1, False)]
)
def test_one_order_that_is_over_keeps_the_message_back(until_ms: int | None, leaves: bool) -> None:
    rows = row(State.SENDING), row(State.SENDING, valid_until_ms=until_ms)
    assert ValidityRule().judge(at_write(*rows)) == (PASS if leaves else Refuse("expired"))
