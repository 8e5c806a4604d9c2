"""`bankgw check`: everything that is wrong with the settings and with what they name."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def check(
    context: typer.Context,
    marks: Annotated[
        bool, typer.Option("--marks", help="Print what `environment.others` of other environments takes, as JSON.")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look for everything that is wrong with the settings and what they name. Nothing is changed or started."""
    if marks:
        from gateway.control.offline import environment_marks

        output.dump(environment_marks.portable(output.loaded(context, config).settings))
        return
    from gateway.control.offline import settings_check as checking
    from gateway.settings import BadSettings, read
    from protocols.kit import dsig

    environment = output.environment(context)
    dsig.start()
    try:
        looked = checking.findings(read(config, environment.variables), environment.load_bank, environment.now())
        mistakes, unreachable, notes = looked.mistakes, looked.unreachable, looked.notes
    except BadSettings as error:
        mistakes, unreachable, notes = error.mistakes, (), ()
    code = exit_codes.CONFIG if mistakes else exit_codes.UNAVAILABLE if unreachable else exit_codes.OK
    if as_json:
        rows, noted = ([{"file": one.file, "key": one.key, "remedy": one.remedy} for one in some]
                       for some in ((*mistakes, *unreachable), notes))  # fmt: skip
        output.dump({"ok": code == exit_codes.OK, "mistakes": rows, "notes": noted})
        raise typer.Exit(code)
    if code != exit_codes.OK:
        output.leave(code, *map(str, (*mistakes, *unreachable, *notes)))
    for note in notes:
        output.say(f"{note}")
    output.say(f"{config}: no mistakes found")
