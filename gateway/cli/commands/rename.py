"""`bankgw lanes rename` and `bankgw senders rename`: let the journal follow a name that the settings changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.help_pages import FullHelpGroup
from gateway.cli.journal_options import Password, VaultKey, access_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption

if TYPE_CHECKING:
    from gateway.settings import Settings
_LANE: Bilingual = ("lane", "通道")
_SENDER: Bilingual = ("sender", "来源系统")


def senders() -> typer.Typer:
    """The group `bankgw senders`."""
    group = typer.Typer(help="Senders: the ERPs as the settings name them.", no_args_is_help=True, cls=FullHelpGroup)
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
    _named(old, new, lanes, _LANE)
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
    _named(old, new, set(settings.senders), _SENDER)
    _rename(settings, (vault_key, password), ("sender", old, new, reason), as_json=as_json)


def _named(old: str, new: str, there: set[str], what: Bilingual) -> None:
    """End the command unless the settings have the new name only, because the daemon will start with these settings."""
    known, (english, chinese) = ", ".join(sorted(there)), what
    if new not in there:
        output.leave(
            exit_codes.REFUSED,
            (
                f"the settings have no {english} {new} (there is: {known or 'none'}): change them first; "
                "nothing was changed",
                f"设置中没有{chinese} {new}（现有：{known or '无'}）：请先更改设置；未作任何更改",
            ),
        )
    if old in there:
        output.leave(
            exit_codes.REFUSED,
            (
                f"the settings still have {english} {old}: it would be another one after the "
                f"rename; take it out first; nothing was changed",
                f"设置中仍有{chinese} {old}：改名后它将成为另一个；请先删去；未作任何更改",
            ),
        )


def _rename(
    settings: Settings, files: tuple[Path | None, Path | None], about: tuple[str, str, str, str], *, as_json: bool
) -> None:
    from gateway.call import PeerCredentials
    from gateway.control.offline import renaming

    what, old, new, reason = about
    chinese = dict((_LANE, _SENDER))[what]
    access = access_of(settings, *files)
    try:
        actor = PeerCredentials(os.getuid()).actor
        done = renaming.rename(settings, access, what, (old, new), actor, reason)
    except renaming.NotWritten as error:
        code = exit_codes.UNAVAILABLE if error.away else exit_codes.REFUSED
        output.leave(code, (f"{what} {old}: {error}", f"{chinese} {old} 未能改名：\n{error}"))

    def print_renamed(said: Any) -> None:
        rows, count = (
            ", ".join(f"{name} {count}" for name, count in said["rows"].items() if count),
            said["open_payments"],
        )
        output.say(
            (
                f"{what} {old} is called {new} now; {count} of its payments are open",
                f"{chinese} {old} 已改名为 {new}；其中 {count} 笔付款未了结",
            )
        )
        output.say((f"rows that follow: {rows or 'none'}", f"随之改名的行：{rows or '无'}"))

    said = {"what": what, "old": old, "new": new, "open_payments": done.open_payments, "rows": dict(done.rows)}
    output.show(said, as_json=as_json, words=print_renamed)
