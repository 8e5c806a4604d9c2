"""Rule `overtaken`."""

from __future__ import annotations

from gateway.bank.gates.overtaken import OvertakenRule
from gateway.kernel.commit.send_leave import SendLeave
from gateway.kernel.core.gate import PASS, Refuse
from tests.gateway.gates.facts import at_write


def test_one_revoked_leave_keeps_the_message_back() -> None:
    assert OvertakenRule().judge(at_write(leaves=(SendLeave(), SendLeave(revoked=True)))) == Refuse("overtaken")
    assert OvertakenRule().judge(at_write(leaves=(SendLeave(), SendLeave()))) is PASS
