"""`bankgw lanes rename` and `bankgw senders rename`: let the journal follow a name that the settings changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.journal_options import Password, VaultKey, access_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.settings import Settings


def senders() -> typer.Typer:
    """The group `bankgw senders`."""
    group = typer.Typer(help="Senders: the ERPs as the settings name them.", no_args_is_help=True, cls=Listing)
    group.command("rename")(rename_sender)
    return group


def rename_lane(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="BANK.LOGIN, as the journal has it: `bankgw check` says.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="BANK.LOGIN, as the settings have it now.")],
    reason: ReasonOption,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let the journal follow a lane's new name: its payments, messages, work, numbers and pauses. The login at the bank
    stays the same one. Every daemon on this journal must be stopped, and the settings must have the new name only."""
    settings = output.loaded(context, config).settings
    lanes = {f"{name}.{lane}" for name, bank in settings.banks.items() for lane in bank.lanes}
    _named(old, new, lanes, "lane")
    _rename(settings, (vault_key, password), ("lane", old, new, reason), as_json=as_json)


def rename_sender(
    context: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="The sender's name in the journal: `bankgw check` says.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its name in the settings now.")],
    reason: ReasonOption,
    vault_key: VaultKey = None,
    password: Password = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let the journal follow a sender's new name: the identity of its orders and batches, its sums of the day, its
    payees, refusals and questions. Otherwise an order that is delivered again is a new one, and is paid again. Every
    daemon on this journal must be stopped, and the settings must have the new name only."""
    settings = output.loaded(context, config).settings
    _named(old, new, set(settings.senders), "sender")
    _rename(settings, (vault_key, password), ("sender", old, new, reason), as_json=as_json)


def _named(old: str, new: str, there: set[str], what: str) -> None:
    """The settings must be those that the daemon will start with."""
    known = ", ".join(sorted(there)) or "none"
    if new not in there:
        output.leave(exit_codes.REFUSED, f"the settings have no {what} {new} (there is: {known}): change them first; "
                       f"nothing was changed")  # fmt: skip
    if old in there:
        output.leave(exit_codes.REFUSED, f"the settings still have {what} {old}: it would be another one after the "
                       f"rename; take it out first; nothing was changed")  # fmt: skip


def _rename(
    settings: Settings, files: tuple[Path | None, Path | None], about: tuple[str, str, str, str], *, as_json: bool
) -> None:
    from gateway.control.offline import renaming
    from gateway.control.peer_credentials import PeerCredentials

    what, old, new, reason = about
    access = access_of(settings, *files)
    try:
        actor = PeerCredentials(os.getuid()).actor
        done = renaming.rename(settings, access, what, (old, new), actor, reason)
    except renaming.NotWritten as error:
        output.leave(exit_codes.UNAVAILABLE if error.away else exit_codes.REFUSED, f"{what} {old}: {error}")

    def words(said: Any) -> None:
        rows = ", ".join(f"{name} {count}" for name, count in said["rows"].items() if count) or "none"
        output.say(f"{what} {old} is called {new} now; {said['open_payments']} of its payments are open")
        output.say(f"rows that follow: {rows}")

    said = {"what": what, "old": old, "new": new, "open_payments": done.open_payments, "rows": dict(done.rows)}
    output.show(said, as_json=as_json, words=words)
