"""The interface of a simulated bank, and that of the books in which it keeps its payments.

A twin is a bank's own side, written from the bank's public page and never from the adapter's code, so that the two can
disagree. It is as pure as an adapter: requests in, answers out. The simulator (`gateway.simbank`) has sockets, delays
and faults.
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
from protocols.judge import RequestFinding


class Booked(StrEnum):
    """The state of an instruction in the bank's own books. The gateway has to find it out."""

    TAKEN = "taken"
    SETTLED = "settled"
    REFUSED = "refused"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Instruction:
    """A payment request as the twin read it. `reference` is the client's key (流水号/凭证号).

    `bundle` is the reference of the message in which it came with others. `collects`: money comes in (代扣), from
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
    """A line of an account's history in the books, oldest first; `number` is unique within the account."""

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
    """The ledger of a twin. The books plan which instructions are refused, and which settle late."""

    def now(self) -> datetime:
        """The bank's own time, with a zone. A test may have set it to another business date."""

    def machine_now(self) -> datetime:
        """The time of the machine, with a zone: time stamps of messages are judged by it, on any business date."""

    def book_once(self, instruction: Instruction) -> Booking:
        """Book the instruction, at most once per reference. Raises Duplicate."""

    def take_bundle(self, reference: str, instructions: Sequence[Instruction]) -> tuple[Booking, ...]:
        """Book all instructions in one step, or none if `reference` is known already: raises DuplicateBundle.

        Each instruction has its own fate; one whose own reference is known already is refused ("duplicate").
        """

    def bundle(self, reference: str) -> tuple[Booking, ...]:
        """The bookings of a bundle as an enquiry would see them now, in their order; empty if there is none."""

    def find(self, reference: str) -> Booking | None:
        """The booking as an enquiry would see it now; None also while the plan hides it (as "not found")."""

    def returns(self, account: str, first: date, last: date) -> tuple[Booking, ...]:
        """Bookings of this debtor that came back between two bank dates."""

    def holding(self, account: str, on: date | None = None) -> Holding | None:
        """The account now, or at the end of the bank date `on`; None if the bank does not know it."""

    def holder_of(self, account: str) -> str | None:
        """The name of the account's holder; None if the bank does not know the account. It is only used to judge a
        request. It is no question of the client, and planned faults do not affect it."""

    def earlier(self, reference: str) -> Booking | None:
        """The booking under this reference, also one that an enquiry does not see yet. Judging a request asks this, as
        `holder_of`: an enquiry uses `find`."""

    def has_bundle(self, reference: str) -> bool:
        """True if a bundle has this reference, also one that an enquiry does not see yet; asked as `earlier`."""

    def entries(self, account: str, first: date, last: date) -> tuple[Entry, ...]:
        """The account's entries between two bank dates, oldest first."""

    def serial(self) -> int:
        """A number that the bank has never given out before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Framed bytes to write back, and whether the bank then closes the connection.

    `operation` is the client's operation, `code` and `reason` those of the answer, `findings` every rule that the
    request broke; a joint test shows them to the client's people. A refusal is not a finding by itself, because a bank
    also refuses requests that are well formed (an order without cover).
    """

    data: bytes
    close: bool = False
    operation: str = ""
    code: str = ""
    reason: str = ""
    findings: tuple[RequestFinding, ...] = ()


class Twin(Protocol):
    """The simulated side of a bank."""

    ports: tuple[str, ...]

    def requests(self, port: str) -> Cutter:
        """A fresh cutter for the requests of one connection to `port`."""

    def answer(self, port: str, request: bytes, books: Books, session: MutableMapping[str, str]) -> Answer:
        """Answer one whole framed request. `session` lives as long as the connection."""


class BuildTwin(Protocol):
    """The type of `protocols.banks.<name>.twin.build(options, keys)`.

    `keys` maps key names to PEM bytes: the bank's private signing key as `bank`, the client's public certificate as
    `client`, and further keys that the bank's page requires. `options["cheap"]` asks for the benchmark mode: no
    verification of requests and the cheapest honest answer.
    """

    def __call__(self, options: Mapping[str, Any], keys: Mapping[str, bytes]) -> Twin:
        """Build the twin."""
