"""A change of the table's decisions must be deliberate: see decisions.py."""

from __future__ import annotations

from dataclasses import replace
from difflib import unified_diff

import pytest

from gateway.kernel.core import flow
from gateway.kernel.core.states import Event, Life, Policy, Rules
from protocols.canon.outcome import State
from tests.docs import states_page
from tests.gateway.kernel.core.decisions import FILE, decided, lines

MINUTE_MS = 60_000


def test_the_table_decides_as_it_always_did() -> None:
    kept = FILE.read_text("utf-8").splitlines()
    changed = list(unified_diff(kept, decided(), "decisions.txt", "the table today", lineterm="", n=0))
    assert changed == [], "\n".join(
        ["if that was meant: python -m tests.gateway.kernel.core.decisions --write", *changed[:40]]
    )


def test_every_row_decides_something_here() -> None:
    rows = {line.split(" | ")[0].strip() for line in decided() if " | " in line}
    assert {rule.name for rule in flow.TABLE} <= rows


def test_one_life_that_is_decided_otherwise_is_one_line_that_differs() -> None:
    def careless(life: Life, event: Event) -> flow.Step:
        made = flow.step(life, event)
        # As if a repeat were allowed one millisecond after the bank's window.
        if made.rule == "replay_refused" and life.first_write_ms == 10_000_000 - 900_001:
            return replace(made, rule="replay", effects=())
        return made

    differing = set(lines(careless)) ^ set(decided())
    assert differing and all("replay" in line for line in differing)


def test_a_payment_in_doubt_is_asked_about_every_ten_minutes_after_the_plan_as_the_page_of_states_says() -> None:
    """The pace `STEADY_MS` is a promise to banks, whose engineers read it on the page of states."""
    asked = Life(State.IN_DOUBT, Rules(Policy.NEVER, deadline_ms=1), asked=len(flow.ENQUIRY_PLAN_MS))
    assert flow.enquiry_gap_ms(asked, day_over=False) == 10 * MINUTE_MS
    assert "then every 10 min until the bank's day of the send ends" in states_page.page()


@pytest.mark.parametrize("column", ["row | becomes | what follows | what changes | lives | events"])
def test_each_state_has_a_part_with_columns(column: str) -> None:
    assert [state.value for state in State if f"{state.value}: {column}" not in decided()] == []
