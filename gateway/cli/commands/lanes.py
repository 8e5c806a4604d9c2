"""`bankgw lanes`: list lanes (logins at banks), pause and resume sending, probe a bank, trace it, rename a lane."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands.lanes_probe import probe
from gateway.cli.commands.lanes_trace import trace
from gateway.cli.commands.rename import rename_lane
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket, WatchOption
from gateway.cli.signing import (
    DEFAULT_KEY,
    EvidenceOption,
    KeyOption,
    PassphraseFile,
    Pen,
    Yes,
    administered,
    propose,
)

_COLUMNS = {
    "lane": "lane", "condition": "condition", "up": "sessions up", "answered": "last answer", "work": "open work",
    "epoch": "epoch",
}  # fmt: skip
LaneArgument = Annotated[str, typer.Argument(metavar="LANE", help="BANK.LOGIN, as `bankgw lanes list` names it.")]


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Look at lanes (logins at banks) and steer them.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_lanes)
    group.command("pause")(pause)
    group.command("resume")(resume)
    group.command("probe")(probe)
    group.command("trace")(trace)
    group.command("forgotten")(forgotten)
    group.command("rename")(rename_lane)
    return group


def list_lanes(
    context: typer.Context, watch: WatchOption = None, config: Config = DEFAULT_CONFIG, socket: Socket = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """List every lane and its condition."""
    daemon = output.remote(context, config, socket)

    def look() -> None:
        with output.asking():
            said = daemon.get("lanes")
        output.show(said, as_json=as_json, words=lambda page: _words(page["lanes"]))

    output.repeated(watch, look)


def _words(lanes: Any) -> None:
    rows = [{**lane, "up": f"{lane['sessions'].get('ready', 0)} of {lane['window']}",
             "answered": "never" if lane["answered_s_ago"] is None else f"{lane['answered_s_ago']:g} s ago"}
            for lane in lanes]  # fmt: skip
    output.table(rows, _COLUMNS, "no lanes")
    for lane in lanes:
        told = [since(lane)] if not lane["condition"].startswith(("ready", "standing_by")) else []
        told += [lane["trouble"]] if lane["condition"].startswith("down") and lane["trouble"] else []
        if told:
            output.say(f"{lane['lane']}: {'; '.join(told)}")


def since(lane: Any) -> str:
    """Since when a lane is as it is, when it tries again, and when the bank last answered."""
    answered = "never answered" if lane["answered_s_ago"] is None else f"last answer {lane['answered_s_ago']:g} s ago"
    told = [f"since {lane['since'] or 'the start'}", answered]
    if lane["next_try_s"] is not None and not lane["condition"].startswith("ready"):
        told.append(f"next try in {lane['next_try_s']:g} s")
    if lane["sign_on_pause_s"]:
        told.append(f"no sign-on for {lane['sign_on_pause_s']:g} s, as the bank refused the last one")
    return ", ".join(told)


def _changed(lane: Any) -> None:
    _words([lane])
    hears_s = lane["owner_hears_within_s"]
    if hears_s:
        output.say(f"another node has this lane; it hears of this within {hears_s:g} s")


def pause(
    context: typer.Context,
    lane: LaneArgument,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Send nothing on this lane until it is resumed, restarts included. Questions and enquiries go on.

    It holds on every node, wherever it is given."""
    with output.asking():
        said = output.remote(context, config, socket).post("lanes", lane, "pause", reason=reason)
    output.show(said, as_json=as_json, words=_changed)


def resume(
    context: typer.Context,
    lane: LaneArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why it may send again; both persons sign it.")] = "",
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Take the operator's pause away. Where there are administrators, a supervisor signs it, and a second one approves
    it with `bankgw resolve --approve`.

    A lane that waits because an older database was put back needs `bankgw leave-safe-mode` instead."""
    from gateway.control.signed_words import ProposalKind

    remote = output.remote(context, config, socket)
    if administered(remote):
        if not reason:
            output.leave(exit_codes.USAGE, "say why it may send again: --reason …")
        wanted = {"kind": ProposalKind.RESUME_LANE.value, "subject": lane, "to": "send", "note": reason}
        propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
        return
    with output.asking():
        said = remote.post("lanes", lane, "resume")
    output.show(said, as_json=as_json, words=_changed)


def forgotten(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List the sends that the database does not know, but this machine's permit log does: ask the bank about each."""
    with output.asking():
        said = output.remote(context, config, socket).get("past")
    columns = {"lane": "lane", "bank_reference": "reference", "attempt": "attempt"}
    output.show(said, as_json=as_json, words=lambda page: output.table(page["sends"], columns, "nothing forgotten"))
