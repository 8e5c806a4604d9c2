"""A queue grows if many messages wait and do not become fewer; it is over when they do."""

from __future__ import annotations

import pytest

from gateway.watch.queue_growth import MANY, QueueGrowth

M = MANY


@pytest.mark.parametrize(
    ("depths", "grows"),
    [
        ([0, 10, M - 1], False),
        ([0, M], True),
        ([M, M], True),
        ([M], False),
        ([M + 9, M], False),
        ([0, M + 9, M + 6, M + 3], True),
        ([0, M + 9, M + 6, M + 3, M], False),
        ([0, M + 9, M + 6, M + 3, M, M + 1], True),
        ([0, M, M - 1], False),
    ],
)
def test_growth(depths: list[int], grows: bool) -> None:
    growth = QueueGrowth()
    found = [growth.growing({"q": depth, "other": 0}) for depth in depths]
    assert found[-1] == ({"q": depths[-1]} if grows else {})


def test_a_look_that_is_seen_twice_counts_once_and_a_lost_connection_ends_it() -> None:
    growth, look = QueueGrowth(), {"q": M}
    assert [growth.growing(look) for _ in range(3)] == [{}, {}, {}]
    assert growth.growing({"q": M}) == {"q": M}
    assert growth.growing({}) == {}
