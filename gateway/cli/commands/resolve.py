"""`bankgw resolve` and `bankgw resume`: what two persons do together, each signing the same words."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from gateway.cli import exit_codes, output, person_key
from gateway.cli.commands.persons import KeyOption, PassphraseFile, passphrase
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.control import proposal_text
from gateway.control.client import ControlClient
from gateway.journal.people.proposals import ProposalKind, Role, digest, to_sign

_COLUMNS = {
    "proposal": "proposal", "state": "state", "kind": "kind", "subject": "subject", "to": "to", "by": "by",
    "expires_at": "expires", "note": "reason",
}  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="Sign without being asked. A second person is needed all the same.")]
EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", help="File that shows it (4 MiB at most); kept sealed in the journal.")
]


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("resolve")(resolve)
    app.command("resume")(resume)


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
    key: KeyOption = person_key.DEFAULT,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Decide a payment in doubt, by two enrolled persons with evidence. The first proposes (`resolve ORDER --as …
    --evidence … --note …`), the second, from another user with another key, looks and approves (`resolve --approve`).
    Exit 0: done as asked; a proposal changes nothing until it is approved."""
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


def resume(
    context: typer.Context,
    lane: Annotated[str, typer.Argument(metavar="LANE", help="BANK.LOGIN, as `bankgw lanes list` names it.")],
    reason: Annotated[str, typer.Option("--reason", help="What was found out about the forgotten sends, and how.")],
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = person_key.DEFAULT,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Propose that a lane sends again though the database came back from the past; a second person approves it with
    `bankgw resolve --approve`. First ask the bank about each line of `bankgw lanes forgotten`."""
    remote = output.remote(context, config, socket)
    wanted = {"kind": ProposalKind.RESUME.value, "subject": lane, "to": "send", "note": reason}
    propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)


class Pen:
    """A person's hand: shows the words, asks, and signs their digest."""

    def __init__(self, key: Path, passphrase_file: Path | None, yes: bool) -> None:
        self._path = key.expanduser()
        self._passphrase_file = passphrase_file
        self._yes = yes

    def sign(self, text: str, role: Role) -> dict[str, str]:
        """The digest of these very words and its signature. Ends the command when the person says no."""
        digested = digest(text)
        try:
            sealed = person_key.is_sealed(self._path)
            if not self._yes:
                typer.echo(text, err=True)
                if not typer.confirm("Do you sign this?", err=True):
                    output.leave(exit_codes.REFUSED, "not signed; nothing was changed")
            key = person_key.load(self._path, passphrase(self._passphrase_file, sealed=sealed))
        except person_key.KeyUnusable as error:
            output.leave(exit_codes.FAILED, str(error))
        return {"digest": digested, "signature": b64encode(key.sign(to_sign(digested, role))).decode()}


def propose(remote: ControlClient, wanted: dict[str, str], evidence: Path | None, pen: Pen, *, as_json: bool) -> None:
    """Have the daemon draft the words, sign them, and keep the proposal."""
    octets = b""
    if evidence is not None:
        try:
            octets = evidence.read_bytes()
        except OSError as error:
            output.leave(exit_codes.USAGE, f"{evidence} cannot be read: {error.strerror}")
        if not octets:
            output.leave(exit_codes.USAGE, f"{evidence} is empty, which shows nothing")
    with output.asking():
        digest_of = proposal_text.sha256(octets) if octets else None
        draft = remote.post("proposals", "draft", **wanted, evidence_sha256=digest_of)
    # The words come from the daemon: what they say must be what was asked for, or nothing is signed.
    asked = [f"to: {wanted['to']}", f"evidence-sha256: {proposal_text.sha256(octets) if octets else 'none'}"]
    if any(line not in draft["text"].splitlines() for line in asked):
        output.leave(exit_codes.FAILED, "the daemon's words are not what you asked for; nothing was signed")
    signed = pen.sign(draft["text"], Role.PROPOSE)
    with output.asking():
        said = remote.post("proposals", **wanted, **signed, proposal=draft["proposal"], expires_ms=draft["expires_ms"],
                           evidence=b64encode(octets).decode())  # fmt: skip

    def words(one: Any) -> None:
        output.say(f"proposal {one['proposal']} is open until {one['expires_at']}; nothing is changed yet")
        output.say(f"a second person says: bankgw resolve --approve {one['proposal']}")

    output.show(said, as_json=as_json, words=words)


def _approve(remote: ControlClient, proposal: str, save: Path | None, pen: Pen, *, as_json: bool) -> None:
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
