"""Rule `safe_mode`."""

from __future__ import annotations

from gateway.bank.gates.safe_mode import SafeModeRule
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.kernel.core.gate import PASS, Refuse
from tests.gateway.gates.facts import at_write


def test_nothing_leaves_while_the_word_stands() -> None:
    assert SafeModeRule().judge(at_write(paused=("broker_blocked", FROM_THE_PAST))) == Refuse("paused")
    assert SafeModeRule().judge(at_write(paused=())) is PASS
    assert SafeModeRule().judge(at_write(paused=("operator",))) is PASS, "the rule pause answers for it"
