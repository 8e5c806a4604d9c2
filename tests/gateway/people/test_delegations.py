"""Delegation: of own roles in the own scope, for 30 days at most, without chains; the two persons count as one seat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.people.rules.delegations import DAY_MS, Delegation, effective, one_seat, why_not
from gateway.people.rules.grants import Grants, parse
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.scopes import WHOLE, Scope

NOW = 1_800_000_000_000
ACME = Scope(frozenset({"acme"}))
WANG, LI = parse("approver@company:acme+company:sub;viewer@*"), parse("viewer@*")
GIVEN = Delegation("wang", "li", frozenset({PersonRole.APPROVER}), ACME, NOW, NOW + 30 * DAY_MS)


def why(others: tuple[Delegation, ...] = (), taker: Grants = LI, **changed: Any) -> str:
    return why_not(replace(GIVEN, **changed), WANG, taker, others, NOW)


def test_own_roles_in_own_scope_are_delegated() -> None:
    assert why() == ""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"delegate": "wang"}, "themselves"),
        ({"roles": frozenset()}, "at least one role"),
        ({"scope": Scope()}, "at least one role"),
        ({"until_ms": NOW}, "ended already"),
        ({"until_ms": NOW + 30 * DAY_MS + 1}, "more than 30 days"),
        ({"from_ms": NOW + DAY_MS, "until_ms": NOW + 31 * DAY_MS}, "more than 30 days"),
        ({"from_ms": NOW - DAY_MS}, "more than 30 days"),
        ({"roles": frozenset({PersonRole.MAKER})}, "wang is no maker"),
        ({"scope": WHOLE}, "wang is approver only at"),
        ({"roles": frozenset({PersonRole.AUDIT_ADMIN})}, "not delegated"),
    ],
)
def test_what_cannot_be_delegated(changed: dict[str, Any], said: str) -> None:
    assert said in why(**changed)


def test_an_administrator_takes_no_money_role() -> None:
    assert "cannot be held together" in why(taker=parse("security_admin"))


def test_there_are_no_chains_in_either_direction() -> None:
    before = replace(GIVEN, delegator="zhao", delegate="wang")
    after = replace(GIVEN, delegator="li", delegate="zhao")
    assert "no chains" in why((before,))
    assert "no chains" in why((after,))
    over = replace(before, from_ms=NOW - DAY_MS, until_ms=NOW)
    assert why((over,)) == ""


def test_what_is_delegated_holds_while_the_delegator_has_it() -> None:
    everyone = {"wang": WANG, "li": LI}
    now = effective("li", LI, everyone, [GIVEN], NOW)
    assert now.text() == "approver@company:acme;viewer@*"
    assert effective("wang", WANG, everyone, [GIVEN], NOW) == WANG
    assert effective("li", LI, everyone, [GIVEN], GIVEN.until_ms) == LI
    assert effective("li", LI, everyone, [GIVEN], NOW - 1) == LI
    assert effective("li", LI, {**everyone, "wang": parse("viewer@*")}, [GIVEN], NOW) == LI
    assert effective("li", LI, {"li": LI}, [GIVEN], NOW) == LI
    assert effective("li", LI, {**everyone, "wang": parse("approver@company:sub")}, [GIVEN], NOW) == LI
    assert effective("li", parse("audit_admin"), everyone, [GIVEN], NOW) == parse("audit_admin")


def test_what_is_delegated_is_not_passed_on() -> None:
    # Even if a chain got into the journal: only the delegator's own grants count.
    chain = [replace(GIVEN, delegator="wang", delegate="li"), replace(GIVEN, delegator="li", delegate="zhao")]
    everyone = {"wang": WANG, "li": LI, "zhao": Grants()}
    assert effective("zhao", Grants(), everyone, chain, NOW) == Grants()


def test_delegator_and_delegate_are_one_seat() -> None:
    other = replace(GIVEN, delegator="zhao")
    assert one_seat("wang", "wang", [], NOW)
    assert not one_seat("wang", "li", [], NOW)
    assert one_seat("wang", "li", [GIVEN], NOW) and one_seat("li", "wang", [GIVEN], NOW)
    assert one_seat("wang", "zhao", [GIVEN, other], NOW), "li stands in for both"
    assert not one_seat("wang", "qian", [GIVEN, other], NOW)
    assert not one_seat("wang", "li", [GIVEN], GIVEN.until_ms)
