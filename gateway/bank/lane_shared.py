"""The objects that the parts of one lane share: lease, gate, calendar, numbers, records and queue. The lane's lifecycle
and pump are not among them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.clock_trust import ClockTrust, ClockVerdict
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.host_date import HostDate
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import Lease
from gateway.bank.question_runner import QuestionRunner
from gateway.bank.ready_payments import ReadyPayments
from gateway.bank.recorder import Recorder
from gateway.bank.send_gate import SendGate
from gateway.bank.serials import Serials
from gateway.bank.work_queue import WorkQueue
from gateway.kernel.commit.rows import PaymentRow


@dataclass(frozen=True, slots=True)
class LaneShared:
    """The lease, gate, calendar, numbers, records and queue that the parts of one lane share. dispatch, enquiry,
    bundle_enquiry and work_loader take this, never the lane itself."""

    parts: LaneParts
    lease: Lease
    clock_trust: ClockTrust
    calendar: BankCalendar
    host_date: HostDate
    gate: SendGate
    serials: Serials
    recorder: Recorder
    metrics: ExchangeMetrics
    questions: QuestionRunner
    work_queue: WorkQueue
    ready: ReadyPayments

    def sure_of(self, row: PaymentRow) -> ClockVerdict:
        """The conclusions that an answer about this payment allows now. While the bank states another date than the
        calendar's, the question may have named the wrong day, so that "not found" does not count."""
        verdict = self.clock_trust.sure(self.parts.rules_of(row).quarantine_ms)
        return replace(verdict, days=verdict.days and not self.host_date.differs)
