"""`bankgw delegations`: for some days, a person lets another act in roles of theirs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket

_COLUMNS = {
    "delegation": "delegation", "delegator": "from", "delegate": "to", "roles": "roles", "scope": "scope",
    "until": "until", "reason": "reason",
}  # fmt: skip


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Delegation of roles for at most 30 days.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_delegations)
    group.command("make")(make)
    group.command("end")(end)
    return group


def list_delegations(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List delegations, the newest first, also those that ended."""
    with output.asking():
        said = output.remote(context, config, socket).get("delegations")
    output.show(said, as_json=as_json,
                words=lambda page: output.table(page["delegations"], _COLUMNS, "no delegations"))  # fmt: skip


def make(
    context: typer.Context,
    delegate: Annotated[str, typer.Argument(metavar="NAME", help="Who acts for you.")],
    roles: Annotated[str, typer.Option("--roles", help="Roles of yours, with commas between.")],
    reason: ReasonOption,
    scope: Annotated[str, typer.Option("--scope", help="Where: *, or company:NAME and account:NUMBER with +.")] = "*",
    days: Annotated[float, typer.Option("--days", help="From now on; at most 30.")] = 7.0,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Delegate roles of yours to another person, from now on. The two of you count as one where two are needed."""
    with output.asking():
        said = output.remote(context, config, socket).post(
            "delegations", delegate=delegate, roles=roles, scope=scope, days=days, reason=reason
        )
    output.show(said, as_json=as_json, words=_state)


def end(
    context: typer.Context,
    delegation: Annotated[str, typer.Argument(metavar="DELEGATION", help="Its key, as `list` shows it.")],
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """End a delegation that you made or that was made to you."""
    with output.asking():
        said = output.remote(context, config, socket).post("delegations", delegation, "end", reason=reason)
    output.show(said, as_json=as_json, words=_state)


def _state(one: Any) -> None:
    output.say(f"delegation {one['delegation']}: {one['delegate']} acts as {one['roles']} for {one['delegator']} in "
               f"{one['scope']} until {one['until']}")  # fmt: skip
