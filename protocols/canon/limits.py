"""The limits of a bank's messages, as data: intake checks an order against them and reports every fault at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta

from protocols.canon.order import Channel, Urgency


@dataclass(frozen=True, slots=True)
class FieldLimit:
    """Limits of one field, named by its JSON pointer in the ERP contract (`/creditor/name`).

    `max_bytes` counts in the bank's charset, `max_chars` counts characters; `pattern` must match the whole value;
    `forbidden` lists characters the bank refuses even escaped. `required_unless` lifts `required` where another
    field's value contains a pattern: pairs of pointer and regular expression, of which one is enough; an absent value
    is the empty text. `/channel` and the parties' `/kind` may be named too. `iban`: what has the form of an IBAN must
    have its check digits.
    """

    at: str
    max_bytes: int | None = None
    max_chars: int | None = None
    pattern: str | None = None
    forbidden: str = ""
    required: bool = False
    required_unless: tuple[tuple[str, str], ...] = ()
    iban: bool = False


@dataclass(frozen=True, slots=True)
class AmountLimit:
    """The least and the largest amount of one order on a rail, in minor units; None means no limit."""

    min_minor: int = 1
    max_minor: int | None = None
    currencies: tuple[str, ...] = ("CNY",)


@dataclass(frozen=True, slots=True)
class Hours:
    """The hours in which a bank takes money orders, in its own zone. `opens == closes` means round the clock.

    `cut_off` is the last moment at which an order still gets today's bank date. Most banks may be asked about payments
    at any hour; a bank with `asked_outside` False only while it takes orders. A bank that is not open on all `weekdays`
    follows a calendar: `closed` are holidays on its weekdays, `worked` are other days on which it is open all the same
    (调休).
    """

    opens: time = time(0, 0)
    closes: time = time(0, 0)
    cut_off: time | None = None
    weekdays: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    zone: str = "Asia/Shanghai"
    asked_outside: bool = True
    closed: frozenset[date] = frozenset()
    worked: frozenset[date] = frozenset()

    def is_open_on(self, day: date) -> bool:
        """Whether the bank takes money orders on that day."""
        return day in self.worked or (day.weekday() in self.weekdays and day not in self.closed)


MONEY, QUESTION = "money", "question"
"""Sorts of requests that `Pace.apart_s` names beside single questions."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The number of requests that the bank tolerates from one user, and the least delay before the first enquiry.

    The number is a token bucket over all requests. An order, a question and a page of entries are one request each. If
    the bank needs several exchanges for one request (a signature, a list before a file), they count as one; for a bank
    that counts them itself, the number is lower.

    `apart_s`: seconds from the beginning of one request to that of the next of its sort. Sorts are `MONEY`, a question
    by its name (`fate`, `balance`, `lines`, `returns`, `receipt`, `directory`), and `QUESTION`, one allowance for all
    questions that have none of their own.
    """

    per_second: float = 10.0
    burst: int = 10
    first_enquiry_after: timedelta = timedelta(seconds=2)
    apart_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ReferenceForm:
    """The form of our payment reference at this bank: its alphabet and its exact length in characters."""

    length: int = 20
    alphabet: str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """All of a bank's limits that intake checks before it accepts an order. `channels` are the rails that the bank has.

    `terms` are the names of the fields of `canon.terms.Terms` that its rail carries.
    """

    charset: str
    channels: frozenset[Channel] = frozenset(Channel)
    urgencies: frozenset[Urgency] = frozenset(Urgency)
    fields: tuple[FieldLimit, ...] = ()
    amount: AmountLimit = AmountLimit()
    hours: Hours = Hours()
    pace: Pace = Pace()
    reference: ReferenceForm = field(default_factory=ReferenceForm)
    terms: frozenset[str] = frozenset()
