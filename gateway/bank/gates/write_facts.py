"""The facts that the rules judge in the reactor turn that writes: bytes that a commit has written down. They are in
memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.gates.approved_bytes import ApprovedBytes
from gateway.bank.lane_parts import LaneParts
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.send_leave import SendLeave
from protocols.canon.fast_init import fast_init


@fast_init
@dataclass(frozen=True, slots=True)
class WriteFacts:
    """Orders as their commit left them, their SendLeaves, and the present state of their lane.

    `committed_s` is a monotonic time from before the commit. `bank_date` is the date that the bytes name. `approved`
    are the bytes and the lines that approvers signed. `permits` is the lane's permit; `paused` are the reasons why the
    lane sends nothing.
    """

    parts: LaneParts
    calendar: BankCalendar
    permits: Callable[[int, float], bool]
    paused: tuple[str, ...]
    rows: Sequence[PaymentRow]
    leaves: Sequence[SendLeave]
    committed_s: float
    bank_date: date
    approved: ApprovedBytes

    @property
    def now_ms(self) -> int:
        """The present time by the wall clock."""
        return self.parts.clock.now_ms()

    @property
    def repeats(self) -> list[PaymentRow]:
        """The orders whose bytes were sent before."""
        return [row for row in self.rows if row.life.repeats]
