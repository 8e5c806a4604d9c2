"""`bankgw restart-all`: two persons end an emergency stop."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, EvidenceOption, KeyOption, PassphraseFile, Pen, Yes, propose


def restart_all(
    context: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why it is safe to send again; both persons sign it.")],
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Propose to end the emergency stop on every node; a second person approves it with `bankgw resolve --approve`."""
    from gateway.control.signed_words import STOP_SUBJECT, ProposalKind

    remote = output.remote(context, config, socket)
    wanted = {"kind": ProposalKind.RESTART.value, "subject": STOP_SUBJECT, "to": "send", "note": reason}
    propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
