"""The stages of a message on its way to the bank: prepared, being committed, recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from datetime import date
from typing import Any

from twisted.internet.defer import Deferred

from gateway.bank.connection import BankConnection
from gateway.bank.gates.approved_bytes import NOT_APPROVED, ApprovedBytes
from gateway.bank.outgoing import Outgoing
from gateway.kernel.commit.hand_over import Applied
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.send_leave import SendLeave
from protocols.bank import MoneyStep, Submit
from protocols.canon.fast_init import fast_init


@dataclass(slots=True)
class PreparedSend:
    """A message whose bytes are made and not recorded yet. `approved` has the lines that its commit found approved.
    `again_ms` is when to try again if it stayed unsent. `halts`: the permit log has a send that the journal lacks.
    """

    message: Outgoing
    conversation: Generator[MoneyStep, bytes, Any]
    submit: Submit
    line: BankConnection
    bank_date: str
    approved: ApprovedBytes | None = None
    again_ms: int = 0
    halts: bool = False


@fast_init
@dataclass(frozen=True, slots=True)
class CommittingSend:
    """A message whose commit was requested at `committed_s`. `committing` fires with its orders; with None if an order
    has changed."""

    ready: PreparedSend
    committed_s: float
    committing: Deferred[tuple[Applied, ...] | None]


@fast_init
@dataclass(frozen=True, slots=True)
class RecordedSend:
    """Bytes whose send was recorded, and the handling of their answer. `committed_s` is a time before the commit.

    `rows` are the message's orders as the commit left them.
    """

    message: Outgoing
    rows: tuple[PaymentRow, ...]
    leaves: tuple[SendLeave, ...]
    wire: bytes
    line: BankConnection
    committed_s: float
    bank_date: date
    read: Callable[[bytes], Awaitable[Any]]
    close: Callable[[], None]
    approved: ApprovedBytes = NOT_APPROVED

    @property
    def epoch(self) -> int:
        """The lane's epoch under which the send was committed."""
        return self.rows[0].epoch

    @property
    def kind(self) -> str:
        """The kind of the message's orders, as metrics name it."""
        return str(self.rows[0].order.kind)
