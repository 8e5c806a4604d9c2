"""What a simulated bank is, and what it may ask of its books.

A twin is a bank's own side, written from the bank's public page and never from the adapter's code, so that the two
can disagree. It is as pure as an adapter: requests in, answers out; sockets, delays and mischief are the
simulator's (`gateway.simbank`).
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol

from protocols.bank import Cutter
from protocols.canon.money import Money
from protocols.canon.statement import Direction


class Booked(StrEnum):
    """Where an instruction stands in the bank's own books: the truth the gateway has to find out."""

    TAKEN = "taken"
    SETTLED = "settled"
    REFUSED = "refused"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Instruction:
    """What a twin understood of a payment request. `reference` is the client's key (流水号/凭证号).

    `bundle` is the reference of the message it came in with others. `collects`: money comes in (代扣), from
    `creditor_account`, the other party, to `debtor_account`, the client's own.
    """

    reference: str
    debtor_account: str
    creditor_account: str
    creditor_name: str
    amount: Money
    purpose: str
    urgent: bool = False
    bundle: str = ""
    collects: bool = False


@dataclass(frozen=True, slots=True)
class Booking:
    """An instruction in the books. `bank_serial` is the bank's own number; `reason` is set when refused or returned."""

    instruction: Instruction
    booked: Booked
    bank_serial: str
    at: datetime
    bank_date: date
    fee: Money | None = None
    reason: str = ""
    returned_on: date | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of an account's history as the books hold it, oldest first, `number` unique within the account."""

    number: int
    direction: Direction
    amount: Money
    at: datetime
    bank_date: date
    counterparty_account: str
    counterparty_name: str
    text: str
    balance_after: Money
    reference: str
    fee: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """An account's state in the books."""

    number: str
    holder: str
    currency: str
    book: Money
    frozen: Money
    previous_day: Money


class DuplicateBundle(Exception):
    """The bundle's reference is in the books already; nothing was booked again."""


class Duplicate(Exception):
    """The reference is in the books already; `booking` is the first one. Nothing was booked again."""

    def __init__(self, booking: Booking) -> None:
        super().__init__(booking.instruction.reference)
        self.booking = booking


class Books(Protocol):
    """The ledger a twin works on. Whether an instruction is refused, or settles late, is the books' plan."""

    def now(self) -> datetime:
        """The bank's own time, with a zone."""

    def take(self, instruction: Instruction) -> Booking:
        """Book it, at most once per reference. Raises Duplicate."""

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        """Book all of them in one step, or, when `reference` is known already, none: raises DuplicateBundle.

        Each instruction has its own fate; one whose own reference is known already is refused ("duplicate").
        """

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        """The bookings of a bundle as an enquiry would see them now, in their order; empty if there is none."""

    def find(self, reference: str) -> Booking | None:
        """The booking as an enquiry would see it now; None also while the plan hides it ("not found" for a while)."""

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        """Bookings of this debtor that came back between two bank dates."""

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        """The account now, or as the bank date `on` ended; None if the bank does not know it."""

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        """The account's entries between two bank dates, oldest first."""

    def serial(self) -> int:
        """A number the bank has never given out before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Framed bytes to write back, and whether the bank then closes the connection."""

    data: bytes
    close: bool = False


class Twin(Protocol):
    """A bank's own side."""

    ports: tuple[str, ...]

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for the requests of one connection to `port`."""

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one whole framed request. `session` lives as long as the connection."""


class BuildTwin(Protocol):
    """`protocols.banks.<name>.twin.build(options, keys)`.

    `keys` maps key names to PEM bytes: the bank's private signing key as `bank`, the client's public certificate as
    `client`, whatever else the bank's page needs. `options["cheap"]` asks for the benchmark mode: no verification
    of requests and the cheapest honest answer.
    """

    def __call__(self, options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
        """Return the twin."""
