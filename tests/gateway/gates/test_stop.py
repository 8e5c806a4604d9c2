"""Rule `stop`."""

from __future__ import annotations

from gateway.bank.gates.stop import StopRule
from gateway.kernel.cluster.stops import STOPPED
from gateway.kernel.core.gate import PASS, Refuse
from tests.gateway.gates.facts import at_write


def test_nothing_leaves_while_the_word_stands() -> None:
    assert StopRule().judge(at_write(paused=("broker_blocked", STOPPED))) == Refuse("paused")
    assert StopRule().judge(at_write(paused=())) is PASS
    assert StopRule().judge(at_write(paused=("operator",))) is PASS, "the rule pause answers for it"
