"""The matrix of rights: every act of the control API, the roles that may use it, and the proof that it asks for.

The table is made from the register of acts, which decides; docs/lookup/roles.md is made from the table. Root and the
daemon's own user run the machine and may ask for everything here, except signing, which only persons can do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.act import Act, SocketProof
from gateway.control.register import REGISTER
from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.scopes import WHOLE, Scope

MATRIX: Mapping[str, Act] = {act.name: act for act in REGISTER.values() if act.path}
"""Every act that has a path, by method and path."""


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """The roles that may propose a decision of two persons, and the roles that may sign it as the second person."""

    propose: frozenset[PersonRole]
    approve: frozenset[PersonRole]


DECISIONS: Mapping[str, DecisionRule] = {
    act.decision.kind: DecisionRule(act.decision.propose, act.decision.approve)
    for act in REGISTER.values()
    if act.decision is not None
}
"""The kinds of proposals. Acts that share one kind have the same rule; a test holds it."""


@dataclass(frozen=True, slots=True)
class AccessVerdict:
    """The result of judging a request: `scope` limits the answer; `code` and `why` say the reason of a refusal."""

    scope: Scope
    code: str = ""
    why: str = ""


def judge(verb: str, grants: Grants, signed_in: bool) -> AccessVerdict:
    """Judge a person's request for a verb of MATRIX by the person's present rights. An unknown verb is refused."""
    rule = MATRIX.get(verb)
    if rule is None:
        return _no("no_such_verb", f"{verb} is not in the matrix of roles")
    if rule.everybody:
        return AccessVerdict(WHOLE)
    if not rule.roles:
        return _no("not_allowed", "only root and the daemon's own user may do this")
    if not rule.roles & grants.roles:
        needed, has = " or ".join(sorted(rule.roles)), ", ".join(sorted(grants.roles)) or "without a role"
        return _no(
            "not_allowed",
            f"this is for {needed}, and you are {has}; two administrators can change that: bankgw roles set",
        )
    if rule.shows is SocketProof.SESSION and not signed_in:
        return _no("sign_in", "you are not signed in, or your sign-in has expired: bankgw login")
    return AccessVerdict(grants.where(rule.roles) if rule.scoped else WHOLE)


def judge_decision(kind: str, grants: Grants, *, second: bool) -> str:
    """The reason why a person may not propose a decision of this kind, or be its `second`; "" if the person may."""
    rule = DECISIONS.get(kind)
    if rule is None:
        return f"nobody may decide {kind}"
    needed = rule.approve if second else rule.propose
    if needed & grants.roles:
        return ""
    has = ", ".join(sorted(grants.roles)) or "without a role"
    return f"this decision is for {' or '.join(sorted(needed))}, and you are {has}"


def _no(code: str, why: str) -> AccessVerdict:
    return AccessVerdict(Scope(), code, why)
