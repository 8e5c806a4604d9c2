"""`bankgw certificates list`, `check` and `rotate`: the certificate files that the settings name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

_COLUMNS = {"days_left": "days", "role": "role", "place": "settings", "subject": "subject", "not_after": "ends",
            "file": "file"}  # fmt: skip
_BankName = Annotated[str | None, typer.Option("--bank", help="The bank whose next certificate it is.")]


def list_files(context: typer.Context, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List every certificate, authority and revocation list that the settings name, the first to end first."""
    from gateway.control.offline import certificate_files

    settings, now = output.loaded(context, config).settings, output.environment(context).now()
    rows = [asdict(one) for one in certificate_files.listing(settings, now)]
    output.show(rows, as_json=as_json, words=lambda found: output.table(found, _COLUMNS, "no certificates"))


def check_files(
    context: typer.Context,
    bank: _BankName = None,
    next_file: Annotated[
        Path | None, typer.Option("--next", help="The bank's next certificate: say its pin, and whether it is staged.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look for what is wrong with them, or ends within 45 days.

    With --bank and --next: the pin of the bank's next certificate, and whether `pins` has it already. Exit code 1:
    there is something to do.
    """
    from gateway.bank.signers import KeyFileError
    from gateway.control.offline import certificate_files

    settings, now = output.loaded(context, config).settings, output.environment(context).now()
    if next_file is not None:
        if bank is None:
            output.leave(exit_codes.USAGE, "--next needs --bank")
        try:
            pin, tables = certificate_files.staged(settings, bank, next_file)
        except KeyFileError as error:
            output.leave(exit_codes.USAGE, str(error))
        output.show(_staged(pin, tables), as_json=as_json, words=_say_staged)
        raise typer.Exit(exit_codes.OK if all(there for _, pinned, there in tables if pinned) else exit_codes.FAILED)
    rows = [asdict(one) for one in certificate_files.faults(settings, now)]
    output.show(rows, as_json=as_json, words=_say_faults)
    raise typer.Exit(exit_codes.FAILED if rows else exit_codes.OK)


def rotate(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="SETTINGS", help="The table, as `certificates list` names it.")],
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="The new certificate with its chain, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Its private key, PEM.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put the pair back that the last rotation kept.")] = False,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a new certificate and key into the place of the old ones, which are kept beside them.

    The pair is looked at first: key and certificate belong together, are strong enough and good now. The daemon uses
    them for connections from its next reload on. Exit code 3: nothing was changed.
    """
    from gateway.bank.signers import KeyFileError
    from gateway.control.offline import certificate_files

    settings, now = output.loaded(context, config).settings, output.environment(context).now()
    if undo is (certificate is not None or key is not None) or (certificate is None) is not (key is None):
        output.leave(exit_codes.USAGE, "give --certificate and --key, or --undo")
    try:
        if certificate is None or key is None:
            done = certificate_files.undo(settings, place, now)
        else:
            done = certificate_files.rotate(settings, place, certificate, key, now)
    except (certificate_files.NotRotated, KeyFileError) as error:
        output.leave(exit_codes.REFUSED, str(error))
    except OSError as error:
        output.leave(exit_codes.FAILED, f"{error}; nothing is in use yet: mend it and do the same again")
    output.show(asdict(done), as_json=as_json, words=_say_rotation)


def _staged(pin: str, tables: list[tuple[str, bool, bool]]) -> dict[str, Any]:
    rows = [{"settings": place, "pinned": pinned, "staged": there} for place, pinned, there in tables]
    return {"pin": pin, "tables": rows}


def _say_staged(said: Any) -> None:
    output.say(f"pin {said['pin']}")
    for row in said["tables"]:
        if not row["pinned"]:
            output.say(f"{row['settings']}: no pins; the bank's authority is what counts")
        elif row["staged"]:
            output.say(f"{row['settings']}: staged; take the old pin away when the bank has changed over")
        else:
            output.say(f"{row['settings']}: not staged; add it to pins, then bankgw check and reload")


def _say_faults(said: Any) -> None:
    for row in said:
        output.say(f"{row['place']}: {row['what']}; {row['remedy']}")
    if not said:
        output.say("nothing to do within 45 days")


def _say_rotation(said: Any) -> None:
    from gateway.control import service_unit

    output.say(f"{said['subject']}, good until {said['not_after']}, is in {said['certificate']}")
    kept = ", ".join(said["kept"]) or "nothing"
    output.say(f"the old one is good for {said['overlap_days']} days more; kept: {kept}")
    for note in said["notes"]:
        output.say(f"note: {note}")
    output.say(f"next: bankgw check; then {service_unit.reload()}; then bankgw lanes probe shows the new one in use")
