"""Calendars of business days: China's from its package, an overlay, and a year that the package does not have."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time
from pathlib import Path

import pytest

from gateway.kernel.core.calendars import MissingYear
from gateway.kernel.core.hours import bank_date, next_open_ms, stayed_since_ms
from gateway.register import calendars
from gateway.register.calendars import BadCalendar
from protocols.canon.limits import Hours

WORKED_SUNDAY, HOLIDAY, MONDAY = date(2026, 1, 4), date(2026, 1, 2), date(2026, 1, 5)


def at(day: date, hour: int = 10) -> int:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    return int(datetime.combine(day, time(hour), ZoneInfo("Asia/Shanghai")).timestamp() * 1000)


def test_china_has_its_holidays_and_its_worked_weekends() -> None:
    china = calendars.load(None)["cn"]
    assert [china.is_open(one) for one in (HOLIDAY, WORKED_SUNDAY, MONDAY, date(2026, 10, 10))] == [
        False,
        True,
        True,
        True,
    ]
    assert not any(china.is_open(date(2026, 2, day)) for day in range(15, 24)), "the nine days of Spring Festival"
    assert china.following(date(2026, 10, 1)) == date(2026, 10, 8)
    assert china.preceding(date(2026, 10, 7)) == date(2026, 9, 30), "a payroll goes before the holidays"


def test_a_year_that_is_missing_is_said_and_an_overlay_brings_it(tmp_path: Path) -> None:
    later = max(calendars.load(None)["cn"].years) + 1
    with pytest.raises(MissingYear, match=f"calendar cn has no year {later}"):
        calendars.load(None)["cn"].is_open(date(later, 3, 1))
    file = tmp_path / "days.toml"
    file.write_text(
        f"[cn]\nyears = [{later}]\nclosed = [{later}-01-01]\nworked = [{later}-01-02]\n"
        "[target]\nyears = [2026]\nclosed = [2026-12-25]\n"
    )
    known = calendars.load(file, closed=(MONDAY,))
    assert [known["cn"].is_open(date(later, 1, day)) for day in (1, 2)] == [False, True]
    assert not known["target"].is_open(date(2026, 12, 25)) and known["target"].is_open(date(2026, 10, 1))
    assert not known["cn"].is_open(MONDAY), "a day of the setting `holidays` is closed everywhere"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cn = 3", "one table a calendar"),
        ("[cn", "is not TOML"),
        ("[cn]\nclosed = [1]", "dates"),
        ("[x]\nclosed = [2031-01-01]", "does not list 2031"),
        ("[cn]\ncolour = 'red'", "nothing else"),
        ("[x]\nyears = [2026]\nclosed = [2026-01-01]\nworked = [2026-01-01]", "in closed and in worked"),
        ("[x]\nyears = 2026", "is a list"),
    ],
)
def test_a_file_that_is_none_says_why(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "days.toml"
    file.write_text(text)
    with pytest.raises(BadCalendar, match=why):
        calendars.load(file)


def test_the_money_path_follows_the_calendar() -> None:
    china = calendars.load(None)["cn"]
    week = Hours(time(9), time(17), cut_off=time(16), weekdays=(0, 1, 2, 3, 4))
    dated = replace(week, closed=china.closed, worked=china.worked)
    assert bank_date(week, at(HOLIDAY)) == HOLIDAY and bank_date(dated, at(HOLIDAY)) == WORKED_SUNDAY
    assert next_open_ms(dated, at(HOLIDAY)) == at(WORKED_SUNDAY, 9)
    assert bank_date(dated, at(date(2026, 9, 30), 17)) == date(2026, 10, 8), "after the cut-off before the holidays"
    assert stayed_since_ms(week, at(MONDAY), 1, (HOLIDAY, date(2026, 1, 1)), china.worked) == at(WORKED_SUNDAY, 0)
