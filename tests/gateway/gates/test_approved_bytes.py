"""Rule `approved_bytes` in the unit."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.approvals.gates.approvals import ApprovalsAtSend
from gateway.approvals.rows import approval_checks, approval_holds
from gateway.bank.gates import approved_bytes
from gateway.bank.gates.approved_bytes import ApprovedBytesAtSend
from gateway.kernel.core.gate import PASS, Hold
from tests.gateway.gates.facts import message, registry, row
from tests.world.lines import events, lines

LINE = approval_holds.line_of(row().order)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(approval_checks, "at_send", lambda _tx, rows, _context: [LINE] * len(rows))
    made = message(row(payment="A"), row(payment="B"), wire=b"bytes")
    for one in made.facts():
        ApprovalsAtSend(registry).judge(one)
    return made


def test_every_order_of_a_message_whose_bytes_are_not_as_approved_is_held(
    sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def differs(*about: Any) -> str:
        told.append(about)
        return "another payee"

    monkeypatch.setattr(approved_bytes, "not_as_approved", differs)
    with lines() as heard:
        verdicts = [ApprovedBytesAtSend().judge(one) for one in sent.facts()]
    assert verdicts == [Hold("cannot_be_prepared", "another payee", "order.not_as_approved")] * 2
    assert len(events(heard, "bytes.not_as_approved")) == 1
    assert told[0][2].wire == b"bytes" and told[0][2].lines == (LINE, LINE)


def test_bytes_that_are_as_approved_pass(sent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approved_bytes, "not_as_approved", lambda *_: "")
    assert [ApprovedBytesAtSend().judge(one) for one in sent.facts()] == [PASS, PASS]


def test_before_the_approvals_are_known_nothing_passes() -> None:
    with pytest.raises(KeyError, match="signed_lines"):
        ApprovedBytesAtSend().judge(message().facts()[0])
