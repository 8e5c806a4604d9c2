"""How the date of a bank's host stands to the calendar, as the bank's answers have stated it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostDays:
    """The days by which the date of a bank's host is ahead of the calendar at the bank; below zero: behind it.

    `ahead` is the last difference that an answer stated. It is 0 if none was stated, and for a difference of one day,
    which is the turn of the day. `least` and `most` are the lowest and the highest one stated so far; if none was
    stated, they are `-bound` and `bound`. `bound` is the largest difference that the settings allow. These values only
    widen questions and judge what a bank states; they decide no repeat, no cut-off and no validity of a key.
    """

    ahead: int = 0
    least: int = 0
    most: int = 0
    bound: int = 0
    is_learnt: bool = False


ON_THE_CALENDAR = HostDays()
"""The host has the date of the calendar, and no other date is allowed."""
