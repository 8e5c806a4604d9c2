"""`bankgw`: one command with nouns and verbs. Exit codes are in `codes`; the manual page is generated from here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes
from gateway.cli.commands import (
    audit,
    backup,
    certificates,
    directory,
    explain,
    lanes,
    orders,
    parked,
    payees,
    persons,
    rename,
    resolve,
    send,
    service,
    site,
    stop,
    support,
    today,
)
from gateway.cli.environment import Environment

HELP = """银企直联网关 — carries payment orders from RabbitMQ to banks and back. Every payment, exactly once.

Exit codes: 0 done · 1 failed · 2 wrong command line · 3 refused or waits for approval · 4 in doubt ·
69 unavailable · 78 wrong settings · 141 the output was cut off."""


def application() -> typer.Typer:
    """All commands. `World` is handed in as the context's object."""
    app = typer.Typer(
        name="bankgw", help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )  # fmt: skip
    app.callback()(_options)
    service.add(app)
    site.add(app)
    send.add(app)
    today.add(app)
    directory.add(app)
    explain.add(app)
    resolve.add(app)
    stop.add(app)
    backup.add(app)
    support.add(app)
    app.add_typer(audit.application(), name="audit")
    app.add_typer(orders.application(), name="orders")
    app.add_typer(lanes.application(), name="lanes")
    app.add_typer(parked.application(), name="parked")
    app.add_typer(certificates.application(), name="certificates")
    app.add_typer(persons.application(), name="persons")
    app.add_typer(rename.senders(), name="senders")
    app.add_typer(payees.application(), name="payees")
    return app


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        print(f"bankgw {context.obj.version()}")
        raise typer.Exit(exit_codes.OK)


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main(environment: Environment, arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    command: Any = typer.main.get_command(application())
    try:
        result = command.main(args=None if arguments is None else list(arguments), prog_name="bankgw", obj=environment,
                              standalone_mode=True)  # fmt: skip
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else exit_codes.OK if ended.code is None else exit_codes.FAILED
    return result if isinstance(result, int) else exit_codes.OK
