"""Rule `rights`."""

from __future__ import annotations

import pytest

from gateway.kernel.core.gate import PASS, Hold, Refuse
from gateway.payments.gates.rights import RightsAtRelease, RightsAtResend, RightsAtSend
from gateway.payments.rows import send_rights
from tests.gateway.gates.facts import at_release, message, registry

GONE = "sender erp may not use account *17 any more"


def _says(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setattr(send_rights, "why_not_entitled", lambda _tx, _row, _registry: why)


def test_a_lost_right_holds_the_send(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, [facts] = RightsAtSend(registry), message().facts()
    _says(monkeypatch, GONE)
    assert rule.judge(facts) == Hold("not_entitled", GONE, "order.not_entitled")
    _says(monkeypatch, "")
    assert rule.judge(facts) is PASS


def test_a_release_that_clears_it_needs_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, GONE)
    verdict = RightsAtRelease().judge(at_release(("not_entitled",), ("not_entitled",)))
    assert isinstance(verdict, Refuse) and verdict.why.startswith(GONE) and "nothing was changed" in verdict.why
    assert RightsAtRelease().judge(at_release(("approval",), ("approval",))) is PASS, "it is asked at the send"
    _says(monkeypatch, "")
    assert RightsAtRelease().judge(at_release(("not_entitled",), ("not_entitled",))) is PASS


def test_so_does_a_send_that_two_persons_let_happen_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, GONE)
    verdict = RightsAtResend().judge(at_release((), ()))
    assert isinstance(verdict, Refuse) and verdict.why.startswith(GONE)
    _says(monkeypatch, "")
    assert RightsAtResend().judge(at_release((), ())) is PASS
