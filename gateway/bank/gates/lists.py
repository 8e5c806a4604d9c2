"""The rules asked in the reactor turn that writes: they use memory only, and the permit is the last rule."""

from __future__ import annotations

from gateway.bank.gates.approved_at_write import ApprovedBytesAtWrite
from gateway.bank.gates.calendar import CalendarRule
from gateway.bank.gates.company_pause import CompanyPauseRule
from gateway.bank.gates.overtaken import OvertakenRule
from gateway.bank.gates.pause import PauseRule
from gateway.bank.gates.permit import PermitRule
from gateway.bank.gates.repeat_window import RepeatWindowRule
from gateway.bank.gates.safe_mode import SafeModeRule
from gateway.bank.gates.stop import StopRule
from gateway.bank.gates.validity import ValidityRule
from gateway.bank.gates.write_facts import WriteFacts
from gateway.kernel.core.gate import GateRule

WRITE: tuple[GateRule[WriteFacts], ...] = (
    OvertakenRule(),
    StopRule(),
    SafeModeRule(),
    CompanyPauseRule(),
    PauseRule(),
    ApprovedBytesAtWrite(),
    ValidityRule(),
    RepeatWindowRule(),
    CalendarRule(),
    PermitRule(),
)
