"""`bankgw doctor`: examine this machine, each finding with its remedy; and make a vault key."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def doctor(
    context: typer.Context,
    config: Config = DEFAULT_CONFIG,
    make_key: Annotated[
        Path | None, typer.Option("--make-key", help="Make a vault key file (mode 0600) there, and do nothing else.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Examine this machine: libraries, settings, broker, journal, clock, certificates, disk. Each line has a fix."""
    from gateway.cli import doctor as examination

    if make_key is not None:
        _make_key(make_key)
        return
    lines = examination.examine(output.environment(context), config)
    if as_json:
        rows = [{"what": one.what, "ok": one.ok, "finding": one.finding, "fix": one.fix} for one in lines]
        output.dump({"ok": all(one.ok for one in lines), "lines": rows})
    else:
        for one in lines:
            mark = ("ok   ", "green") if one.ok else ("WRONG", "bold red")
            output.line(mark, f"  {one.what}: {one.finding}{'' if one.ok else f' → {one.fix}'}")
    if not all(one.ok for one in lines):
        raise typer.Exit(exit_codes.FAILED)


def _make_key(path: Path) -> None:
    from gateway.control.offline import journal_access

    try:
        journal_access.make_key(path)
    except FileExistsError:
        output.leave(exit_codes.REFUSED, f"{path} exists; a vault key is never overwritten: what it sealed would be "
                                         f"lost")  # fmt: skip
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{path} cannot be made: {error.strerror}")
    output.say(f"made {path}. Back it up apart from the database: without it the journal cannot be read.")
    print("give it to the daemon with LoadCredential= or journal.vault_key.file", file=sys.stderr)
