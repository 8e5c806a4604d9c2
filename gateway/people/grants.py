"""Which roles a person has, and where: as a value, and as the one line of text that two persons sign."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.people import scopes
from gateway.people.roles import ADMIN_ROLES, PersonRole, why_not_together
from gateway.people.scopes import NOWHERE, WHOLE, Scope

NONE = "none"


@dataclass(frozen=True, slots=True)
class Grants:
    """A scope for each role that a person has; each role at most once."""

    scope_of: tuple[tuple[PersonRole, Scope], ...] = ()

    @property
    def roles(self) -> frozenset[PersonRole]:
        """The roles, wherever they hold."""
        return frozenset(role for role, _scope in self.scope_of)

    def where(self, roles: Collection[PersonRole]) -> Scope:
        """Where at least one of these roles holds; NOWHERE without any of them."""
        found = NOWHERE
        for role, scope in self.scope_of:
            if role in roles:
                found = found.joined(scope)
        return found

    def text(self) -> str:
        """The one way to write these grants: `approver@company:acme;viewer@*`, sorted; `none` without any."""
        ordered = sorted(self.scope_of, key=lambda item: item[0].value)
        named = (role.value if role in ADMIN_ROLES else f"{role.value}@{scope.text()}" for role, scope in ordered)
        return ";".join(named) or NONE


def parse(text: str) -> Grants:
    """Read grants. Raises ValueError, whose text says what is wrong: an unknown role, a role said twice, roles that one
    person may not hold together, an administrator with a scope."""
    if text.strip() == NONE:
        return Grants()
    found: dict[PersonRole, Scope] = {}
    for part in text.split(";"):
        name, _at, scope = part.strip().partition("@")
        try:
            role = PersonRole(name)
        except ValueError:
            raise ValueError(f"{name!r} is no role; roles are {', '.join(PersonRole)}") from None
        if role in found:
            raise ValueError(f"{role.value} is said twice; join its scopes by +")
        found[role] = scopes.parse(scope or scopes.ANY) if role in ADMIN_ROLES or scope else NOWHERE
        if role in ADMIN_ROLES and found[role] != WHOLE:
            raise ValueError(f"{role.value} has no scope: write {role.value} alone")
        if found[role].empty:
            raise ValueError(f"{role.value} has no scope: write {role.value}@* or {role.value}@company:NAME")
    why = why_not_together(found)
    if why:
        raise ValueError(why)
    return Grants(tuple(sorted(found.items(), key=lambda item: item[0].value)))


SUPERVISOR_EVERYWHERE = Grants(((PersonRole.SUPERVISOR, WHOLE),))
"""What a person may do who was enrolled before there were roles: decide with a second one, as before."""
