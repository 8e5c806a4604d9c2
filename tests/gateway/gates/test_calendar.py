"""Tests of the rule `calendar`."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest

from gateway.bank.gates.calendar import CalendarRule
from gateway.kernel.core.gate import PASS, Refuse
from protocols.canon.outcome import State
from tests.gateway.gates.facts import at_write, row


@pytest.mark.parametrize("said", ["bank_closed", "day_over"])
def test_nothing_leaves_outside_the_banks_hours_or_day(said: str) -> None:
    assert CalendarRule().judge(at_write(calendar=SimpleNamespace(shut=lambda _day: said))) == Refuse(said)
    assert CalendarRule().judge(at_write()) is PASS


def test_a_repeat_is_not_held_to_the_day_of_the_first_send() -> None:
    asked: list[date | None] = []
    calendar = SimpleNamespace(shut=asked.append)
    CalendarRule().judge(at_write(row(State.SENDING), calendar=calendar))
    CalendarRule().judge(at_write(row(State.SENDING, repeats=1), calendar=calendar))
    assert asked == [date(2026, 11, 18), None]
