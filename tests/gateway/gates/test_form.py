"""The form of the gate: a list is asked in order, and a result that is no verdict is never a Pass."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.kernel.core import gate, states
from gateway.kernel.core.gate import PASS, Hold, Refuse, RuleVerdict, Wait
from tests.gateway.gates.facts import at_admission


class FixedRule:
    """A rule that gives a fixed verdict, and records that it was asked."""

    asks = "?"
    answers = ()

    def __init__(self, name: str, verdict: Any, asked: list[str]) -> None:
        self.name = name
        self._verdict = verdict
        self._asked = asked

    def judge(self, facts: object) -> RuleVerdict:
        self._asked.append(self.name)
        verdict: RuleVerdict = self._verdict
        return verdict


def test_the_first_rule_that_does_not_let_it_pass_is_the_last_that_is_asked() -> None:
    asked: list[str] = []
    rules = [FixedRule("a", PASS, asked), FixedRule("b", Hold("x"), asked), FixedRule("c", Refuse("y"), asked)]
    assert gate.first(rules, None) == Hold("x") and asked == ["a", "b"]
    assert gate.first(rules[:1], None) is None


@pytest.mark.parametrize("forgotten", [None, True, "", "pass"])
def test_an_answer_that_a_rule_forgot_is_no_pass(forgotten: object) -> None:
    with pytest.raises(TypeError, match="not a verdict"):
        gate.ask(FixedRule("a", forgotten, []), None)


def test_a_rule_that_cannot_get_its_facts_lets_nothing_pass() -> None:
    class Broken(FixedRule):
        def judge(self, facts: object) -> RuleVerdict:
            raise LookupError("no facts")

    with pytest.raises(LookupError):
        gate.first([Broken("a", PASS, [])], None)


def test_admission_keeps_all_reasons_until_a_refusal() -> None:
    asked: list[str] = []
    order = at_admission()
    order.ask(
        [FixedRule("a", Hold("approval", also=("x",)), asked), FixedRule("b", Hold("suspected_duplicate"), asked)]
    )
    event = order.judgement.event
    assert isinstance(event, states.Hold)
    assert (event.reason, event.also) == ("suspected_duplicate", ("approval", "x"))
    order.ask([FixedRule("c", Refuse("validation"), asked), FixedRule("d", Hold("y"), asked)])
    event = order.judgement.event
    assert isinstance(event, states.Reject) and event.code == "validation" and asked == ["a", "b", "c"]


def test_admission_has_no_later_so_that_a_wait_is_a_hold() -> None:
    order = at_admission()
    order.ask([FixedRule("a", Wait(5, "soon"), [])])
    event = order.judgement.event
    assert isinstance(event, states.Hold) and event.reason == "soon"
