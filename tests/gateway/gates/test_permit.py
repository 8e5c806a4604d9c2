"""Rule `permit`."""

from __future__ import annotations

from gateway.bank.gates.permit import PermitRule
from gateway.kernel.core.gate import PASS, Refuse
from protocols.canon.outcome import State
from tests.gateway.gates.facts import at_write, row


def test_without_the_permit_of_the_commits_epoch_nothing_leaves() -> None:
    asked: list[tuple[int, float]] = []

    def permits(epoch: int, committed_s: float) -> bool:
        asked.append((epoch, committed_s))
        return epoch == 7

    facts = at_write(row(State.SENDING, epoch=7), permits=permits, committed_s=3.5)
    assert PermitRule().judge(facts) is PASS and asked == [(7, 3.5)]
    assert PermitRule().judge(at_write(row(State.SENDING, epoch=8), permits=permits)) == Refuse("permit_refused")
