"""`bankgw roles`: the roles of each person, the first two administrators, and changes that two administrators sign."""

from __future__ import annotations

from typing import Any

from gateway.cli import exit_codes, output


def canonical(roles: str) -> str:
    """The roles in the form in which they are signed. Ends the command for roles that are not valid."""
    from gateway.people.rules import grants

    try:
        return grants.parse(roles).text()
    except ValueError as error:
        output.leave(exit_codes.USAGE, (f"--roles: {error}", f"--roles 无法采用：\n{error}"))


def in_one_way(given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the roles in the form in which they are signed."""
    return {**given, "roles": canonical(given["roles"])}
