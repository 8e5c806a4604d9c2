"""Delegation: for some days, a person lets another act in roles of theirs. No chains, at most 30 days, one seat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.people.rules.grants import Grants
from gateway.people.rules.roles import ADMIN_ROLES, PersonRole, why_not_together
from gateway.people.rules.scopes import Scope

MOST_DAYS = 30
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Delegation:
    """A delegation of roles: `delegate` acts in the delegator's `roles` within `scope`, from `from_ms` until before
    `until_ms`."""

    delegator: str
    delegate: str
    roles: frozenset[PersonRole]
    scope: Scope
    from_ms: int
    until_ms: int

    def in_force(self, now_ms: int) -> bool:
        """True between the delegation's start and end."""
        return self.from_ms <= now_ms < self.until_ms


def why_not(wanted: Delegation, delegator: Grants, delegate: Grants, others: Iterable[Delegation], now_ms: int) -> str:
    """Why this delegation is not possible; "" if it is. `others` are the delegations not ended, including those that
    begin later."""
    if wanted.delegator == wanted.delegate:
        return "a person cannot delegate to themselves"
    if not wanted.roles or wanted.scope.empty:
        return "name at least one role, and where it holds"
    if wanted.roles & ADMIN_ROLES:
        return "administrator roles are not delegated; have two persons change the roles"
    if wanted.until_ms <= max(wanted.from_ms, now_ms):
        return "it would end before it begins, or has ended already"
    if wanted.until_ms - min(wanted.from_ms, now_ms) > MOST_DAYS * DAY_MS:
        return f"it would last more than {MOST_DAYS} days from now; delegate again later"
    for role in sorted(wanted.roles):
        if role not in delegator.roles:
            return f"{wanted.delegator} is no {role.value}, and what is delegated to a person is not passed on"
        if not wanted.scope.within(delegator.where({role})):
            return f"{wanted.delegator} is {role.value} only at {delegator.where({role}).text()}"
    why = why_not_together(delegate.roles | wanted.roles)
    if why:
        return f"{wanted.delegate} cannot take it: {why}"
    return _why_a_chain(wanted, others)


def _why_a_chain(wanted: Delegation, others: Iterable[Delegation]) -> str:
    for other in others:
        if other.until_ms <= wanted.from_ms or wanted.until_ms <= other.from_ms:
            continue
        if other.delegate == wanted.delegator:
            return f"{wanted.delegator} is the delegate of {other.delegator} then, and there are no chains"
        if other.delegator == wanted.delegate:
            return f"{wanted.delegate} has delegated to {other.delegate} then, and there are no chains"
    return ""


def effective(
    person: str, own: Grants, all_grants: Mapping[str, Grants], given: Iterable[Delegation], now_ms: int
) -> Grants:
    """A person's present rights: own grants, and delegated ones, limited to what the delegator has at this moment."""
    scopes: dict[PersonRole, Scope] = dict(own.scope_of)
    for one in given:
        if one.delegate != person or not one.in_force(now_ms):
            continue
        delegator = all_grants.get(one.delegator, Grants())
        for role in one.roles & delegator.roles:
            scope = one.scope.common(delegator.where({role}))
            # The delegate may have become an administrator since.
            if not scope.empty and not why_not_together(own.roles | {role}):
                scopes[role] = scopes[role].joined(scope) if role in scopes else scope
    return Grants(tuple(sorted(scopes.items(), key=lambda item: item[0].value)))


def one_seat(first: str, second: str, given: Iterable[Delegation], now_ms: int) -> bool:
    """True if the two persons count as one where two are needed: they are the same person, or connected by delegations
    in force, also through a third person who stands in for both."""
    links = [{one.delegator, one.delegate} for one in given if one.in_force(now_ms)]
    seat = {first}
    while True:
        grown = seat.union(*(link for link in links if link & seat))
        if grown == seat:
            return second in seat
        seat = grown
