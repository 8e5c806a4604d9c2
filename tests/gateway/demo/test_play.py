"""How long the demo waits for unfinished orders."""

from __future__ import annotations

import pytest

from gateway.demo.play import compare_at_s


@pytest.mark.parametrize(
    ("published_s", "news_s", "halted", "expected_s"),
    [(40.0, 60.0, False, 130.0), (40.0, 129.0, False, 149.0), (40.0, 5000.0, False, 940.0), (40.0, 60.0, True, 55.0)],
    ids=["quiet", "a slow machine still hears news", "not for ever", "a lane that stopped hears nothing any more"],
)
def test_orders_under_way_get_time_while_there_is_news(
    published_s: float, news_s: float, halted: bool, expected_s: float
) -> None:
    assert compare_at_s(published_s, news_s, halted) == expected_s
