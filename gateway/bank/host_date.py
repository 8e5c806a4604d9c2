"""The date of a bank's host, learnt by one lane from the bank's answers.

A test front end's date may be weeks away from the calendar. The lane keeps the difference in days. Questions about the
accounts are asked by the host's date, and the entries of payments are judged by it. Repeats, quarantines and cut-offs
go by this node's clock alone (docs/adr/0045-the-date-of-the-host.md).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

from gateway.bank.lane_parts import LaneParts
from gateway.kernel import log
from gateway.kernel.core.hours import local
from protocols.canon.host_days import HostDays
from protocols.canon.statement import Balance, Page
from protocols.kit.errors import ProtocolError

TURN_DAYS = 1
"""A difference that is the turn of the day: the host's day may begin before midnight, or some time after it."""
_DAY_S = 86_400
_log = log.get("bank.host_date")


class HostDate:
    """Learns the date of one lane's host, and gives it to everything that asks about accounts or judges their entries.

    The date is kept in memory, because the first list of today after a restart states it again.
    """

    def __init__(self, parts: LaneParts) -> None:
        self._parts = parts
        bound = parts.bank.profile.host_date_days
        self._days = HostDays(least=-bound, most=bound, bound=bound)
        self._stated_days: int | None = None

    @property
    def days(self) -> HostDays:
        """The host's date beside the calendar, as it is known now."""
        return self._days

    @property
    def stated_days(self) -> int | None:
        """The days by which the last stated date was ahead of the calendar; None if no answer stated one."""
        return self._stated_days

    @property
    def is_refused(self) -> bool:
        """True if the last stated date was farther from the calendar than the settings allow."""
        return self._stated_days is not None and abs(self._stated_days) > self._days.bound

    @property
    def differs(self) -> bool:
        """True if the last stated date was another one than the calendar's, beyond the turn of the day."""
        return self._stated_days is not None and abs(self._stated_days) > TURN_DAYS

    def is_settled(self) -> bool:
        """False while the days of this bank's accounts are not known: it states a date, the date may be far from the
        calendar, and no answer has stated it yet."""
        return self._days.is_learnt or self._days.bound <= TURN_DAYS or not self._parts.bank.profile.host_date

    def today(self, at_ms: int) -> date:
        """The host's date at this moment of this node's clock."""
        return self._calendar(at_ms) + timedelta(days=self._days.ahead)

    def hear(self, answer: object) -> None:
        """Learn the date that an answer states, if it states one. Raises ProtocolError for a list of entries under a
        date that is too far from the calendar: it may be another list than the one that was asked for."""
        stated = answer.host_date if isinstance(answer, (Page, Balance)) else None
        if stated is None:
            return
        before, now = self._stated_days, (stated - self._calendar(self._parts.clock.now_ms())).days
        self._stated_days = now
        self._parts.meters.bank_date_ahead.labels(self._parts.bank_name, self._parts.name).set(now * _DAY_S)
        if self.is_refused:
            if before != now:
                self._log_refused(stated)
            if isinstance(answer, Page):
                raise ProtocolError("correlation", f"the list is of {stated}, {now:+d} days from the calendar")
            return
        known, ahead = self._days, now if self.differs else 0
        least, most = (min(known.least, now), max(known.most, now)) if known.is_learnt else (now, now)
        self._days = replace(known, ahead=ahead, least=least, most=most, is_learnt=True)
        if ahead != known.ahead:
            _log.info(
                "lane.host_date", bank=self._parts.bank_name, lane=self._parts.name, date=stated.isoformat(), ahead=now
            )

    def _calendar(self, at_ms: int) -> date:
        return local(self._parts.bank.profile.limits.hours, at_ms).date()

    def _log_refused(self, stated: date) -> None:
        _log.warning(
            "lane.host_date_refused",
            bank=self._parts.bank_name,
            lane=self._parts.name,
            date=stated.isoformat(),
            ahead=self._stated_days,
            most=self._days.bound,
            action=(
                "lists of today's entries are not taken; compare this machine's date with the bank's, and ask the bank "
                "whether its date is right; host_date_days of the bank's settings allows it"
            ),
        )
