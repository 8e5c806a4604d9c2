"""Rule `repeat_window`."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.bank.gates.repeat_window import RepeatWindowRule
from gateway.kernel.core.gate import PASS, Refuse
from gateway.kernel.core.states import Policy, Rules
from protocols.canon.outcome import State
from tests.gateway.gates.facts import NOW_MS, at_write, row

SAFE = Rules(replay=Policy.REPLAY_SAFE, window_ms=60_000, quarantine_ms=10_000)


def repeat(first_ms: int, rules: Rules = SAFE, **life: Any) -> Any:
    made = row(State.SENDING, first_write_ms=first_ms, last_write_ms=NOW_MS, attempt=2, repeats=1, **life)
    return replace(made, life=replace(made.life, rules=rules))


@pytest.mark.parametrize(("ago_ms", "leaves"), [(49_999, True), (50_000, False)])
def test_bytes_leave_again_inside_the_banks_window_only(ago_ms: int, leaves: bool) -> None:
    verdict = RepeatWindowRule().judge(at_write(repeat(NOW_MS - ago_ms)))
    assert verdict == (PASS if leaves else Refuse("window_closed"))


def test_a_bank_that_knows_a_reference_for_a_day_only_is_asked_by_the_day_of_the_bytes() -> None:
    last = repeat(NOW_MS - 1, replace(SAFE, same_day=True))
    assert RepeatWindowRule().judge(at_write(last)) is PASS
    over = SimpleNamespace(day_ends_ms=lambda _day: NOW_MS + 10_000)
    assert RepeatWindowRule().judge(at_write(last, calendar=over)) == Refuse("window_closed")


def test_a_first_send_passes() -> None:
    assert RepeatWindowRule().judge(at_write(row(State.SENDING))) is PASS
