"""`bankgw resolve`: decide a payment in doubt, or approve what another person proposed."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, EvidenceOption, KeyOption, PassphraseFile, Pen, Yes, propose

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

_COLUMNS = {
    "proposal": "proposal", "state": "state", "kind": "kind", "subject": "subject", "to": "to", "by": "by",
    "expires_at": "expires", "note": "reason",
}  # fmt: skip


def resolve(
    context: typer.Context,
    order: Annotated[
        str | None, typer.Argument(metavar="[ORDER]", help="The payment's key, or SENDER:ID; to propose something.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--as", help="settled, failed, or ready (to be sent once more).", metavar="STATE")
    ] = None,
    evidence: EvidenceOption = None,
    note: Annotated[str | None, typer.Option("--note", help="What the evidence shows, who said so.")] = None,
    approve: Annotated[
        str | None, typer.Option("--approve", metavar="PROPOSAL", help="Approve what another person proposed.")
    ] = None,
    save_evidence: Annotated[
        Path | None, typer.Option("--save-evidence", help="With --approve: write the evidence there (0600) and end.")
    ] = None,
    withdraw: Annotated[
        str | None, typer.Option("--withdraw", metavar="PROPOSAL", help="Withdraw a proposal; give --note.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List proposals, the newest first.")] = False,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Decide a payment in doubt, by two enrolled persons with evidence. The first proposes (`resolve ORDER --as …
    --evidence … --note …`), the second, from another user with another key, looks and approves (`resolve --approve`).
    Exit 0: done as asked; a proposal changes nothing until it is approved."""
    from gateway.control import proposal_text
    from gateway.control.signed_words import ProposalKind

    chosen = [order is not None, approve is not None, withdraw is not None, listed]
    if sum(chosen) != 1:
        _usage("give one of ORDER, --approve PROPOSAL, --withdraw PROPOSAL, --list")
    remote = output.remote(context, config, socket)
    if listed:
        with output.asking():
            said = remote.get("proposals")
        output.show(said, as_json=as_json,
                      words=lambda page: output.table(page["proposals"], _COLUMNS, "no proposals"))  # fmt: skip
    elif withdraw is not None:
        if not note:
            _usage("say why with --note; it is kept in the audit trail")
        with output.asking():
            said = remote.post("proposals", withdraw, "withdraw", reason=note)
        output.show(said, as_json=as_json, words=_state)
    elif approve is not None:
        _approve(remote, approve, save_evidence, Pen(key, passphrase_file, yes), as_json=as_json)
    else:
        assert order is not None
        if to is None or to not in proposal_text.FATES:
            _usage(f"--as is one of {', '.join(proposal_text.FATES)}")
        if evidence is None or not note:
            _usage("a payment is decided on evidence: give --evidence FILE and --note TEXT")
        wanted = {"kind": ProposalKind.RESOLVE.value, "subject": order, "to": to, "note": note}
        propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)


def _approve(remote: ControlClient, proposal: str, save: Path | None, pen: Pen, *, as_json: bool) -> None:
    from gateway.control import proposal_text
    from gateway.control.signed_words import Role

    with output.asking():
        found = remote.get("proposals", proposal)
    octets = b64decode(found["evidence"])
    words = f"evidence-sha256: {proposal_text.sha256(octets) if octets else 'none'}"
    if words not in found["text"].splitlines():
        output.leave(exit_codes.FAILED, f"proposal {proposal}: its evidence is not the one its words name; nothing was "
                       f"signed. Stop, and look into the audit trail")  # fmt: skip
    if save is not None:
        _save(save, octets)
        output.say(f"wrote {save}: {len(octets)} bytes. Look at it, then approve without --save-evidence")
        return
    pen.environment = remote.environment
    signed = pen.sign(found["text"], Role.APPROVE)
    with output.asking():
        said = remote.post("proposals", proposal, "approve", **signed)
    output.show(said, as_json=as_json, words=_state)


def _save(path: Path, octets: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{path} cannot be written: {error.strerror}")
    with os.fdopen(handle, "wb") as file:
        file.write(octets)


def _state(one: Any) -> None:
    output.say(f"proposal {one['proposal']} ({one['kind']} {one['subject']} as {one['to']}) is {one['state']}")


def _usage(text: str) -> NoReturn:
    output.leave(exit_codes.USAGE, text)
