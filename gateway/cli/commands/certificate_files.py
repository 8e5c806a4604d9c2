"""`bankgw certificates list`, `check` and `rotate`: the certificate files that the settings name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

_COLUMNS = {
    "days_left": "days",
    "role": "role",
    "place": "settings",
    "subject": "subject",
    "not_after": "ends",
    "file": "file",
}
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
    """Find faults of the certificate files, and certificates that end within 45 days.

    With --bank and --next: shows the pin of the bank's next certificate, and whether `pins` has it already. Exit code
    1: something must be done.
    """
    from gateway.bank.signers import KeyFileError
    from gateway.control.offline import certificate_files

    settings, now = output.loaded(context, config).settings, output.environment(context).now()
    if next_file is not None:
        if bank is None:
            output.leave(exit_codes.USAGE, ("--next needs --bank", "--next 须与 --bank 同用"))
        try:
            pin, tables = certificate_files.staged(settings, bank, next_file)
        except KeyFileError as error:
            output.leave(exit_codes.USAGE, output.explained(error, "证书文件无法使用："))
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

    The pair is checked first: key and certificate must belong together, be strong enough and be valid now. The daemon
    uses them for connections from its next reload on. Exit code 3: nothing was changed.
    """
    from gateway.bank.signers import KeyFileError
    from gateway.control.offline import certificate_files

    settings, now = output.loaded(context, config).settings, output.environment(context).now()
    if undo is (certificate is not None or key is not None) or (certificate is None) is not (key is None):
        output.leave(
            exit_codes.USAGE, ("give --certificate and --key, or --undo", "请给出 --certificate 与 --key，或 --undo")
        )
    try:
        if certificate is None or key is None:
            done = certificate_files.undo(settings, place, now)
        else:
            done = certificate_files.rotate(settings, place, certificate, key, now)
    except (certificate_files.NotRotated, KeyFileError) as error:
        output.leave(exit_codes.REFUSED, output.explained(error, "未更换，未作任何更改："))
    except OSError as error:
        output.leave(
            exit_codes.FAILED,
            (
                f"{error}; nothing is in use yet: mend it and do the same again",
                f"{error}；新证书尚未使用：请排除后再次执行",
            ),
        )
    output.show(asdict(done), as_json=as_json, words=_say_rotation)


def _staged(pin: str, tables: list[tuple[str, bool, bool]]) -> dict[str, Any]:
    rows = [{"settings": place, "pinned": pinned, "staged": there} for place, pinned, there in tables]
    return {"pin": pin, "tables": rows}


def _say_staged(said: Any) -> None:
    output.say((f"pin {said['pin']}", f"指纹 {said['pin']}"))
    for row in said["tables"]:
        table = row["settings"]
        if not row["pinned"]:
            told = ("no pins; the bank's authority is what counts", "未设 pins，以银行的证书机构为准")
        elif row["staged"]:
            told = ("staged; take the old pin away when the bank has changed over", "已列入；银行更换之后请删去旧指纹")
        else:
            told = (
                "not staged; add it to pins, then bankgw check and reload",
                "未列入；请加入 pins，再 bankgw check 并重新加载",
            )
        output.say((f"{table}: {told[0]}", f"{table}：{told[1]}"))


def _say_faults(said: Any) -> None:
    for row in said:
        output.say(f"{row['place']}: {row['what']}; {row['remedy']}")
    if not said:
        output.say(("nothing to do within 45 days", "45 天内无事可办"))


def _say_rotation(said: Any) -> None:
    from gateway.control import service_unit

    subject, until, place = said["subject"], said["not_after"], said["certificate"]
    output.say((f"{subject}, good until {until}, is in {place}", f"{subject}，有效期至 {until}，已在 {place}"))
    kept, days = ", ".join(said["kept"]), said["overlap_days"]
    output.say(
        (
            f"the old one is good for {days} days more; kept: {kept or 'nothing'}",
            f"旧证书还有 {days} 天有效；保留：{kept or '无'}",
        )
    )
    for note in said["notes"]:
        output.say((f"note: {note}", f"注：{note}"))
    reload = service_unit.reload()
    output.say(
        (
            f"next: bankgw check; then {reload[0]}; then bankgw lanes probe shows the new one in use",
            f"接着：bankgw check；然后 {reload[1]}；再以 bankgw lanes probe 确认已使用新证书",
        )
    )
