"""The rules that hold for an open payment once the settings have changed: of each limit, the stricter one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.core import guards
from gateway.kernel.core.states import Life, Policy, Rules, stricter
from protocols.canon.outcome import State

T = 1_000_000_000_000
WIDE = Rules(Policy.REPLAY_SAFE, quarantine_ms=60_000, not_found_needed=1, most_repeats=5)
RULES = st.builds(
    Rules,
    replay=st.sampled_from(Policy),
    quarantine_ms=st.integers(0, 9),
    not_found_needed=st.integers(1, 3),
    window_ms=st.none() | st.integers(0, 99),
    deadline_ms=st.integers(1, 9),
    returns_watch_ms=st.integers(1, 9),
    returns_every_ms=st.integers(1, 9),
    first_enquiry_ms=st.integers(1, 9),
    same_day=st.booleans(),
    most_repeats=st.integers(0, 3),
)


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ({"replay": Policy.NEVER}, {"replay": Policy.QUERY_FIRST}),
        ({"replay": Policy.NEVER}, {"replay": Policy.REPLAY_SAFE}),
        ({"replay": Policy.QUERY_FIRST}, {"replay": Policy.REPLAY_SAFE}),
        ({"quarantine_ms": 60_001}, {"quarantine_ms": 60_000}),
        ({"not_found_needed": 2}, {"not_found_needed": 1}),
        ({"window_ms": 1}, {"window_ms": None}),
        ({"window_ms": 1}, {"window_ms": 2}),
        ({"same_day": True}, {"same_day": False}),
        ({"most_repeats": 0}, {"most_repeats": 5}),
    ],
)
def test_the_stricter_limit_holds_whichever_side_has_it(narrow: dict[str, object], wide: dict[str, object]) -> None:
    one, other = replace(WIDE, **narrow), replace(WIDE, **wide)  # type: ignore[arg-type]
    assert stricter(one, other) == stricter(other, one) == one


def test_deadlines_returns_and_pace_stay_as_stored() -> None:
    now = replace(WIDE, deadline_ms=1, returns_watch_ms=2, returns_every_ms=3, first_enquiry_ms=4)
    assert stricter(WIDE, now) == WIDE and stricter(now, WIDE) == now


@given(
    stored=RULES, current=RULES, repeats=st.integers(0, 4), after_ms=st.integers(0, 99), day_ends_ms=st.integers(0, 99)
)
def test_it_allows_no_repeat_that_either_of_the_two_forbids(
    stored: Rules, current: Rules, repeats: int, after_ms: int, day_ends_ms: int
) -> None:
    def allowed(rules: Rules) -> bool:
        life = Life(State.SENDING, rules, repeats=repeats, first_write_ms=T, last_write_ms=T)
        return guards.may_leave_again(life, T + after_ms, T + day_ends_ms)

    both = stricter(stored, current)
    assert not allowed(both) or (allowed(stored) and allowed(current))
    assert stricter(both, current) == both and stricter(both, stored) == both


@pytest.mark.parametrize(
    ("rules", "repeats"), [(replace(WIDE, replay=Policy.NEVER), 1), (replace(WIDE, most_repeats=1), 2)]
)
def test_a_repeat_that_is_written_down_does_not_leave_where_it_is_one_too_many(rules: Rules, repeats: int) -> None:
    life = Life(State.SENDING, WIDE, repeats=repeats, first_write_ms=T, last_write_ms=T)
    assert guards.may_leave_again(life, T + 1, None)
    assert not guards.may_leave_again(replace(life, rules=stricter(WIDE, rules)), T + 1, None)
