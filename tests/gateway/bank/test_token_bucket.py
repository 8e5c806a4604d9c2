"""The token bucket: how fast a bank may be asked."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bank.token_bucket import TokenBucket


def test_a_burst_goes_at_once_and_the_next_waits_its_turn() -> None:
    pace = TokenBucket(10.0, 3, 0.0)
    assert [pace.wait_s(0.0) for _ in range(3)] == [0.0] * 3
    assert pace.wait_s(0.0) == pytest.approx(0.1)
    assert pace.wait_s(0.05) == pytest.approx(0.05), "waiting takes no token"
    assert pace.wait_s(0.1001) == 0.0


def test_rest_means_no_token_for_so_long_however_many_were_saved() -> None:
    pace = TokenBucket(10.0, 5, 0.0)
    pace.rest(1.0)
    assert pace.wait_s(0.0) == pytest.approx(1.0)
    assert pace.wait_s(0.99) > 0
    assert pace.wait_s(1.001) == 0.0


def test_an_idle_hour_saves_no_more_than_the_burst() -> None:
    pace = TokenBucket(10.0, 3, 0.0)
    assert [pace.wait_s(3600.0) == 0.0 for _ in range(5)] == [True, True, True, False, False]


def test_a_clock_that_stands_still_or_goes_back_gives_nothing() -> None:
    pace = TokenBucket(10.0, 1, 100.0)
    assert pace.wait_s(100.0) == 0.0
    assert pace.wait_s(50.0) > 0 and pace.wait_s(50.0) > 0


@given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 2), min_size=1, max_size=200))
def test_in_any_stretch_of_time_no_more_leaves_than_burst_and_rate_allow(
    per_second: float, burst: int, gaps: list[float]
) -> None:
    pace, now_s, left = TokenBucket(per_second, burst, 0.0), 0.0, []
    for gap in gaps:
        now_s += gap
        if pace.wait_s(now_s) == 0.0:
            left.append(now_s)
    for start in range(len(left)):
        for end in range(start, len(left)):
            allowed = burst + (left[end] - left[start]) * per_second
            assert end - start + 1 <= allowed + 1e-6
    assert all(earlier <= later for earlier, later in pairwise(left))


def test_looking_takes_no_token() -> None:
    pace = TokenBucket(10.0, 2, 0.0)
    assert [pace.until_s(0.0) for _ in range(5)] == [0.0] * 5
    assert pace.wait_s(0.0) == pace.wait_s(0.0) == 0.0
    assert pace.until_s(0.0) == pace.until_s(0.0) > 0
