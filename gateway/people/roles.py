"""The roles of persons, and which of them one person may hold together.

Three administrator roles (system, security, audit) are apart from the money roles and from each other, as the third
level of 等保2.0 (GB/T 22239-2019, 8.1.5.1 to 8.1.5.3) asks: who gives rights never moves money, and is reviewed by
somebody else.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class PersonRole(StrEnum):
    """What a person may be. Each role but those of administrators holds within a scope of companies and accounts."""

    VIEWER = "viewer"
    MAKER = "maker"
    APPROVER = "approver"
    SUPERVISOR = "supervisor"
    SYSTEM_ADMIN = "system_admin"
    SECURITY_ADMIN = "security_admin"
    AUDIT_ADMIN = "audit_admin"


ADMIN_ROLES = frozenset({PersonRole.SYSTEM_ADMIN, PersonRole.SECURITY_ADMIN, PersonRole.AUDIT_ADMIN})
MONEY_ROLES = frozenset(PersonRole) - ADMIN_ROLES

MEANING: dict[PersonRole, str] = {
    PersonRole.VIEWER: "查询: sees balances, orders and reports in its scope",
    PersonRole.MAKER: "经办: makes payment orders in its scope",
    PersonRole.APPROVER: "复核: approves payment orders in its scope that another person made",
    PersonRole.SUPERVISOR: "主管: with a second one, decides payments in doubt, payees, and the end of a stop",
    PersonRole.SYSTEM_ADMIN: "系统管理员: runs lanes and messages; second person for changes of people",
    PersonRole.SECURITY_ADMIN: "安全管理员: proposes who is enrolled and which roles a person has",
    PersonRole.AUDIT_ADMIN: "审计管理员: reviews people, roles, decisions and orders; changes nothing",
}


def why_not_together(roles: Collection[PersonRole]) -> str:
    """Why one person may not hold all of these roles; "" if one may."""
    admin = sorted(ADMIN_ROLES & set(roles))
    if len(admin) > 1:
        return f"{' and '.join(admin)} are apart: one person holds one administrator role"
    money = sorted(MONEY_ROLES & set(roles))
    if admin and money:
        return f"{admin[0]} is apart from {', '.join(money)}: an administrator holds no role about money"
    return ""
