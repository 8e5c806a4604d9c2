"""What the parts of one lane share: its lease, gate, calendar, numbers, records and queue. No lifecycle, no pump."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.bank.bank_calendar import BankCalendar
from gateway.bank.clock_trust import ClockTrust
from gateway.bank.exchange_metrics import ExchangeMetrics
from gateway.bank.lane_parts import LaneParts
from gateway.bank.lease import Lease
from gateway.bank.question_runner import QuestionRunner
from gateway.bank.ready_payments import ReadyPayments
from gateway.bank.recorder import Recorder
from gateway.bank.send_gate import SendGate
from gateway.bank.serials import Serials
from gateway.bank.work_queue import WorkQueue


@dataclass(frozen=True, slots=True)
class LaneShared:
    """See the module. dispatch, enquiry, bundle_enquiry and work_loader take this, never the lane itself."""

    parts: LaneParts
    lease: Lease
    clock_trust: ClockTrust
    calendar: BankCalendar
    gate: SendGate
    serials: Serials
    recorder: Recorder
    metrics: ExchangeMetrics
    questions: QuestionRunner
    work_queue: WorkQueue
    ready: ReadyPayments
