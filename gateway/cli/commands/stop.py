"""`bankgw stop-all` and `bankgw restart-all`: one person stops everything that moves money, two start it again."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output, person_key
from gateway.cli.commands.persons import KeyOption, PassphraseFile
from gateway.cli.commands.resolve import EvidenceOption, Pen, Yes, propose
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.journal.cluster.stops import SUBJECT
from gateway.journal.people.proposals import ProposalKind


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("stop-all")(stop_all)
    app.command("restart-all")(restart_all)


def stop_all(
    context: typer.Context,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Stop everything that moves money, at once and on every node that shares the journal; restarts do not end it.

    Orders are still taken in and wait; what was sent is asked about. Two persons start it again (`restart-all`). Exit
    69: this node has stopped, and the journal could not be reached, so that the others have not heard of it yet."""
    with output.asking():
        said = output.remote(context, config, socket).post("stop", reason=reason)

    def words(answer: Any) -> None:
        output.say(f"stopped by {answer['by']}: {answer['reason']}")
        if answer["written"]:
            output.say(f"every other node stops within {answer['others_hear_within_s']:g} s, or within "
                         f"{answer['others_silent_within_s']:g} s if it cannot reach the journal")  # fmt: skip
            output.say("two persons start it again: bankgw restart-all --reason …, then bankgw resolve --approve …")

    output.show(said, as_json=as_json, words=words)
    if not said["written"]:
        output.leave(exit_codes.UNAVAILABLE, "the journal cannot be reached: this node has stopped, the others have "
                                             "not "
                       "heard of it, and it is written down when the journal is back. Give the command again then, and "
                       "after a restart of this daemon")  # fmt: skip


def restart_all(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why it is safe to send again; both persons sign it.")],
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = person_key.DEFAULT,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Propose to end the emergency stop on every node; a second person approves it with `bankgw resolve --approve`."""
    remote = output.remote(context, config, socket)
    wanted = {"kind": ProposalKind.RESTART.value, "subject": SUBJECT, "to": "send", "note": reason}
    propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
