"""`bankgw restore`: put a copy of the journal into an empty database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.journal_options import Password, VaultKey, access_of, settings_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config


def restore(
    context: typer.Context,
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `bankgw backup` made, manifest beside it.")],
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
