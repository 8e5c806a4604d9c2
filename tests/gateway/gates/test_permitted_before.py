"""Rule `permitted_before`."""

from __future__ import annotations

import pytest

from gateway.bank.gates.permitted_before import PermittedBeforeRule
from gateway.kernel.cluster import restored_database
from gateway.kernel.core.gate import PASS, Hold
from tests.gateway.gates.facts import message, row
from tests.world.lines import events, lines


@pytest.mark.parametrize(("let_go_ms", "halts"), [(0, True), (5, False)])
def test_a_send_that_the_permit_log_has_is_not_made_again(
    monkeypatch: pytest.MonkeyPatch, let_go_ms: int, halts: bool
) -> None:
    monkeypatch.setattr(restored_database, "let_go_ms", lambda _conn: let_go_ms)
    known = {("sample.main/R1", 3)}
    sent = message(row(attempt=2), raw=None, permitted=lambda ref, attempt: (ref, attempt) in known)
    with lines() as heard:
        verdict = PermittedBeforeRule().judge(sent.facts()[0])
    assert isinstance(verdict, Hold) and verdict.reason == "cannot_be_prepared"
    assert (verdict.alarm, verdict.halts, verdict.entry) == ("permitted_before", halts, "order.permitted_before")
    assert events(heard, "payment.permitted_before")[0]["attempt"] == 3


def test_another_attempt_or_reference_passes() -> None:
    for known in (("sample.main/R1", 1), ("sample.main/R2", 3)):
        sent = message(row(attempt=2), permitted=lambda ref, attempt, known=known: (ref, attempt) == known)
        assert PermittedBeforeRule().judge(sent.facts()[0]) is PASS
