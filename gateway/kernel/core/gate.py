"""The form of the gate: rules, their verdicts, and how an ordered list of rules is asked. Pure.

A payment passes four lists: at admission, at a release, in the unit that records the bytes of a send, and in the
reactor turn in which the bytes are written. `gateway/gate_lists.py` shows all of them. The rules of a list are asked in
its order; the order is part of the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from protocols.canon.errors import Fault

F_contra = TypeVar("F_contra", contravariant=True)
F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Pass:
    """The verdict of a rule that has nothing against the payment."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The verdict that a person must look at the payment first. `reason` is the code that the ERP gets, `also` are
    further codes.

    `why` is the text, and `entry` the audit entry that has this text. `alarm` is raised, if one is named. `halts`: the
    lane stops as well, because the finding concerns more than this payment.
    """

    reason: str
    why: str = ""
    entry: str = ""
    also: tuple[str, ...] = ()
    alarm: str = ""
    halts: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """The verdict that the payment does not go on: an order is rejected, a release changes nothing, an unsent payment
    is withdrawn, written bytes do not leave. `faults` name the fields of an order.
    """

    reason: str
    why: str = ""
    entry: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """The verdict that the payment may go on later, and is judged again at `until_ms`. At admission a Wait becomes a
    Hold.
    """

    until_ms: int
    reason: str
    why: str = ""


Against = Hold | Refuse | Wait
"""A verdict of a rule that does not let the payment pass."""
RuleVerdict = Pass | Against
PASS = Pass()
_AGAINST = (Hold, Refuse, Wait)


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """One answer of a rule, for the documentation: its code, when it is given, what the gateway does then, what the ERP
    is told and what a person does. `docs/lookup/gate.md` is made from these.
    """

    code: str
    when: str
    does: str
    told: str = "–"
    mend: str = ""


class GateRule(Protocol[F_contra]):
    """One rule of a list of the gate. `asks` is the question that it answers; `answers` are all its verdicts other than
    Pass.

    If a rule cannot get its facts, it raises, and the unit fails; it never returns Pass then. A rule that counts or
    reserves also has `enter` and `ended`: see ReservingRule.
    """

    @property
    def name(self) -> str:
        """The rule's name, which is unique in its list."""

    @property
    def asks(self) -> str:
        """The question that the rule answers, as a sentence."""

    @property
    def answers(self) -> tuple[RuleAnswer, ...]:
        """All verdicts of the rule other than Pass."""

    def judge(self, facts: F_contra, /) -> RuleVerdict:
        """The rule's verdict about these facts."""


def ask(rule: GateRule[F], facts: F) -> Against | None:
    """The rule's verdict about these facts, or None for Pass. Raises TypeError if the rule returned no verdict, so that
    a forgotten return value never counts as a Pass.
    """
    verdict = rule.judge(facts)
    if isinstance(verdict, Pass):
        return None
    if not isinstance(verdict, _AGAINST):
        raise TypeError(f"rule {rule.name} said {verdict!r}, which is not a verdict")
    return verdict


def first(rules: Iterable[GateRule[F]], facts: F) -> Against | None:
    """The first verdict of these rules that is not Pass; None if all rules pass."""
    for rule in rules:
        against = ask(rule, facts)
        if against is not None:
            return against
    return None
