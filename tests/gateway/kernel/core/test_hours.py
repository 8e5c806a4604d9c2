"""Opening hours and business dates of banks, in their own zone."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest

from gateway.kernel.core.hours import bank_date, next_open_ms, stayed_since_ms
from protocols.canon.limits import Hours

CN = ZoneInfo("Asia/Shanghai")
WEEK = Hours(time(9), time(17), cut_off=time(16, 30), weekdays=(0, 1, 2, 3, 4))
NIGHT = Hours(time(20), time(6), weekdays=tuple(range(7)))


def at(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=CN).timestamp() * 1000)  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("hours", "now", "opens"),
    [
        (Hours(), at(2026, 11, 22, 3), at(2026, 11, 22, 3)),
        (WEEK, at(2026, 11, 24, 8, 59, 59), at(2026, 11, 24, 9)),
        (WEEK, at(2026, 11, 24, 9), at(2026, 11, 24, 9)),
        (WEEK, at(2026, 11, 24, 16, 59), at(2026, 11, 24, 16, 59)),
        (WEEK, at(2026, 11, 24, 17), at(2026, 11, 25, 9)),
        (WEEK, at(2026, 11, 27, 17), at(2026, 11, 30, 9)),
        (NIGHT, at(2026, 11, 24, 12), at(2026, 11, 24, 20)),
        (NIGHT, at(2026, 11, 24, 21), at(2026, 11, 24, 21)),
    ],
)
def test_the_bank_opens_next(hours: Hours, now: int, opens: int) -> None:
    assert next_open_ms(hours, now) == opens


def test_an_overnight_bank_is_still_open_after_midnight() -> None:
    assert next_open_ms(NIGHT, at(2026, 11, 24, 3)) == at(2026, 11, 24, 3)


@pytest.mark.parametrize(
    ("now", "day"),
    [
        (at(2026, 11, 24, 10), date(2026, 11, 24)),
        (at(2026, 11, 24, 16, 30), date(2026, 11, 25)),
        (at(2026, 11, 27, 16, 31), date(2026, 11, 30)),
        (at(2026, 11, 28, 10), date(2026, 11, 30)),
        (at(2028, 2, 28, 17), date(2028, 2, 29)),
    ],
)
def test_the_bank_date_of_an_order_sent_now(now: int, day: date) -> None:
    assert bank_date(WEEK, now) == day


def test_a_zone_ahead_of_ours_has_another_date() -> None:
    utc_evening = int(datetime(2026, 11, 24, 17, tzinfo=ZoneInfo("UTC")).timestamp() * 1000)
    assert bank_date(Hours(), utc_evening) == date(2026, 11, 25)


@pytest.mark.parametrize(
    ("now", "days", "holidays", "since"),
    [
        (at(2026, 11, 26, 9), 3, (), at(2026, 11, 23)),  # a Thursday: Monday to Wednesday are whole
        (at(2026, 11, 24, 23, 59), 3, (), at(2026, 11, 19)),  # a Tuesday: the weekend does not count
        (at(2026, 11, 29, 12), 1, (), at(2026, 11, 27)),  # a Sunday
        (at(2026, 11, 26, 9), 3, (date(2026, 11, 24), date(2026, 11, 22)), at(2026, 11, 20)),
        (at(2026, 11, 26, 9), 0, (), at(2026, 11, 26)),
    ],
)
def test_business_days_that_have_passed(now: int, days: int, holidays: tuple[date, ...], since: int) -> None:
    assert stayed_since_ms(Hours(), now, days, holidays) == since
