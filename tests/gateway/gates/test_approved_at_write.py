"""Rule `approved_bytes`, asked in the reactor turn that writes."""

from __future__ import annotations

import pytest

from gateway.approvals.rows.approval_holds import line_of
from gateway.bank.gates import approved_at_write
from gateway.bank.gates.approved_at_write import ApprovedBytesAtWrite
from gateway.bank.gates.approved_bytes import ApprovedBytes
from gateway.kernel.core.gate import PASS, Refuse
from tests.gateway.gates.facts import at_write, row
from tests.world.lines import events, lines

APPROVED = ApprovedBytes(b"bytes", (line_of(row().order),))


def test_bytes_that_became_others_since_the_unit_do_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approved_at_write, "not_as_approved", lambda *_: "another amount")
    with lines() as heard:
        assert ApprovedBytesAtWrite().judge(at_write(approved=APPROVED)) == Refuse("not_as_approved", "another amount")
    assert events(heard, "bytes.not_as_approved")
    assert ApprovedBytesAtWrite().judge(at_write()) is PASS, "without an approval nothing is compared"
    monkeypatch.setattr(approved_at_write, "not_as_approved", lambda *_: "")
    assert ApprovedBytesAtWrite().judge(at_write(approved=APPROVED)) is PASS
