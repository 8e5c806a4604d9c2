"""Business days: which days banks settle on, with holidays on weekdays and working days on weekends (调休)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

_SATURDAY = 5


class MissingYear(LookupError):
    """The calendar does not cover this year, so its business days are unknown."""

    def __init__(self, calendar: str, year: int) -> None:
        super().__init__(f"calendar {calendar} has no year {year}; add it to the file of `calendar_file`")
        self.calendar = calendar
        self.year = year


@dataclass(frozen=True, slots=True)
class BusinessCalendar:
    """The business days of some years. `closed` are weekdays that are no business days, `worked` are Saturdays and
    Sundays that are. Only `years` are known.
    """

    name: str
    closed: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()
    years: frozenset[int] = frozenset()

    def is_open(self, day: date) -> bool:
        """Whether `day` is a business day. Raises MissingYear."""
        if day.year not in self.years:
            raise MissingYear(self.name, day.year)
        return day in self.worked or (day.weekday() < _SATURDAY and day not in self.closed)

    def following(self, day: date) -> date:
        """`day` if it is a business day, else the next one. Raises MissingYear."""
        while not self.is_open(day):
            day += timedelta(days=1)
        return day

    def preceding(self, day: date) -> date:
        """`day` if it is a business day, else the one before: the rule for payrolls. Raises MissingYear."""
        while not self.is_open(day):
            day -= timedelta(days=1)
        return day

    def amended(
        self, closed: Iterable[date] = (), worked: Iterable[date] = (), years: Iterable[int] = ()
    ) -> BusinessCalendar:
        """This calendar with other days laid over it, which take precedence."""
        closed, worked = frozenset(closed), frozenset(worked)
        return replace(
            self,
            closed=(self.closed - worked) | closed,
            worked=(self.worked - closed) | worked,
            years=self.years | frozenset(years),
        )
