"""The roles of persons, and which of them one person may hold together.

Three administrator roles (system, security, audit) are separate from the money roles and from each other, as the third
level of 等保2.0 (GB/T 22239-2019, 8.1.5.1 to 8.1.5.3) requires: a person who gives rights never moves money, and is
reviewed by another person.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum


class PersonRole(StrEnum):
    """The roles of a person. Every role except an administrator's holds within a scope of companies and accounts."""

    VIEWER = "viewer"
    MAKER = "maker"
    APPROVER = "approver"
    SUPERVISOR = "supervisor"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDIT_ADMIN = "audit_admin"


ADMIN_ROLES = frozenset({PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN, PersonRole.AUDIT_ADMIN})
MONEY_ROLES = frozenset(PersonRole) - ADMIN_ROLES
# Groups of roles that acts name.
EVERY_ROLE = frozenset(PersonRole)
READERS = MONEY_ROLES | {PersonRole.AUDIT_ADMIN}
RUNNERS = frozenset({PersonRole.SYSTEM_ADMIN})
SUPERVISORS = frozenset({PersonRole.SUPERVISOR})
# A person who reconciles has neither made nor approved the payments that are reconciled (不相容职务分离).
KEEPERS = frozenset({PersonRole.VIEWER, PersonRole.SUPERVISOR})
LOOK_AT_PEOPLE = ADMIN_ROLES | {PersonRole.SUPERVISOR}
DECIDERS = frozenset({PersonRole.SUPERVISOR, PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN})
SECURITY_ADMINS = frozenset({PersonRole.SECURITY_ADMIN})
TWO_ADMINS = frozenset({PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN})

ROLE_NAMES: Mapping[str, str] = {
    PersonRole.VIEWER: "查询",
    PersonRole.MAKER: "经办",
    PersonRole.APPROVER: "复核",
    PersonRole.SUPERVISOR: "主管",
    PersonRole.SYSTEM_ADMIN: "系统管理员",
    PersonRole.SECURITY_ADMIN: "安全管理员",
    PersonRole.AUDIT_ADMIN: "审计管理员",
}
"""The Chinese name of each role, as texts that persons sign have it."""
_MEANING = {
    PersonRole.VIEWER: "sees balances, orders and reports in its scope",
    PersonRole.MAKER: "makes payment orders in its scope",
    PersonRole.APPROVER: "approves payment orders in its scope that another person made",
    PersonRole.SUPERVISOR: "with a second one, decides payments in doubt, payees, and the end of a stop",
    PersonRole.SYSTEM_ADMIN: "runs lanes and messages; second person for changes of people",
    PersonRole.SECURITY_ADMIN: "proposes who is enrolled and which roles a person has",
    PersonRole.AUDIT_ADMIN: "reviews people, roles, decisions and orders; changes nothing",
}
MEANING: dict[PersonRole, str] = {role: f"{ROLE_NAMES[role]}: {said}" for role, said in _MEANING.items()}


def why_not_together(roles: Collection[PersonRole]) -> str:
    """Why one person may not hold all of these roles; "" if one may."""
    admin = sorted(ADMIN_ROLES & set(roles))
    if len(admin) > 1:
        return f"{' and '.join(admin)} cannot be held by one person: a person holds one administrator role"
    money = sorted(MONEY_ROLES & set(roles))
    if admin and money:
        return f"{admin[0]} cannot be held together with {', '.join(money)}: an administrator holds no role about money"
    return ""
