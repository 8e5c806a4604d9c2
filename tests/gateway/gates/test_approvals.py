"""Rule `approvals`."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.approvals.gates import signed_lines
from gateway.approvals.gates.approvals import ApprovalsAtRelease, ApprovalsAtResend, ApprovalsAtSend, ApprovalsRule
from gateway.approvals.rows import approval_checks, approval_holds
from gateway.approvals.rows.approval_holds import NOTHING
from gateway.approvals.rules.approval_bands import ANY, ApprovalNeed
from gateway.kernel.core.gate import PASS, Hold, Refuse
from gateway.payments.rows import judged_orders
from protocols.canon.outcome import State
from tests.gateway.gates.facts import at_admission, at_release, message, registry, row

ONE = ApprovalNeed(((ANY, 1),))


@pytest.mark.parametrize(("need", "wanted"), [(ONE, Hold("approval")), (NOTHING, PASS)])
def test_an_order_waits_for_the_persons_whom_the_policy_needs(
    monkeypatch: pytest.MonkeyPatch, need: ApprovalNeed, wanted: object
) -> None:
    asked: list[int] = []
    requests: list[list[str]] = []

    def need_of(_tx: Any, _sender: str, judged: Any, *_: Any, **__: Any) -> ApprovalNeed:
        asked.append(len(judged))
        return need

    monkeypatch.setattr(approval_holds, "need_of", need_of)
    monkeypatch.setattr(approval_holds, "request", lambda _tx, rows, *_: requests.append([one.payment for one in rows]))
    facts = at_admission()
    assert ApprovalsRule().judge(facts) == ApprovalsRule().judge(facts) == wanted
    assert asked == [1], "what a command needs is read once"
    made = [row(State.HELD, payment="A"), row(State.REJECTED, payment="B"), row(State.HELD, payment="C")]
    ApprovalsRule().enter(facts.command, made)
    assert requests == ([["A", "C"]] if need.approvers else []), "one request for all that go on"


def test_what_ended_unsent_is_asked_about_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(approval_holds, "on_ended", lambda _tx, after, _actor: told.append(after.life.state.value))
    tx: Any = None
    assert ApprovalsRule().ended(tx, row(State.HELD), row(State.CANCELLED), "x") == ()
    ApprovalsRule().ended(tx, row(State.SENDING), row(State.SETTLED), "x")
    assert told == ["cancelled"]


def test_at_a_release_missing_approvals_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_checks, "at_release", lambda _tx, _row, _context: ("approval",))
    monkeypatch.setattr(judged_orders, "context_of", lambda *_: None)
    facts = at_release(("new_payee",), ("new_payee",))
    assert ApprovalsAtRelease().judge(facts) == Hold("approval")
    facts.approved = True
    assert ApprovalsAtRelease().judge(facts) is PASS, "they were found complete in this unit"
    monkeypatch.setattr(approval_checks, "at_release", lambda _tx, _row, _context: ())
    facts.approved = False
    assert ApprovalsAtRelease().judge(facts) is PASS


def test_two_persons_send_nothing_again_whose_approvals_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged_orders, "context_of", lambda *_: None)
    monkeypatch.setattr(approval_checks, "why_not_now", lambda *_: "missing now: 1")
    verdict = ApprovalsAtResend().judge(at_release((), ()))
    assert isinstance(verdict, Refuse) and "missing now: 1" in verdict.why
    monkeypatch.setattr(approval_checks, "why_not_now", lambda *_: "")
    assert ApprovalsAtResend().judge(at_release((), ())) is PASS


def test_at_the_send_words_hold_and_lines_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    line = approval_holds.line_of(row().order)
    looks: list[int] = []

    def at_send(_tx: Any, rows: Any, _context: Any) -> list[Any]:
        looks.append(len(rows))
        return ["void", line, None]

    monkeypatch.setattr(approval_checks, "at_send", at_send)
    rule = ApprovalsAtSend(registry)
    sent = message(row(payment="A"), row(payment="B"), row(payment="C"))
    assert [rule.judge(one) for one in sent.facts()] == [Hold("approval", "void", "order.approval_void"), PASS, PASS]
    assert looks == [3], "read once for a message"
    assert signed_lines.lines_of(sent) == (line, line), "who needs no approval stands among them as ordered"


def test_a_message_without_approvals_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approval_checks, "at_send", lambda _tx, rows, _context: [None] * len(rows))
    sent = message()
    assert ApprovalsAtSend(registry).judge(sent.facts()[0]) is PASS and signed_lines.lines_of(sent) == ()
