"""Incompatible duties (不相容职务), in a table kept by hand that judges the register of acts. Tests that are generated from
the register would accept an error of the register. These tests do not read the duties from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.act import Act, ActEffect, ActProof
from gateway.control.register import REGISTER
from gateway.people.rules.roles import PersonRole

VIEWER, MAKER, APPROVER, SUPERVISOR = (PersonRole.VIEWER, PersonRole.MAKER, PersonRole.APPROVER, PersonRole.SUPERVISOR)
SYSTEM, SECURITY, AUDIT = PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN, PersonRole.AUDIT_ADMIN

# The duties of a treasury, and the acts of each.
DUTIES: Mapping[str, frozenset[str]] = {
    "approve payments": frozenset({"approvals.approve", "approvals.reject", "web.approve", "web.reject"}),
    "release what is held": frozenset({"orders.release"}),
    "decide what became of a payment": frozenset({"orders.resolve", "linked.decide", "repair.propose"}),
    "know a payee": frozenset({"payees.register"}),
    "make rules that move money": frozenset({"pools.propose", "pools.close", "pools.run"}),
    "reconcile": frozenset(
        {
            *("books.begin", "books.rows", "books.close", "books.withdraw", "statements.begin", "statements.rows"),
            *("statements.close", "reconciliation.confirm", "reconciliation.aside", "reconciliation.undo"),
            *("tables.submit", "receipts.none"),
        }
    ),
    "check the reconciliation": frozenset({"tables.approve"}),
    "run the machine": frozenset(
        {
            "lanes.pause",
            "lanes.resume",
            "lanes.probe",
            "parked.replay",
            "parked.replay_all",
            "node.drain",
            "keys.activate",
        }
    ),
    "let money move again": frozenset({"lanes.leave_safe_mode", "node.restart", "companies.resume"}),
    "give rights": frozenset({"persons.admit", "persons.deactivate", "persons.reset", "roles.set"}),
    "say whose approval is needed": frozenset({"policy.propose"}),
    "review": frozenset({"query.audit", "reports.security_review"}),
}
# The roles that may begin each duty. No other role may. A maker makes orders in the ERP and has no duty here.
BEGINS: Mapping[str, frozenset[PersonRole]] = {
    "approve payments": frozenset({APPROVER}),
    "release what is held": frozenset({SUPERVISOR}),
    "decide what became of a payment": frozenset({SUPERVISOR}),
    "know a payee": frozenset({SUPERVISOR}),
    "make rules that move money": frozenset({SUPERVISOR}),
    "reconcile": frozenset({VIEWER, SUPERVISOR}),
    "check the reconciliation": frozenset({SUPERVISOR}),
    "run the machine": frozenset({SYSTEM}),
    "let money move again": frozenset({SUPERVISOR}),
    "give rights": frozenset({SECURITY}),
    "say whose approval is needed": frozenset({SECURITY}),
    "review": frozenset({AUDIT, SECURITY}),
}
# No role may have both of these duties.
APART = (
    ("approve payments", "reconcile"),
    ("approve payments", "release what is held"),
    ("approve payments", "check the reconciliation"),
    ("approve payments", "give rights"),
    ("approve payments", "run the machine"),
    ("release what is held", "give rights"),
    ("release what is held", "run the machine"),
    ("decide what became of a payment", "run the machine"),
    ("make rules that move money", "run the machine"),
    ("reconcile", "run the machine"),
    ("give rights", "run the machine"),
    ("say whose approval is needed", "approve payments"),
    ("say whose approval is needed", "release what is held"),
)
# The acts that a system administrator does before there are two administrators, and two supervisors sign afterwards.
RESUMES = frozenset({"lanes.resume", "companies.resume"})
# The acts that need one unsigned click in a browser: they move no money, give no right, loosen nothing.
SESSION_ACTS = frozenset(
    {
        *("approvals.renew", "proposals.withdraw", "orders.enquire", "lanes.probe", "parked.replay", "delegations.end"),
        "parked.replay_all",
        *("receipts.none", "books.withdraw", "reconciliation.confirm", "reconciliation.aside", "reconciliation.undo"),
        *("sign_in.challenge", "sign_in.sign_in", "sign_in.sign_out", "web.sign_in", "web.sign_in_passkey"),
        *("web.sign_in_oidc", "web.oidc_begin", "web.challenge", "web.passkeys", "web.renew", "web.sign_out"),
        *("web.refused", "web.page_refusals", "web.reveal", "web.step_up", "web.step_up_passkey"),
    }
)
STOPS_BY_ONE = frozenset(
    {"lanes.pause", "companies.pause", "node.drain", "node.stop", "persons.remove", "approvals.reject", "web.reject"}
)
MOVES_MONEY = frozenset(
    {
        *("approvals.approve", "web.approve", "proposals.approve", "orders.release", "orders.resolve"),
        *("pools.run", "pools.propose", "linked.decide", "node.restart"),
    }
)
COMMAND_LINE = frozenset(
    {
        *("roles.ceremony", "persons.confirm", "orders.cancel", "parked.show", "parked.discard"),
        "keys.activate",
        *("lanes.trace", "lanes.forgotten", "joint_runs.record", "joint_runs.exchanges"),
    }
)


def begins(act: Act) -> frozenset[PersonRole]:
    """The roles that may ask for the act or propose it. A proposal needs a signature, so the path of the act itself
    gives no role."""
    return act.roles | (frozenset() if act.decision is None else act.decision.propose)


def faults(register: Mapping[str, Act]) -> list[str]:
    """The faults of a register by the table above."""
    found = []
    for duty, codes in DUTIES.items():
        for code in sorted(codes):
            who = begins(register[code])
            if code in RESUMES:
                who -= {SUPERVISOR, SYSTEM}  # a system administrator before there are two, then two supervisors
            if not who <= BEGINS[duty]:
                found.append(f"{code}: {', '.join(sorted(who - BEGINS[duty]))} may begin to {duty}")
    for one, other in APART:
        both = {role for code in DUTIES[one] for role in begins(register[code])}
        both &= {role for code in DUTIES[other] - RESUMES for role in begins(register[code])}
        if both:
            found.append(f"{', '.join(sorted(both))} may {one} and {other}")
    for code, act in register.items():
        found += [f"{code}: {why}" for why in law(act)]
    return found


def law(act: Act) -> list[str]:
    """The faults of one act by the rules for proofs."""
    found = []
    if (act.proof is ActProof.SESSION) != (act.code in SESSION_ACTS):
        found.append("is done by a session, or is not, against the list")
    weak = act.proof in (ActProof.LOOK, ActProof.SESSION, ActProof.STEP_UP)
    if weak and (act.moves_money or act.effect is ActEffect.LOOSENS):
        found.append("moves money or loosens something without a signature")
    if act.moves_money != (act.code in MOVES_MONEY):
        found.append("moves money, or does not, against the list")
    if (act.proof is ActProof.COMMAND_LINE) != (act.code in COMMAND_LINE):
        found.append("is for the command line alone, or is not, against the list")
    if act.effect is ActEffect.LOOSENS and act.proof in (ActProof.ONE_PASSKEY,):
        found.append("loosens by one person")
    if act.code in STOPS_BY_ONE and (act.effect, act.proof) != (ActEffect.STOPS, ActProof.ONE_PASSKEY):
        found.append("stops, and one person does not suffice")
    if act.decision is not None and act.proof is not ActProof.TWO_PERSONS:
        found.append("is signed by two persons and says otherwise")
    if AUDIT in begins(act) and act.method == "POST" and act.room not in ("people", "web"):
        found.append("the auditor changes something")
    return found


def test_the_register_keeps_incompatible_duties_apart() -> None:
    assert faults(REGISTER) == []


@pytest.mark.parametrize(
    ("code", "changed", "said"),
    [
        ("approvals.approve", {"roles": frozenset({APPROVER, VIEWER})}, "viewer may approve payments and reconcile"),
        ("reconciliation.confirm", {"roles": frozenset({APPROVER})}, "approver may begin to reconcile"),
        ("orders.enquire", {"moves_money": True}, "moves money"),
        ("lanes.resume", {"proof": ActProof.SESSION}, "loosens something without a signature"),
        ("lanes.pause", {"proof": ActProof.TWO_PERSONS}, "one person does not suffice"),
        ("delegations.make", {"proof": ActProof.ONE_PASSKEY}, "loosens by one person"),
        ("parked.discard", {"proof": ActProof.SESSION}, "against the list"),
        ("receipts.none", {"roles": frozenset({AUDIT})}, "the auditor changes something"),
    ],
)
def test_a_planted_error_of_the_register_is_seen(code: str, changed: Mapping[str, Any], said: str) -> None:
    planted = {**REGISTER, code: replace(REGISTER[code], **changed)}
    assert any(said in fault for fault in faults(planted)), faults(planted)
