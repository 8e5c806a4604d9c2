"""Builds the calendars of business days: China's from the package `chinesecalendar`, others and later years by file.

The package has the notices of the State Council (国务院办公厅关于部分节假日安排的通知), published each November for the
year after. The file of `calendar_file` is TOML, one table a calendar, and has the last word about its days:

    [cn]
    years = [2027]
    closed = [2027-01-01]
    worked = [2027-02-07]
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from gateway.kernel.core.calendars import BusinessCalendar

CHINA = "cn"
_SATURDAY = 5


class BadCalendar(ValueError):
    """The file is no file of calendars; the message says what is wrong."""


def load(file: Path | None, closed: Iterable[date] = ()) -> dict[str, BusinessCalendar]:
    """Load the calendars by name. `closed` are days that count as closed in each. Raises BadCalendar, and OSError for
    the file."""
    found = {CHINA: china()}
    for name, table in _tables(file).items():
        before = found.get(name, BusinessCalendar(name))
        years, off, on = (_list(name, table, key) for key in ("years", "closed", "worked"))
        days = [*off, *on]
        strange = [one for one in days if type(one) is not date] + [one for one in years if type(one) is not int]
        if strange or set(table) - {"years", "closed", "worked"}:
            raise BadCalendar(f"[{name}] has years (numbers), closed and worked (dates), and nothing else")
        unlisted = sorted({one.year for one in days} - before.years - set(years))
        if unlisted:
            raise BadCalendar(f"[{name}] has days of {unlisted[0]} and does not list {unlisted[0]} in years")
        if both := sorted(set(off) & set(on)):
            raise BadCalendar(f"[{name}] has {both[0]} in closed and in worked")
        found[name] = before.amended(off, on, years)
    return {name: one.amended(closed) for name, one in found.items()}


def china() -> BusinessCalendar:
    """China's business days of every year that the package has in full."""
    from chinese_calendar import constants  # imported only here, because the package builds a large dictionary

    years = range(min(constants.holidays).year, max(constants.holidays).year + 1)
    closed = frozenset(one for one in constants.holidays if one.weekday() < _SATURDAY)
    return BusinessCalendar(CHINA, closed, frozenset(constants.workdays), frozenset(years))


def _tables(file: Path | None) -> Mapping[str, Mapping[str, Any]]:
    if file is None:
        return {}
    try:
        said = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadCalendar(f"is not TOML in UTF-8: {error}") from None
    if not all(isinstance(one, dict) for one in said.values()):
        raise BadCalendar("has one table a calendar, such as [cn]")
    return said


def _list(name: str, table: Mapping[str, Any], key: str) -> list[Any]:
    given = table.get(key, [])
    if not isinstance(given, list):
        raise BadCalendar(f"[{name}] {key} is a list")
    return given
