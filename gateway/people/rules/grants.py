"""The roles of a person, each with the scope in which it holds: as a value, and as the line of text that two persons
sign."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.language import BilingualText, bilingual, coded, listed
from gateway.people.rules import scopes, signed_text
from gateway.people.rules.roles import ADMIN_ROLES, ROLE_NAMES, PersonRole, why_not_together
from gateway.people.rules.scopes import NOWHERE, WHOLE, Scope

NONE = "none"


@dataclass(frozen=True, slots=True)
class Grants:
    """The roles of a person, each with its scope; each role at most once."""

    scope_of: tuple[tuple[PersonRole, Scope], ...] = ()

    @property
    def roles(self) -> frozenset[PersonRole]:
        """All roles in these grants, whatever their scopes."""
        return frozenset(role for role, _scope in self.scope_of)

    def where(self, roles: Collection[PersonRole]) -> Scope:
        """The scope in which at least one of these roles holds; NOWHERE without any of them."""
        found = NOWHERE
        for role, scope in self.scope_of:
            if role in roles:
                found = found.joined(scope)
        return found

    def text(self) -> str:
        """The canonical text of these grants: `approver@company:acme;viewer@*`, sorted; `none` without any."""
        ordered = sorted(self.scope_of, key=lambda item: item[0].value)
        named = (role.value if role in ADMIN_ROLES else f"{role.value}@{scope.text()}" for role, scope in ordered)
        return ";".join(named) or NONE

    def bilingual(self) -> BilingualText | str:
        """These grants in both languages; in English as `text` writes them."""
        ordered = sorted(self.scope_of, key=lambda item: item[0].value)
        parts = [
            coded(role.value, ROLE_NAMES)
            if role in ADMIN_ROLES
            else bilingual(
                "{role}@{scope}", "{role}：{scope}", role=coded(role.value, ROLE_NAMES), scope=scope.bilingual()
            )
            for role, scope in ordered
        ]
        return listed(parts, (";", "；")) if parts else coded(NONE, signed_text.NONE)


def parse(text: str) -> Grants:
    """Read grants. Raises ValueError, whose text says what is wrong: an unknown role, a role that occurs twice, roles
    that one person may not hold together, an administrator with a scope.
    """
    if text.strip() == NONE:
        return Grants()
    found: dict[PersonRole, Scope] = {}
    for part in text.split(";"):
        name, _at, scope = part.strip().partition("@")
        try:
            role = PersonRole(name)
        except ValueError:
            raise ValueError(f"{name!r} is not a role; the roles are {', '.join(PersonRole)}") from None
        if role in found:
            raise ValueError(f"{role.value} is given twice; join its scopes with +")
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
"""The grants of a person who was enrolled before roles existed: to decide together with a second person, as before."""
