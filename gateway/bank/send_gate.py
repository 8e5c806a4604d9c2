"""The last gate: the one place that decides, in the reactor turn of the write, whether money bytes may leave.

It tests the permit (the lease and its epoch), what was learnt since the commit, pauses (an emergency stop is one),
that the bytes say what approvers signed, the order's validity, the bank's rules for repeats and the bank's hours.
Nothing else in the product tests the permit before a write; tests/house_gate.py counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from gateway import log
from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.connection import NO_PERMIT
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import Lease
from gateway.core import guards
from gateway.journal.cluster import lane_pauses
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.send_leave import SendLeave
from gateway.people.approval_digest import ApprovalLine
from protocols import readback
from protocols.canon.money import Money

_log = log.get("bank.send_gate")


@dataclass(frozen=True, slots=True)
class ApprovedBytes:
    """Outgoing bytes, and what approvers signed of each order in them; no lines: they needed no approval."""

    wire: bytes = b""
    lines: tuple[ApprovalLine, ...] = ()


NOT_APPROVED = ApprovedBytes()


def not_as_approved(protocol: str, rows: Sequence[PaymentRow], approved: ApprovedBytes) -> str:
    """What of the bytes is not what approvers signed, as an independent reader finds; "" if all is.

    Bytes of a bank that is not read back pass; `bankgw banks` names it.
    """
    if not approved.lines or not readback.reads(protocol, rows[0].order.kind):
        return ""
    return readback.differs(protocol, approved.wire, [
        readback.wanted(one.debtor_account, one.payee_account, str(Money(one.amount_minor, one.currency)))
        for one in approved.lines
    ])  # fmt: skip


def log_not_as_approved(lane: str, rows: Sequence[PaymentRow], why: str, action: str) -> None:
    """Say that bytes are not what approvers signed: a defect, or an attack."""
    _log.error("bytes.not_as_approved", lane=lane, payment=rows[0].payment, error=why, action=action)


class SendGate:
    """The gate of one lane, with its reasons to pause. `on_resumed` is called when a reason is taken away."""

    def __init__(self, parts: LaneParts, lease: Lease, calendar: BankCalendar, on_resumed: Callable[[], None]) -> None:
        self.halted: str | None = None
        self._parts = parts
        self._lease = lease
        self._calendar = calendar
        self._on_resumed = on_resumed
        self._paused: tuple[str, ...] = ()
        self._said = lane_pauses.PauseState()

    # ---- the gate ----

    def permitted(self) -> bool:
        """Whether this node may speak to the bank now: its lease holds, and the lane is not halted."""
        return self.halted is None and self._lease.holds

    def permits(self, epoch: int, committed_s: float) -> bool:
        """The permit: whether what was committed under `epoch`, not before `committed_s`, may be written now."""
        return self.halted is None and self._lease.permits(epoch, committed_s)

    def refusal(
        self, rows: Sequence[PaymentRow], leaves: Sequence[SendLeave], committed_s: float, bank_date: date,
        approved: ApprovedBytes = NOT_APPROVED,
    ) -> str | None:  # fmt: skip
        """Why these orders' bytes, which name `bank_date`, may not leave now; None if they may.

        Call it in the reactor turn of the write. `rows` are the orders as the commit left them, `leaves` their leaves
        to be sent; `committed_s` is a monotonic time from before that commit. `approved` are the bytes and what
        approvers signed of them, for orders that needed it.
        """
        if not self.permits(rows[0].epoch, committed_s):
            return NO_PERMIT
        if any(leave.revoked for leave in leaves):
            return "overtaken"
        if self.paused:
            # Given while this was prepared or committed: whoever paused the lane was told that nothing is sent.
            return "paused"
        why = not_as_approved(self._parts.bank.profile.name, rows, approved) if approved.lines else ""
        if why:
            log_not_as_approved(self._parts.name, rows, why, "nothing was sent; held when it is tried again")
            return "not_as_approved"
        now_ms = self._parts.clock.now_ms()
        if any(row.life.valid_until_ms is not None and now_ms >= row.life.valid_until_ms for row in rows):
            return "expired"
        repeats = [row for row in rows if row.life.repeats]
        if repeats:
            day_ends_ms = self._calendar.day_ends_ms(bank_date)
            for row in repeats:
                life = replace(row.life, rules=self._parts.rules_of(row))
                if not guards.may_leave_again(life, now_ms, day_ends_ms):
                    return "window_closed"
        return self._calendar.shut(None if repeats else bank_date)

    # ---- pauses ----

    @property
    def paused(self) -> tuple[str, ...]:
        """Why nothing is sent; empty while sending is allowed. Enquiries go on all the same."""
        return self._paused

    def pause(self, reason: str) -> None:
        """Send nothing until `resume` with the same reason: an operator, a blocked broker, an emergency stop."""
        self._paused = tuple(sorted({*self._paused, reason}))
        _log.warning("lane.paused", lane=self._parts.name, reason=reason)

    def resume(self, reason: str) -> None:
        """Take one reason away. Sending goes on when none is left."""
        if reason in self._paused:
            self._paused = tuple(one for one in self._paused if one != reason)
            _log.info("lane.resumed", lane=self._parts.name, reason=reason)
            self._on_resumed()

    def apply_pause(self, said: lane_pauses.PauseState) -> None:
        """Follow an operator's pause or resume as the journal has it. An older one than the last changes nothing."""
        if said.number < self._said.number:
            return
        self._said = said
        if not said.paused:
            self.resume(lane_pauses.OPERATOR)
        elif lane_pauses.OPERATOR not in self._paused:
            self.pause(lane_pauses.OPERATOR)
