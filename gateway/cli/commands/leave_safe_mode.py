"""`bankgw leave-safe-mode`: two persons let a lane send again after an older database was put back."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, EvidenceOption, KeyOption, PassphraseFile, Pen, Yes, propose


def leave_safe_mode(
    context: typer.Context,
    lane: Annotated[str, typer.Argument(metavar="LANE", help="BANK.LOGIN, as `bankgw lanes list` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="What was found out about the forgotten sends, and how.")],
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Propose that a lane sends again though the database came back from the past; a second person approves it with
    `bankgw resolve --approve`. First ask the bank about each line of `bankgw lanes forgotten`."""
    from gateway.control.signed_words import ProposalKind

    remote = output.remote(context, config, socket)
    wanted = {"kind": ProposalKind.LEAVE_SAFE_MODE.value, "subject": lane, "to": "send", "note": reason}
    propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
