"""When a bank takes money orders, when it may be asked, and which business date applies."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from gateway.kernel.clock import Clock
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.core import hours as opening
from protocols.canon.limits import Hours
from protocols.canon.outcome import State


def turn_of(rows: Iterable[PaymentRow]) -> int:
    """The index of the bank date to ask about: 0 is the stated date; once no repeat is possible, other dates follow.

    "Not found" on another date than that of the bytes proves nothing, so that only escalated payments are asked about
    with other dates.
    """
    return min(row.life.asked if row.life.state is State.ESCALATED else 0 for row in rows)


class BankCalendar:
    """One bank's opening hours and business dates, by this node's wall clock. Moments are milliseconds since 1970."""

    def __init__(self, hours: Hours, clock: Clock) -> None:
        self._hours = hours
        self._clock = clock
        self._day_ends: tuple[date, int] | None = None

    def bank_date(self, at_ms: int) -> date:
        """The business date of an order that is sent at this moment."""
        return opening.bank_date(self._hours, at_ms)

    def local_and_bank_date(self, at_ms: int) -> tuple[datetime, date]:
        """This moment in the bank's own time zone, and the business date of an order that is sent at it."""
        now = opening.local(self._hours, at_ms)
        return now, opening.bank_date_of(self._hours, now)

    def next_open_ms(self, at_ms: int) -> int:
        """When the bank takes money orders: `at_ms` itself if it does so then, else its next opening."""
        return opening.next_open_ms(self._hours, at_ms)

    def next_asked_ms(self, at_ms: int) -> int:
        """When the bank may be asked about a payment: `at_ms` itself if it is open then, else its next opening."""
        return at_ms if self._hours.asked_outside else self.next_open_ms(at_ms)

    def asked_day(self, day: date, turn: int = 0) -> date:
        """The business date to ask about for a message that names `day`.

        A clock that was ahead may have named a date in the future; the bank booked the message on an earlier date. A
        clock that was behind may have named a date in the past: each further `turn` asks about the next date, up to
        today, and then begins again.
        """
        today = self.bank_date(self._clock.now_ms())
        first = min(day, today)
        return first + timedelta(days=turn % ((today - first).days + 1))

    def day_ends_ms(self, day: date) -> int:
        """When the business date `day` ends at the bank."""
        known = self._day_ends
        if known is None or known[0] != day:
            # Each payment of a day asks for the same one.
            self._day_ends = known = (day, opening.day_ends_ms(self._hours, day))
        return known[1]

    def shut(self, day: date | None) -> str | None:
        """Why the bank takes no money order now that names the business date `day`: `bank_closed` or `day_over`; None
        if it takes one.

        With `day` None the date is not checked: a repeat names the date of the first send, and its own rules limit it.
        """
        now_ms = self._clock.now_ms()
        if self.next_open_ms(now_ms) > now_ms:
            return "bank_closed"
        return "day_over" if day is not None and now_ms >= self.day_ends_ms(day) else None
