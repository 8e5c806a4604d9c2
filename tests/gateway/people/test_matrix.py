"""The matrix of roles: every cell is tested, with the role and without it."""

from __future__ import annotations

from itertools import product

import pytest

from gateway.act import SocketProof
from gateway.control.matrix import DECISIONS, MATRIX, judge, judge_decision
from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import ADMIN_ROLES, MONEY_ROLES, PersonRole
from gateway.people.rules.scopes import NOWHERE, WHOLE, Scope

ACME = Scope(frozenset({"acme"}))


def only(role: PersonRole) -> Grants:
    return Grants(((role, WHOLE if role in ADMIN_ROLES else ACME),))


@pytest.mark.parametrize("role", PersonRole)
def test_a_cell_admits_its_role_and_no_other(role: PersonRole) -> None:
    for verb, rule in MATRIX.items():
        said = judge(verb, only(role), signed_in=True)
        if rule.everybody or role in rule.roles:
            assert said.why == "", verb
            assert said.scope == (ACME if rule.scoped and role not in ADMIN_ROLES else WHOLE), verb
        else:
            assert (said.code, said.scope) == ("not_allowed", NOWHERE), verb
        needs = not rule.everybody and role in rule.roles and rule.shows is SocketProof.SESSION
        assert (judge(verb, only(role), signed_in=False).code == "sign_in") == needs, verb


def test_nobody_without_a_role_gets_in() -> None:
    admitted = {verb for verb in MATRIX if judge(verb, Grants(), signed_in=True).why == ""}
    assert admitted == {verb for verb, rule in MATRIX.items() if rule.everybody}


def test_an_unknown_verb_is_refused() -> None:
    assert judge("POST /orders/{}/pay", only(PersonRole.SUPERVISOR), signed_in=True).code == "no_such_verb"


@pytest.mark.parametrize("kind", DECISIONS)
def test_a_decision_is_for_its_roles(kind: str) -> None:
    rule = DECISIONS[kind]
    for role, second in product(PersonRole, (False, True)):
        assert (judge_decision(kind, only(role), second=second) == "") == (
            role in (rule.approve if second else rule.propose)
        ), (role, second)
        assert judge_decision("nothing", only(role), second=second) != ""


def test_no_administrator_decides_about_money_and_no_money_role_about_people() -> None:
    for kind, rule in DECISIONS.items():
        if kind == "policy":
            # Administrators propose approval policies; a supervisor may be the second person.
            assert rule.propose <= ADMIN_ROLES
            continue
        about_people = kind in ("enrol", "roles", "deactivate", "reset")
        assert (rule.propose | rule.approve) <= (ADMIN_ROLES if about_people else MONEY_ROLES), kind


def test_finance_looks_in_its_scope_only() -> None:
    for verb in ("GET /today", "GET /orders", "GET /orders/{}"):
        assert judge(verb, only(PersonRole.VIEWER), signed_in=True).scope == ACME


def test_the_auditor_changes_nothing() -> None:
    changing = {
        verb for verb, rule in MATRIX.items() if PersonRole.AUDIT_ADMIN in rule.roles and verb.startswith("POST")
    }
    own = {
        "POST /factors/password",
        "POST /factors/password/confirm",
        "POST /factors/passkey",
        "POST /delegations/{}/end",
        "POST /web/renew",
        "POST /web/sign-out",
        "POST /web/refused",
        "POST /web/step-up",
        "POST /web/step-up/passkey",
        "POST /web/exports/reports/{}",
    }
    assert changing == own, "what the auditor may change is about the auditor's own self"


def test_who_may_sign_a_decision_may_ask_for_its_verbs() -> None:
    for kind, rule in DECISIONS.items():
        assert (
            rule.propose <= MATRIX["POST /proposals"].roles and rule.propose <= MATRIX["POST /proposals/draft"].roles
        ), kind
        assert rule.approve <= MATRIX["POST /proposals/{}/approve"].roles, kind
