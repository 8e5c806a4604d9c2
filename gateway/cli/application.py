"""`bankgw`: one command with nouns and verbs, listed in groups. The reference page is generated from here.

Command modules import what is heavy inside their functions, so that `--version`, `--help` and commands that only ask
the daemon start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands import run
from gateway.cli.help_pages import GroupedListing

if TYPE_CHECKING:
    from gateway.cli.environment import Environment

HELP = """银企直联网关 — carries payment orders from RabbitMQ to banks and back. Every payment, exactly once.

Exit codes: 0 done · 1 failed · 2 wrong command line · 3 refused or waits for approval · 4 in doubt ·
69 unavailable · 78 wrong settings · 141 the output was cut off."""

# What a wrong command line raises; typer exports only this descendant of it.
_WRONG_WORDS: Any = typer.BadParameter.__mro__[2]


def application(*, daemon: bool = False) -> typer.Typer:
    """All commands, or only that of the daemon. The environment is the context's object."""
    app = typer.Typer(
        name="bankgw", help=HELP, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]}, cls=GroupedListing,
    )  # fmt: skip
    app.callback()(_options)
    if daemon:
        app.command("run")(run.run)
    else:
        from gateway.cli import every_command

        every_command.add(app)
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
    """Run one command line; returns its exit code. With `--json` a wrong command line is told in JSON, too."""
    output.tell_errors_in_words()
    words = sys.argv[1:] if arguments is None else list(arguments)
    command: Any = typer.main.get_command(application(daemon=words[:1] == ["run"]))
    try:
        result = command.main(args=words, prog_name="bankgw", obj=environment, standalone_mode="--json" not in words)
    except _WRONG_WORDS as wrong:
        output.tell_json_error(wrong.exit_code, [wrong.format_message()])
        return int(wrong.exit_code)
    except typer.Abort:
        output.tell_json_error(exit_codes.FAILED, ["interrupted at a question; nothing was changed"])
        return exit_codes.FAILED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else exit_codes.OK if ended.code is None else exit_codes.FAILED
    return result if isinstance(result, int) else exit_codes.OK
