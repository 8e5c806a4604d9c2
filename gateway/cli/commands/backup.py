"""`bankgw backup`: a copy of the journal while the gateway works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def backup(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="New file for the copy, or a folder in which it is "
                             "named by the time. A name without an ending is a folder's, made if it is not there.")
    ],
    off_host: Annotated[
        str | None, typer.Option(metavar="FOLDER|HOST:FOLDER", help="Then copy it there: a mounted folder of another "
                                 "disk, or another machine by rsync over SSH.")
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Then delete all but so many of this node's backups in the folder.")
    ] = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy the journal, with a manifest (FILE.json) beside it, while the gateway works. Mode 0600; what is sealed stays
    sealed. Neither the vault's key nor the permit log is in it: back the key up apart, and never copy the log."""
    from gateway.control.offline import backup as offline
    from gateway.control.offline import backup_copies

    settings, environment = settings_of(context, config), output.environment(context)
    access, now = access_of(settings, vault_key, password), environment.now()
    if not target.suffix and not target.exists():
        _make_folder(target)
    if target.is_dir():
        suffix = "db" if settings.journal_url().startswith("sqlite") else "dump"
        target = target / f"bankgw-{settings.node}-{now:%Y%m%dT%H%M%SZ}.{suffix}"
    try:
        made = offline.back_up(settings, access, environment.version(), now, target)
        sent = None if off_host is None else backup_copies.send(target, off_host)
        # Last: what the other machine did not get stays here.
        gone = [] if keep is None else backup_copies.thin_out(target, settings.node, keep)
    except offline.NoBackup as error:
        output.leave(exit_codes.FAILED, str(error))

    def words(said: Any) -> None:
        holds = f"{said['bytes']} bytes, {said['payments']} payments, schema {said['schema']}"
        output.say(f"wrote {said['path']}: {holds}")
        if sent is not None:
            output.say(f"copied to {sent}")
        for one in gone:
            output.say(f"deleted {one}: {keep} newer ones are kept")
        output.say(f"its manifest is {said['path']}.json; it needs vault key {said['vault_key']}, which is not in it")

    output.show({"path": str(target), "off_host": sent, "deleted": gone, **made}, as_json=as_json, words=words)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        output.leave(exit_codes.FAILED, f"the folder {folder} cannot be made ({error.strerror}); make it, or name "
                       "a file with an ending, such as copy.db. Nothing was copied")  # fmt: skip
