"""`bankgw directory`: look a branch's payment-system number (联行号) up in a bank's own directory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket

_COLUMNS = {"cnaps": "number", "name": "branch", "bank_name": "bank", "city": "city"}
PATIENCE_S = 150.0
"""The bank is asked page by page."""


def directory(
    context: typer.Context,
    bank: Annotated[str, typer.Argument(metavar="BANK", help="Whom to ask: the name of its table in the settings.")],
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="What the branch's name holds.")] = None,
    cnaps: Annotated[str | None, typer.Option(metavar="NUMBER", help="The branch's 12-digit number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 50,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Ask a bank which branches have a name, or a number (联行号). Exit 0 also when it knows none.

    Exit 3 when the bank has no directory, 69 when no lane of it can be asked or it does not answer, 1 when its answer
    is a refusal or cannot be used.
    """
    if (text is None) == (cnaps is None):
        output.leave(exit_codes.USAGE, "name a text or --cnaps NUMBER, one of them")
    with output.asking():
        remote = output.remote(context, config, socket, PATIENCE_S)
        said = remote.get("directory", bank, name=text, cnaps=cnaps, limit=limit)
    output.show(said, as_json=as_json, words=_words)


def _words(said: Any) -> None:
    output.table(said["branches"], _COLUMNS, f"{said['bank']} knows no such branch")
    if said["cut"]:
        output.say("there may be more: say more of the name, or raise --limit")
