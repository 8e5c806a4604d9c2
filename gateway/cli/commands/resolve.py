"""`bankgw resolve`: decide a payment in doubt, or approve what another person proposed."""

from __future__ import annotations

import os
from base64 import b64decode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output
from gateway.cli.completion import names_of
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import (
    DEFAULT_KEY,
    EvidenceOption,
    KeyOption,
    PassphraseFile,
    PersonSigner,
    Yes,
    propose,
    say_effect,
)

if TYPE_CHECKING:
    from gateway.control.client import ControlClient

_COLUMNS = {
    "proposal": "proposal",
    "state": "state",
    "kind": "kind",
    "subject": "subject",
    "to": "as",
    "by": "by",
    "expires_at": "expires",
    "note": "reason",
}


OrderToResolve = Annotated[
    str | None,
    typer.Argument(
        metavar="[ORDER]",
        help="The payment's key, or SENDER:ID; to propose something.",
        autocompletion=names_of("order"),
    ),
]
ProposalToApprove = Annotated[
    str | None,
    typer.Option(
        "--approve",
        metavar="PROPOSAL",
        help="Approve what another person proposed.",
        autocompletion=names_of("proposal"),
    ),
]
ProposalToWithdraw = Annotated[
    str | None,
    typer.Option(
        "--withdraw", metavar="PROPOSAL", help="Withdraw a proposal; give --note.", autocompletion=names_of("proposal")
    ),
]


def resolve(
    context: typer.Context,
    order: OrderToResolve = None,
    to: Annotated[
        str | None, typer.Option("--as", help="settled, failed, or ready (to be sent once more).", metavar="STATE")
    ] = None,
    evidence: EvidenceOption = None,
    note: Annotated[str | None, typer.Option("--note", help="What the evidence shows, and who confirmed it.")] = None,
    approve: ProposalToApprove = None,
    save_evidence: Annotated[
        Path | None, typer.Option("--save-evidence", help="With --approve: write the evidence there (0600) and end.")
    ] = None,
    withdraw: ProposalToWithdraw = None,
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
        _usage(
            (
                "give one of ORDER, --approve PROPOSAL, --withdraw PROPOSAL, --list",
                "请给出其一：ORDER、--approve 提议、--withdraw 提议、--list",
            )
        )
    remote = output.remote(context, config, socket)
    if listed:
        with output.asking():
            said = remote.get("proposals")
        output.show(said, as_json=as_json, words=lambda page: output.table(page["proposals"], _COLUMNS, "no proposals"))
    elif withdraw is not None:
        if not note:
            _usage(("say why with --note; it is kept in the audit trail", "请以 --note 说明理由；记入审计链"))
        with output.asking():
            said = remote.post("proposals", withdraw, "withdraw", reason=note)
        output.show(said, as_json=as_json, words=_state)
    elif approve is not None:
        _approve(remote, approve, save_evidence, PersonSigner(key, passphrase_file, yes), as_json=as_json)
    else:
        assert order is not None
        if to is None or to not in proposal_text.FATES:
            there = ", ".join(proposal_text.FATES)
            _usage((f"--as is one of {there}", f"--as 为其中之一：{there}"))
        if evidence is None or not note:
            _usage(
                (
                    "a payment is decided on evidence: give --evidence FILE and --note TEXT",
                    "付款须凭证据裁定：请给出 --evidence 文件与 --note 说明",
                )
            )
        wanted = {"kind": ProposalKind.RESOLVE.value, "subject": order, "to": to, "note": note}
        propose(remote, wanted, evidence, PersonSigner(key, passphrase_file, yes), as_json=as_json)


def _approve(remote: ControlClient, proposal: str, save: Path | None, signer: PersonSigner, *, as_json: bool) -> None:
    from gateway.control import proposal_text
    from gateway.control.signed_words import Role, states_choice

    with output.asking():
        found = remote.get("proposals", proposal)
    octets = b64decode(found["evidence"])
    if not states_choice(found["text"], found["to"], proposal_text.sha256(octets) if octets else None):
        output.leave(
            exit_codes.FAILED,
            (
                f"proposal {proposal}: its text names another choice or other evidence than the proposal has; nothing "
                f"was signed. Stop, and look into the audit trail",
                f"提议 {proposal}：其文字所载的决定或证据与提议不符；未签署任何内容。请停止办理，并核查审计链",
            ),
        )
    if save is not None:
        _save(save, octets)
        wrote = (
            "wrote {save}: {count} bytes. Look at it, then approve without --save-evidence",
            "已写入 {save}，{count} 字节。查看之后，不带 --save-evidence 再批准",
        )
        output.say(output.in_language(wrote).format(save=save, count=len(octets)))
        return
    signer.environment = remote.environment
    text = found["text"]
    signed = signer.sign(text, Role.APPROVE)
    with output.asking():
        said = remote.post("proposals", proposal, "approve", **signed)

    def print_done(one: Any) -> None:
        _state(one)
        say_effect(text)

    output.show(said, as_json=as_json, words=print_done)


def _save(path: Path, octets: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        output.leave(
            exit_codes.USAGE,
            (f"{path} cannot be written: {error.strerror}", f"无法写入 {path}：{output.os_reason(error)}"),
        )
    with os.fdopen(handle, "wb") as file:
        file.write(octets)


def _state(one: Any) -> None:
    state = (
        "proposal {proposal} ({kind} {subject} as {to}) is {state}",
        "提议 {proposal}（{kind} {subject}，{to}）的状态：{state}",
    )
    output.say(output.in_language(state).format_map(one))


def _usage(text: Bilingual) -> NoReturn:
    output.leave(exit_codes.USAGE, text)
