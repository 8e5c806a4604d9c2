"""Roles, scopes and grants: which roles may be held together, and that each grant has one written form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.people.rules import grants, scopes
from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import ADMIN_ROLES, MEANING, MONEY_ROLES, PersonRole, why_not_together
from gateway.people.rules.scopes import NOWHERE, WHOLE, Scope

NAMES = st.frozensets(st.sampled_from(["acme", "sub_1", "other"]), max_size=3)
ACCOUNTS = st.frozensets(st.sampled_from(["00001111", "00002222"]), max_size=2)
SCOPES = st.one_of(st.just(WHOLE), st.builds(Scope, NAMES, ACCOUNTS))


def test_administrators_are_apart_from_money_and_from_each_other() -> None:
    assert len(ADMIN_ROLES) == 3
    for admin in ADMIN_ROLES:
        assert why_not_together({admin}) == ""
        for other in set(PersonRole) - {admin}:
            assert why_not_together({admin, other}) != "", (admin, other)
    assert why_not_together(MONEY_ROLES) == ""
    assert set(MEANING) == set(PersonRole)


@given(SCOPES, SCOPES, NAMES, ACCOUNTS)
def test_scopes_are_sets_of_own_accounts(
    a: Scope, b: Scope, companies: frozenset[str], accounts: frozenset[str]
) -> None:
    for company in companies | {"none_such"}:
        for account in accounts | {"99999999"}:
            in_a, in_b = a.covers(company, account), b.covers(company, account)
            assert a.joined(b).covers(company, account) == (in_a or in_b)
            assert not a.common(b).covers(company, account) or (in_a and in_b)
            assert not a.within(b) or not in_a or in_b
    assert a.within(a.joined(b)) and a.common(b).within(a)
    assert a.empty or scopes.parse(a.text()) == a


@pytest.mark.parametrize("text", ["", "acme", "company:", "company:ACME", "account:1", "*+company:acme", "company:a,b"])
def test_what_is_no_scope(text: str) -> None:
    with pytest.raises(ValueError, match="is not a scope"):
        scopes.parse(text)


def test_grants_are_written_in_one_way() -> None:
    made = grants.parse(" viewer@* ; approver@account:00001111+company:acme")
    assert made.text() == "approver@company:acme+account:00001111;viewer@*"
    assert grants.parse(made.text()) == made
    assert made.where({PersonRole.APPROVER}) == Scope(frozenset({"acme"}), frozenset({"00001111"}))
    assert made.where({PersonRole.MAKER}) == NOWHERE
    assert grants.parse("none") == Grants() and Grants().text() == "none"
    assert grants.parse("security_admin").where({PersonRole.SECURITY_ADMIN}) == WHOLE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("boss@*", "is not a role"),
        ("viewer", "has no scope: write viewer@"),
        ("viewer@*;viewer@company:acme", "given twice"),
        ("audit_admin@company:acme", "has no scope: write audit_admin alone"),
        ("audit_admin;viewer@*", "cannot be held together with"),
        ("audit_admin;system_admin", "cannot be held by one person"),
        ("", "is not a role"),
        ("viewer@everything", "is not a scope"),
    ],
)
def test_grants_that_cannot_be(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        grants.parse(text)
