"""`bankgw check`: everything that is wrong with the settings and with what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def check(
    context: typer.Context,
    marks: Annotated[
        bool, typer.Option("--marks", help="Print what `environment.others` of other environments takes, as JSON.")
    ] = False,
    new: Annotated[
        Path | None, typer.Option("--with", metavar="NEW", help="Rehearse an upgrade: the new version's .deb or "
                                  "program looks at the settings, and migrates a copy of the journal.")
    ] = None,
    into: Annotated[
        str | None, typer.Option(metavar="URL", help="With --with, for PostgreSQL and MySQL: an empty database.")
    ] = None,
    copy: Annotated[str | None, typer.Option("--rehearse", metavar="URL", hidden=True)] = None,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look for everything that is wrong with the settings and what they name. Nothing is changed or started.

    With --with: exit code 1 if the new version finds mistakes, or does not read every open payment as this one does.
    """
    if marks:
        from gateway.control.offline import environment_marks

        output.dump(environment_marks.portable(output.loaded(context, config).settings))
        return
    if new is not None or copy is not None:
        _rehearse(context, config, new, into, copy, (vault_key, password), as_json=as_json)
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


def _rehearse(
    context: typer.Context, config: Path, new: Path | None, into: str | None, copy: str | None,
    files: tuple[Path | None, Path | None], *, as_json: bool,
) -> None:  # fmt: skip
    from dataclasses import asdict

    from gateway.control.offline import rehearsal

    settings, environment = settings_of(context, config), output.environment(context)
    access = access_of(settings, *files)
    try:
        if copy is not None:
            # What the older version asks of this one.
            output.dump(rehearsal.migrate_copy(settings, copy, access[1]))
            return
        assert new is not None
        named = ("--vault-key", "--database-password")
        given = [word for name, file in zip(named, files, strict=True) if file for word in (name, str(file.absolute()))]
        with rehearsal.program_of(new) as command:
            tried = rehearsal.Rehearsed(command, config, tuple(given))
            done = rehearsal.rehearse(settings, access, tried, environment.version(), environment.now(), into)
    except rehearsal.NotRehearsed as error:
        output.leave(exit_codes.FAILED, str(error))
    output.show({**asdict(done), "good": done.good}, as_json=as_json, words=_say_rehearsal)
    raise typer.Exit(exit_codes.OK if done.good else exit_codes.FAILED)


def _say_rehearsal(said: Any) -> None:
    before, after = said["before"], said["after"]
    output.say(f"version {said['version']}")
    for one in said["mistakes"]:
        output.say(f"settings: {one}")
    if not said["mistakes"]:
        output.say("settings: no mistakes found")
    moved = f"{before['schema']} to {after['schema']}" if before["schema"] != after["schema"] else "stays"
    output.say(f"journal: copied in {said['copied_s']} s; schema {moved}, migrated in {said['migrated_s']} s")
    count = sum(before["states"].values())
    states = ", ".join(f"{state} {number}" for state, number in before["states"].items()) or "none"
    same = "the new version reads each as this one does" if said["same"] else "THE NEW VERSION READS THEM OTHERWISE"
    output.say(f"open payments: {count} ({states}); {same}")
    other = "may work on beside it" if said["beside"] else "must be stopped first; going back takes a restore"
    output.say(f"nodes of this version {other}")
    output.say("the upgrade may be made" if said["good"] else "do not upgrade; report the lines above")
