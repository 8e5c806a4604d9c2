"""`bankgw backup` and `bankgw restore`: a copy of the journal while the gateway works, and the way back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy import make_url

from gateway.cli import exit_codes, output
from gateway.cli.check import PERMIT_LOG
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config
from gateway.journal.backup.backup import NoBackup, Origin, make, restore
from gateway.journal.commit.permit_log import LEGACY
from gateway.journal.sql import vault
from gateway.settings import Loaded, Secret, Settings

VaultKey = Annotated[
    Path | None, typer.Option("--vault-key", help="The vault's key file, where the settings name a systemd credential.")
]
Password = Annotated[
    Path | None, typer.Option("--database-password", help="The database password's file, likewise.")
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore_copy)


def backup(
    context: typer.Context,
    target: Annotated[
        Path, typer.Argument(metavar="FILE|FOLDER", help="New file for the copy, or a folder in which it is "
                             "named by the time. A name without an ending is a folder's, made if it is not there.")
    ],
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy the journal, with a manifest (FILE.json) beside it, while the gateway works. Mode 0600; what is sealed stays
    sealed. Neither the vault's key nor the permit log is in it: back the key up apart, and never copy the log."""
    settings, environment = settings_of(context, config), output.environment(context)
    keys, now = vault_of(settings, vault_key), environment.now()
    if not target.suffix and not target.exists():
        _make_folder(target)
    if target.is_dir():
        suffix = "db" if settings.journal_url().startswith("sqlite") else "dump"
        target = target / f"bankgw-{settings.node}-{now:%Y%m%dT%H%M%SZ}.{suffix}"
    origin = Origin(url_of(settings, password), keys, settings.node, environment.version(),
                    settings.state_dir / PERMIT_LOG, now.isoformat(timespec="seconds"))  # fmt: skip
    try:
        made = make(origin, target)
    except NoBackup as error:
        output.leave(exit_codes.FAILED, str(error))

    def words(said: Any) -> None:
        holds = f"{said['bytes']} bytes, {said['payments']} payments, schema {said['schema']}"
        output.say(f"wrote {said['path']}: {holds}")
        output.say(f"its manifest is {said['path']}.json; it needs vault key {said['vault_key']}, which is not in it")

    output.show({"path": str(target), **made.words()}, as_json=as_json, words=words)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        output.leave(exit_codes.FAILED, f"the folder {folder} cannot be made ({error.strerror}); make it, or name "
                       "a file with an ending, such as copy.db. Nothing was copied")  # fmt: skip


def restore_copy(
    context: typer.Context,
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `bankgw backup` made, manifest beside it.")],
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put a copy into the empty place that `journal.url` names, with the gateway stopped. Nothing is overwritten; the
    copy, its manifest and its audit trail are verified first. Then compares it with this machine's permit log."""
    from gateway.cli.run import AlreadyRunning, lock

    settings = settings_of(context, config)
    keys, log = vault_of(settings, vault_key), settings.state_dir / PERMIT_LOG
    try:
        held = lock(settings.state_dir)
    except (AlreadyRunning, OSError) as error:
        output.leave(exit_codes.REFUSED, f"{error}; nothing was put back")
    if os.geteuid() == 0:
        # What root leaves in the state folder must be the daemon's own.
        owner = settings.state_dir.stat()
        os.fchown(held, owner.st_uid, owner.st_gid)
    try:
        done = restore(url_of(settings, password), keys, log, copy, settings.node)
    except NoBackup as error:
        output.leave(exit_codes.REFUSED, f"{error}. Nothing was put back")
    finally:
        os.close(held)

    def words(said: Any) -> None:
        output.say(f"put back {copy}: {said['payments']} payments as of {said['made_at']}, audit trail verified")
        if not log.exists() and not log.with_name(LEGACY).exists():
            output.say(f"there is no permit log at {log}: what was done after the copy cannot be noticed.")
            output.say("If this is another machine, bring that folder from the old one before you start the gateway")
        for gap in said["gaps"]:
            output.say(gap)
        if said["gaps"]:
            output.say("the gateway will start and ask, but send nothing until two persons let it; "
                         "see docs/do/restore.md")  # fmt: skip
        elif log.exists():
            output.say("everything that this machine's permit log knows of is in it: the gateway will send at once")

    shown = {**done.manifest.words(), "forgotten": done.forgotten, "gaps": list(done.gaps)}
    output.show(shown, as_json=as_json, words=words)


def journal_of(settings: Settings, vault_key: Path | None, password: Path | None) -> tuple[str, vault.Vault]:
    """The journal's URL with its password, and its vault, with files that stand in for credentials of the unit."""
    return url_of(settings, password), vault_of(settings, vault_key)


def settings_of(context: typer.Context, config: Path) -> Settings:
    """The settings, whatever else is wrong with them; ends with CONFIG when there are none to be had."""
    found: Loaded = output.loaded(context, config)
    return found.settings


def vault_of(settings: Settings, instead: Path | None) -> vault.Vault:
    """The vault of the settings, or of the key file that was named; ends with CONFIG when it cannot be read."""
    secret = settings.journal.vault_key
    if instead is None and _only_in_the_unit(secret):
        output.leave(exit_codes.CONFIG, f"journal.vault_key: {_ONLY_THERE.format(secret.credential)} --vault-key")
    try:
        return vault.load(instead or secret.path())
    except vault.VaultError as error:
        output.leave(exit_codes.CONFIG, f"{error}; or name the key file with --vault-key")


_ONLY_THERE = "credential {} is there only for the unit while it runs; name its file with"


def _only_in_the_unit(secret: Secret) -> bool:
    return secret.credential is not None and not secret.path().exists()


def url_of(settings: Settings, instead: Path | None) -> str:
    """The journal's URL with its password; ends with CONFIG when that cannot be read."""
    url, secret = settings.journal_url(), settings.journal.password
    path = instead or (None if secret is None else secret.path())
    if path is None:
        return url
    if instead is None and secret is not None and _only_in_the_unit(secret):
        where = _ONLY_THERE.format(secret.credential)
        output.leave(exit_codes.CONFIG, f"journal.password: {where} --database-password")
    try:
        password = path.read_bytes().rstrip(b"\r\n").decode()
    except OSError as error:
        wrong = f"journal.password: {path} cannot be read ({error.strerror})"
        output.leave(exit_codes.CONFIG, f"{wrong}; or name its file with --database-password")
    return make_url(url).set(password=password).render_as_string(hide_password=False)
