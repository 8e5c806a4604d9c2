"""Who may ask for what of the daemon: every verb of the control API, with the roles that may ask and what they must
show. This table is the only place that decides; docs/lookup/roles.md is made from it.

Root and the daemon's own user run the machine and may ask for everything here, except what only persons can do: sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from gateway.people.grants import Grants
from gateway.people.roles import ADMIN_ROLES, MONEY_ROLES, PersonRole
from gateway.people.scopes import WHOLE, Scope


class Proof(StrEnum):
    """What a person must show beside the UNIX user that the kernel names."""

    USER = "user"
    SESSION = "session"
    SIGNATURE = "signature"


@dataclass(frozen=True, slots=True)
class VerbRule:
    """`roles`: persons with one of these may ask; `everybody`: any user who can open the socket may.

    `scoped`: the answer, or what is changed, is about own accounts inside the person's scope only. With the proof
    `signature` the request bears a signature over its own words, and needs no session.
    """

    roles: frozenset[PersonRole] = frozenset()
    proof: Proof = Proof.SESSION
    scoped: bool = False
    everybody: bool = False


_READERS = MONEY_ROLES | {PersonRole.AUDIT_ADMIN}
_ALL = frozenset(PersonRole)
_RUNNERS = frozenset({PersonRole.SYSTEM_ADMIN})
_LOOK_AT_PEOPLE = ADMIN_ROLES | {PersonRole.SUPERVISOR}
_DECIDERS = frozenset({PersonRole.SUPERVISOR, PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN})
_MACHINE_ONLY = VerbRule()
_OPEN = VerbRule(everybody=True, proof=Proof.USER)
_SCOPED = VerbRule(_READERS, scoped=True)
# Who reconciles has made and approved none of the payments that are reconciled (不相容职务分离).
_KEEPERS = VerbRule(frozenset({PersonRole.VIEWER, PersonRole.SUPERVISOR}), scoped=True)
# Tests of a bank's line are about no own account's money: what they kept is shown masked, whatever the scope.
_JOINT_TESTS = VerbRule(_READERS | _RUNNERS)
_APPROVALS = VerbRule(
    frozenset({PersonRole.MAKER, PersonRole.APPROVER, PersonRole.SUPERVISOR, PersonRole.AUDIT_ADMIN}),
    proof=Proof.USER, scoped=True,
)  # fmt: skip
_RENEW = VerbRule(frozenset({PersonRole.MAKER, PersonRole.APPROVER}), proof=Proof.USER, scoped=True)
_APPROVE = VerbRule(frozenset({PersonRole.APPROVER}), proof=Proof.SIGNATURE, scoped=True)

MATRIX: Mapping[str, VerbRule] = {
    "GET /status": VerbRule(_ALL),
    "GET /today": _SCOPED,
    "GET /positions": _SCOPED,
    "GET /reports/{}": _SCOPED,
    "GET /receipts": _SCOPED,
    "GET /worklists": _SCOPED,
    "GET /receipts/missing": _SCOPED,
    "GET /receipts/{}/facts": _SCOPED,
    "GET /receipts/{}/file": _SCOPED,
    "POST /receipts/{}/none": _KEEPERS,
    "GET /security-review": VerbRule(frozenset({PersonRole.AUDIT_ADMIN, PersonRole.SECURITY_ADMIN})),
    "GET /reconciliation/{}": _SCOPED,
    "POST /reconciliation/{}/books": _KEEPERS,
    "POST /reconciliation/{}/books/{}/rows": _KEEPERS,
    "POST /reconciliation/{}/books/{}/close": _KEEPERS,
    "POST /reconciliation/{}/books/{}/withdraw": _KEEPERS,
    "POST /reconciliation/{}/statements": _KEEPERS,
    "POST /reconciliation/{}/statements/{}/rows": _KEEPERS,
    "POST /reconciliation/{}/statements/{}/close": _KEEPERS,
    "POST /reconciliation/{}/confirm": _KEEPERS,
    "POST /reconciliation/{}/aside": _KEEPERS,
    "POST /reconciliation/{}/undo": _KEEPERS,
    "GET /reconciliation/{}/tables/{}": _SCOPED,
    "POST /reconciliation/{}/tables/{}/submit": _KEEPERS,
    "POST /reconciliation/{}/tables/{}/approve": VerbRule(frozenset({PersonRole.SUPERVISOR}), scoped=True),
    "GET /liquidity": _SCOPED,
    "GET /liquidity/{}": _SCOPED,
    "GET /liquidity/{}/preview": _SCOPED,
    "POST /liquidity/{}/run": VerbRule(frozenset({PersonRole.SUPERVISOR}), scoped=True),
    "GET /liquidity-runs/{}": _SCOPED,
    "GET /linked": _SCOPED,
    "POST /linked/{}/decide": VerbRule(frozenset({PersonRole.SUPERVISOR}), scoped=True),
    "GET /orders": _SCOPED,
    "GET /orders/{}": _SCOPED,
    "POST /orders/{}/release": _MACHINE_ONLY,
    "POST /orders/{}/cancel": _MACHINE_ONLY,
    "POST /orders/{}/enquire": VerbRule(frozenset({PersonRole.SUPERVISOR}), scoped=True),
    "GET /directory/{}": VerbRule(MONEY_ROLES),
    "GET /lanes": VerbRule(_ALL),
    "POST /lanes/{}/pause": VerbRule(_RUNNERS),
    "POST /lanes/{}/resume": VerbRule(_RUNNERS),
    "POST /lanes/{}/probe": VerbRule(_RUNNERS),
    "GET /lanes/{}/trace": _MACHINE_ONLY,
    "GET /parked": VerbRule(_RUNNERS),
    "GET /parked/{}": _MACHINE_ONLY,
    "POST /parked/{}/replay": VerbRule(_RUNNERS),
    "POST /parked/{}/discard": _MACHINE_ONLY,
    "POST /drain": VerbRule(_RUNNERS),
    "POST /stop": VerbRule(_RUNNERS | {PersonRole.SUPERVISOR}, proof=Proof.USER),
    "GET /past": _MACHINE_ONLY,
    "GET /persons": _OPEN,
    "POST /persons": _OPEN,
    "POST /persons/{}/confirm": _MACHINE_ONLY,
    "POST /persons/{}/remove": _OPEN,
    "POST /ceremony": _MACHINE_ONLY,
    "GET /roles": VerbRule(_LOOK_AT_PEOPLE, proof=Proof.USER),
    "GET /delegations": VerbRule(_ALL),
    "POST /delegations": VerbRule(MONEY_ROLES),
    "POST /delegations/{}/end": VerbRule(_ALL),
    "GET /policy": VerbRule(_ALL),
    "GET /approvals": _APPROVALS,
    "GET /approvals/{}": _APPROVALS,
    "POST /approvals/{}/approve": _APPROVE,
    "POST /approvals/{}/reject": _APPROVE,
    "POST /approvals/{}/renew": _RENEW,
    "GET /sign-in": _OPEN,
    "POST /sign-in/challenge": _OPEN,
    "POST /sign-in": _OPEN,
    "POST /sign-out": _OPEN,
    "POST /factors/password": VerbRule(_ALL),
    "POST /factors/password/confirm": VerbRule(_ALL),
    "POST /factors/passkey": VerbRule(_ALL),
    "GET /place": _OPEN,
    "POST /web/sign-in": _OPEN,
    "POST /web/sign-in/passkey": _OPEN,
    "POST /web/sign-in/oidc": _OPEN,
    "POST /web/oidc/begin": _OPEN,
    "POST /web/challenge": _OPEN,
    "POST /web/passkeys": _OPEN,
    "POST /web/approvals/{}/approve": _APPROVE,
    "POST /web/approvals/{}/reject": _APPROVE,
    "GET /web/session": VerbRule(_ALL),
    "POST /web/renew": VerbRule(_ALL),
    "POST /web/sign-out": VerbRule(_ALL),
    "POST /web/refused": VerbRule(_ALL),
    "POST /web/page-refusals": _OPEN,
    "POST /web/step-up": VerbRule(_ALL),
    "POST /web/step-up/passkey": VerbRule(_ALL),
    "POST /web/exports/reports/{}": _SCOPED,
    "POST /web/orders/{}/reveal": VerbRule(MONEY_ROLES, scoped=True),
    "GET /overview": _SCOPED,
    "GET /search": _SCOPED,
    "GET /accounts": _SCOPED,
    "GET /joint-tests": _JOINT_TESTS,
    "GET /joint-tests/{}": _JOINT_TESTS,
    "GET /joint-tests/{}/tries/{}": _JOINT_TESTS,
    "GET /joint-tests/{}/tries/{}/files/{}": _JOINT_TESTS,
    "GET /audit": VerbRule(frozenset({PersonRole.AUDIT_ADMIN})),
    "POST /proposals/draft": VerbRule(_DECIDERS, proof=Proof.SIGNATURE),
    "POST /proposals": VerbRule(_DECIDERS, proof=Proof.SIGNATURE),
    "GET /proposals": VerbRule(_DECIDERS | {PersonRole.AUDIT_ADMIN}, proof=Proof.USER),
    "GET /proposals/{}": VerbRule(_DECIDERS | {PersonRole.AUDIT_ADMIN}, proof=Proof.USER),
    "POST /proposals/{}/approve": VerbRule(_DECIDERS, proof=Proof.SIGNATURE),
    "POST /proposals/{}/withdraw": VerbRule(_DECIDERS, proof=Proof.USER),
}


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """Who may propose a decision of two persons, and who may be the second."""

    propose: frozenset[PersonRole]
    approve: frozenset[PersonRole]


_SUPERVISORS = DecisionRule(frozenset({PersonRole.SUPERVISOR}), frozenset({PersonRole.SUPERVISOR}))
_ADMINS = DecisionRule(
    frozenset({PersonRole.SECURITY_ADMIN}), frozenset({PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN})
)

_POLICY = DecisionRule(
    frozenset({PersonRole.SECURITY_ADMIN}),
    frozenset({PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN, PersonRole.SUPERVISOR}),
)

DECISIONS: Mapping[str, DecisionRule] = {
    "resolve": _SUPERVISORS, "resume": _SUPERVISORS, "restart": _SUPERVISORS, "register": _SUPERVISORS,
    "release": _SUPERVISORS, "resume_lane": _SUPERVISORS,
    "pool": _SUPERVISORS, "pool_run": _SUPERVISORS, "link": _SUPERVISORS,
    "enrol": _ADMINS, "roles": _ADMINS, "deactivate": _ADMINS, "reset": _ADMINS, "policy": _POLICY,
}  # fmt: skip
"""The kinds of proposals."""


@dataclass(frozen=True, slots=True)
class AccessVerdict:
    """Whether a person may ask: `scope` is what the answer may be about; `code` and `why` say why not."""

    scope: Scope
    code: str = ""
    why: str = ""


def judge(verb: str, grants: Grants, signed_in: bool) -> AccessVerdict:
    """Judge a person's request for a verb of MATRIX, by what the person may do now. An unknown verb is refused."""
    rule = MATRIX.get(verb)
    if rule is None:
        return _no("no_such_verb", f"{verb} is not in the matrix of roles")
    if rule.everybody:
        return AccessVerdict(WHOLE)
    if not rule.roles:
        return _no("not_allowed", "only root and the daemon's own user may do this")
    if not rule.roles & grants.roles:
        needed, has = " or ".join(sorted(rule.roles)), ", ".join(sorted(grants.roles)) or "without a role"
        return _no("not_allowed", f"this is for {needed}, and you are {has}; two administrators can change that: "
                   f"bankgw roles set")  # fmt: skip
    if rule.proof is Proof.SESSION and not signed_in:
        return _no("sign_in", "you are not signed in, or it is too long ago: bankgw login")
    return AccessVerdict(grants.where(rule.roles) if rule.scoped else WHOLE)


def judge_decision(kind: str, grants: Grants, *, second: bool) -> str:
    """Why a person may not propose a decision of this kind, or be its `second`; "" if the person may."""
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
