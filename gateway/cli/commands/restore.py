"""`bankgw restore`: put a copy of the journal into an empty database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config

if TYPE_CHECKING:
    from gateway.control.offline.journal_access import Access
    from gateway.settings import Settings


def restore(
    context: typer.Context,
    copy: Annotated[
        Path, typer.Argument(metavar="FILE", help="A copy that `bankgw backup` made, manifest beside it; with --drill "
                             "also a folder, whose newest is meant.")
    ],
    drill: Annotated[
        bool, typer.Option("--drill", help="Try and time it in a place of its own, which is thrown away. The gateway "
                           "may run.")
    ] = False,
    into: Annotated[
        str | None, typer.Option(metavar="URL", help="With --drill, for PostgreSQL and MySQL: an empty database.")
    ] = None,
    most_s: Annotated[
        float | None, typer.Option("--within", metavar="SECONDS", help="With --drill: exit code 1 if it takes longer.")
    ] = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a copy into the empty place that `journal.url` names, with the gateway stopped. Nothing is overwritten; the
    copy, its manifest and its audit trail are verified first. Then compares it with this machine's permit log."""
    from gateway.control.offline import backup as offline
    from gateway.control.offline.state_lock import NotLocked

    settings = settings_of(context, config)
    if drill:
        _drill(settings, access_of(settings, vault_key, password), copy, into, most_s, as_json=as_json)
        return
    if into is not None or most_s is not None:
        output.leave(exit_codes.USAGE, "--into and --within belong to --drill")
    try:
        done = offline.put_back(settings, access_of(settings, vault_key, password), copy)
    except offline.NoBackup as error:
        output.leave(exit_codes.REFUSED, f"{error}. Nothing was put back")
    except NotLocked as error:
        output.leave(exit_codes.REFUSED, f"{error}; nothing was put back")

    def words(said: Any) -> None:
        output.say(f"put back {copy}: {said['payments']} payments as of {said['made_at']}, audit trail verified")
        if not offline.has_permit_log(settings):
            output.say(f"there is no permit log at {settings.permit_log()}: what was done after the copy cannot be "
                       f"noticed.")  # fmt: skip
            output.say("If this is another machine, bring that folder from the old one before you start the gateway")
        for gap in said["gaps"]:
            output.say(gap)
        if said["gaps"]:
            output.say("the gateway will start and ask, but send nothing until two persons let it; "
                         "see docs/do/restore.md")  # fmt: skip
        elif settings.permit_log().exists():
            output.say("everything that this machine's permit log knows of is in it: the gateway will send at once")

    output.show(done, as_json=as_json, words=words)


def _drill(
    settings: Settings, access: Access, copy: Path, into: str | None, most_s: float | None, *, as_json: bool
) -> None:
    from dataclasses import asdict

    from gateway.control.offline import backup_copies

    if copy.is_dir():
        newest = next(iter(backup_copies.backups(copy, settings.node)), None)
        if newest is None:
            output.leave(exit_codes.FAILED, f"{copy} holds no backup of node {settings.node}")
        copy = newest
    try:
        done = backup_copies.drill(access, settings.node, copy, into)
    except backup_copies.NoBackup as error:
        output.leave(exit_codes.FAILED, str(error))

    def words(said: Any) -> None:
        output.say(f"{said['backup']} of {said['made_at']}: {said['payments']} payments, {said['bytes']} bytes")
        restored = f"restored and its audit trail verified in {said['restored_s']} s"
        output.say(f"examined in {said['examined_s']} s, {restored}")

    output.show(asdict(done), as_json=as_json, words=words)
    if most_s is not None and done.examined_s + done.restored_s > most_s:
        output.leave(exit_codes.FAILED, f"it took longer than {most_s:g} s: payments would wait so long")
