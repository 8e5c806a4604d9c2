"""A bank's opening hours and business dates, in its own zone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from protocols.canon.limits import Hours

_LOOK_AHEAD_DAYS = 15
_SATURDAY = 5


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(hours: Hours, at_ms: int) -> datetime:
    """The moment in the bank's local time."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(hours.zone))


def bank_date(hours: Hours, at_ms: int) -> date:
    """The business date of an order sent now. After the cut-off, and on a closed day, it is the next open day."""
    return bank_date_of(hours, local(hours, at_ms))


def bank_date_of(hours: Hours, now: datetime) -> date:
    """As `bank_date`, for a moment in the bank's local time."""
    day = now.date()
    if hours.cut_off is not None and now.time() >= hours.cut_off:
        day += timedelta(days=1)
    for _ in range(_LOOK_AHEAD_DAYS):
        if hours.is_open_on(day):
            return day
        day += timedelta(days=1)
    raise AssertionError("a bank that is open on no weekday")


def stayed_since_ms(
    hours: Hours, at_ms: int, days: int, holidays: Collection[date], worked: Collection[date] = ()
) -> int:
    """The start of the period of `days` whole business days that ends before today: weekdays that are not `holidays`,
    and days `worked` on a weekend.

    Today, the day of `at_ms` in the bank's zone, is not over and does not count.
    """
    day = local(hours, at_ms).date()
    while days > 0:
        day -= timedelta(days=1)
        if day in worked or (day.weekday() < _SATURDAY and day not in holidays):
            days -= 1
    return int(datetime.combine(day, time(0, 0), _zone(hours.zone)).timestamp() * 1000)


def day_ends_ms(hours: Hours, day: date) -> int:
    """The moment from which an order no longer belongs to the business date `day`: its cut-off, or midnight."""
    if hours.cut_off is not None:
        ends = datetime.combine(day, hours.cut_off, _zone(hours.zone))
    else:
        ends = datetime.combine(day + timedelta(days=1), time(0, 0), _zone(hours.zone))
    return int(ends.timestamp() * 1000)


def next_open_ms(hours: Hours, at_ms: int) -> int:
    """When the bank takes money orders: `at_ms` itself if it does so then, else its next opening."""
    if hours.opens == hours.closes and len(hours.weekdays) == 7 and not hours.closed:
        return at_ms
    now = local(hours, at_ms)
    # Begin with yesterday: a bank that opened in the evening may still be open after midnight.
    for ahead in range(-1, _LOOK_AHEAD_DAYS):
        day = now.date() + timedelta(days=ahead)
        if not hours.is_open_on(day):
            continue
        opens, closes = _span(hours, day)
        if now < opens:
            return int(opens.timestamp() * 1000)
        if now < closes:
            return at_ms
    raise AssertionError("a bank that is open on no weekday")


def _span(hours: Hours, day: date) -> tuple[datetime, datetime]:
    zone = _zone(hours.zone)
    opens = datetime.combine(day, hours.opens, zone)
    if hours.opens == hours.closes:
        return opens, datetime.combine(day + timedelta(days=1), time(0, 0), zone)
    overnight = hours.closes < hours.opens
    return opens, datetime.combine(day + timedelta(days=1 if overnight else 0), hours.closes, zone)
