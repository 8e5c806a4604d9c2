"""`bankgw roles`: who has which roles, the first two administrators, and changes that two administrators sign."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, Pen, Yes, propose

RolesOption = Annotated[
    str, typer.Option("--roles", help="As approver@company:acme+account:0000123;viewer@* or security_admin, or none.")
]
_COLUMNS = {"person": "person", "state": "state", "roles": "roles", "now": "with delegations"}


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Roles of persons, and where they hold.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_roles)
    group.command("ceremony")(ceremony)
    group.command("set")(set_roles)
    return group


def list_roles(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List every person's roles, with those that hold by delegation now."""
    with output.asking():
        said = output.remote(context, config, socket).get("roles")

    def words(page: Any) -> None:
        output.table(page["persons"], _COLUMNS, "nobody")
        if page["ceremony_open"]:
            output.say("there are no two administrators yet: sudo bankgw roles ceremony NAME NAME --reason ...")

    output.show(said, as_json=as_json, words=words)


def ceremony(
    context: typer.Context,
    security_admin: Annotated[str, typer.Argument(metavar="SECURITY_ADMIN", help="An enrolled person.")],
    system_admin: Annotated[str, typer.Argument(metavar="SYSTEM_ADMIN", help="Another enrolled person.")],
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As root: appoint the first security administrator and the first system administrator, both present. From then on
    root lets nobody in and appoints nobody; two administrators do."""
    with output.asking():
        said = output.remote(context, config, socket).post(
            "ceremony", security_admin=security_admin, system_admin=system_admin, reason=reason
        )

    def words(page: Any) -> None:
        for one in page["persons"]:
            output.say(f"{one['person']}: {one['roles']}")

    output.show(said, as_json=as_json, words=words)


def set_roles(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person's name.")],
    roles: RolesOption,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As security administrator: propose which roles a person has from now on, instead of all present ones. A second
    administrator approves it with `bankgw resolve --approve`."""
    from gateway.control.signed_words import ProposalKind

    wanted = {"kind": ProposalKind.ROLES.value, "subject": name, "to": canonical(roles), "note": reason}
    propose(output.remote(context, config, socket), wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)


def canonical(roles: str) -> str:
    """The one way to write these roles. Ends the command when they cannot be."""
    from gateway.people import grants

    try:
        return grants.parse(roles).text()
    except ValueError as error:
        output.leave(exit_codes.USAGE, f"--roles: {error}")
