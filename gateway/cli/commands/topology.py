"""`bankgw topology export`: the gateway's objects on the broker, as RabbitMQ definitions."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import FullHelpGroup

# RabbitMQ accepts nearly any name. A blank in one is a mistake of the shell.
_BROKER_NAME = re.compile(r"[^\s\x00-\x1f]+")


def application() -> typer.Typer:
    """The group `bankgw topology`."""
    group = typer.Typer(help="What the gateway needs on the broker.", no_args_is_help=True, cls=FullHelpGroup)
    group.command("export")(export)
    # There is only one command: without this group typer would drop the verb.
    group.callback()(_topology)
    return group


def _topology() -> None:
    """The objects that the gateway needs on the broker."""


def export(
    vhost: Annotated[str, typer.Option(help="The virtual host to define.")] = "bankgw",
    user: Annotated[str, typer.Option(help="The gateway's broker user.")] = "bankgw",
    sender: Annotated[
        list[str] | None, typer.Option(metavar="NAME=USER[,USER]", help="A sender and its broker users; repeatable.")
    ] = None,
) -> None:
    """Print exchanges, queues, rights and policies as RabbitMQ definitions, for `rabbitmqctl import_definitions`."""
    from gateway.erp.definitions import SenderAccess, definitions
    from gateway.erp.topology import standard
    from gateway.settings.values import SLUG

    access = []
    for option, value in (("--vhost", vhost), ("--user", user)):
        if not _BROKER_NAME.fullmatch(value):
            output.leave(
                exit_codes.USAGE,
                (f"{option} {value!r}: write a name without blanks", f"{option} {value!r}：名称不能含空白"),
            )
    for one in sender or ["demo=erp-demo"]:
        name, _equals, users = one.partition("=")
        if not re.fullmatch(SLUG, name) or not all(map(_BROKER_NAME.fullmatch, users.split(","))):
            output.leave(
                exit_codes.USAGE,
                (
                    f"--sender {one}: write NAME=USER, or NAME=USER,USER; NAME is the sender's in the settings "
                    "(a-z, 0-9 and _), users have no blanks",
                    f"--sender {one}：应写作 NAME=USER，或 NAME=USER,USER；NAME 为设置中来源系统的名称"
                    "（a-z、0-9 与 _），用户名不含空白",
                ),
            )
        access.append(SenderAccess(name, tuple(users.split(","))))
    output.dump(definitions(standard(), vhost=vhost, gateway_user=user, senders=access))
