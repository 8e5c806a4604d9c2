"""Rule `mandates`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.kernel.core.gate import PASS, Hold
from gateway.pools.gates.mandates import MandatesRule
from gateway.pools.rows import pool_moves
from protocols.canon.outcome import State
from tests.gateway.gates.facts import at_admission, row


def test_what_is_beyond_a_ceiling_waits() -> None:
    assert MandatesRule().judge(at_admission(over_mandate=True)) == Hold("approval")
    assert MandatesRule().judge(at_admission()) is PASS


def test_a_move_keeps_how_its_payment_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pool_moves, "note_outcome", lambda _tx, after: told.append(after.payment))
    tx: Any = None
    for sender in ("treasury", "erp"):
        before, after = row(payment=sender, sender=sender), row(State.FAILED, payment=sender, sender=sender)
        assert MandatesRule().ended(tx, before, after, "x") == ()
    assert told == ["treasury"]
