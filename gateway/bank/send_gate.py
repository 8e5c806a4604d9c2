"""The last gate: the one place that decides, in the reactor turn that writes, whether money bytes may leave.

It asks the rules of the list WRITE (`gates/lists.py`) in their order: news about the payment since the commit, the
stop, SAFE MODE and pauses, the comparison of the bytes with what approvers signed, the order's validity, the bank's
rules for repeats and the bank's hours, and last the permit (the lease and its epoch). Nothing else in the product tests
the permit before a write; tests/house_gate.py checks that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.gates.approved_bytes import NOT_APPROVED, ApprovedBytes
from gateway.bank.gates.lists import WRITE
from gateway.bank.gates.write_facts import WriteFacts
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import Lease
from gateway.kernel import log
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.core import gate

_log = log.get("bank.send_gate")


class SendGate:
    """Decides for one lane whether bytes may be sent, and has its reasons to pause. `on_resumed` is called when a
    reason is removed."""

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
        """True if this node may send to the bank now: its lease holds, and the lane is not halted."""
        return self.halted is None and self._lease.holds

    def permits(self, epoch: int, committed_s: float) -> bool:
        """True if what was committed under `epoch`, not before `committed_s`, may be written to the bank now."""
        return self.halted is None and self._lease.permits(epoch, committed_s)

    def refusal(
        self,
        rows: Sequence[PaymentRow],
        leaves: Sequence[SendLeave],
        committed_s: float,
        bank_date: date,
        approved: ApprovedBytes = NOT_APPROVED,
    ) -> str | None:
        """Why these orders' bytes, which name `bank_date`, may not be sent now; None if they may.

        Call it in the reactor turn that writes. `rows` are the orders as the commit left them, `leaves` their
        SendLeaves; `committed_s` is a monotonic time from before that commit. `approved` are the bytes and the lines
        that approvers signed, for orders that needed approval.
        """
        against = gate.first(
            WRITE,
            WriteFacts(
                self._parts, self._calendar, self.permits, self.paused, rows, leaves, committed_s, bank_date, approved
            ),
        )
        return None if against is None else against.reason

    # ---- pauses ----

    @property
    def paused(self) -> tuple[str, ...]:
        """The reasons why nothing is sent; empty while sending is allowed. Enquiries go on all the same."""
        return self._paused

    def pause(self, reason: str) -> None:
        """Send nothing until `resume` is called with the same reason: an operator, a blocked broker, an emergency
        stop."""
        self._paused = tuple(sorted({*self._paused, reason}))
        _log.warning("lane.paused", lane=self._parts.name, reason=reason)

    def resume(self, reason: str) -> None:
        """Remove one reason to pause. Sending goes on when none is left."""
        if reason in self._paused:
            self._paused = tuple(one for one in self._paused if one != reason)
            _log.info("lane.resumed", lane=self._parts.name, reason=reason)
            self._on_resumed()

    def apply_pause(self, said: lane_pauses.PauseState) -> None:
        """Apply an operator's pause or resume as the journal has it. A change older than the last one is ignored."""
        if said.number < self._said.number:
            return
        self._said = said
        if not said.paused:
            self.resume(lane_pauses.OPERATOR)
        elif lane_pauses.OPERATOR not in self._paused:
            self.pause(lane_pauses.OPERATOR)
