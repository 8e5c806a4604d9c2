"""Signing at the terminal: the options, the key, the text that is shown, and the stored proposal."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.act import Bilingual
from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.control.signed_words import Role

_PASSPHRASE: Bilingual = ("Passphrase of your key", "您的密钥口令")
_SIGN: Bilingual = ("Do you sign this?", "是否签署？")
_NOT_SIGNED: Bilingual = ("not signed; nothing was changed", "未签署；未作任何更改")
_PROPOSED: Bilingual = (
    "proposal {proposal} is open until {expires_at}; nothing is changed yet",
    "提议 {proposal} 在 {expires_at} 之前有效；尚未作任何更改",
)
_SECOND: Bilingual = (
    "a second person says: bankgw resolve --approve {proposal}",
    "由第二人执行：bankgw resolve --approve {proposal}",
)
DEFAULT_KEY = Path("~/.config/bankgw/person.pem")
KeyOption = Annotated[
    Path, typer.Option("--key", envvar="BANKGW_PERSON_KEY", help="Your own key file; it never leaves this machine.")
]
PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File holding the key's passphrase, instead of asking for it.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Sign without being asked. A second person is needed all the same.")]
EvidenceOption = Annotated[
    Path | None, typer.Option("--evidence", help="File that shows it (4 MiB at most); kept sealed in the journal.")
]


def passphrase(path: Path | None, *, sealed: bool, new: bool = False) -> bytes | None:
    """The key's passphrase, from its file or the terminal; None for a key that has none."""
    if path is not None:
        try:
            return path.read_bytes().rstrip(b"\r\n") or None
        except OSError as error:
            output.leave(exit_codes.USAGE, output.unreadable(path, error))
    if not sealed:
        return None
    return output.hidden(_PASSPHRASE, twice=new).encode()


class PersonSigner:
    """Signs for a person: shows the text, asks, and signs its digest. `environment` is part of the question."""

    def __init__(self, key: Path, passphrase_file: Path | None, yes: bool) -> None:
        self._path = key.expanduser()
        self._passphrase_file = passphrase_file
        self._yes = yes
        self.environment = ""

    def sign(self, text: str, role: Role) -> dict[str, str]:
        """The digest of this very text and its signature. Ends the command when the person refuses."""
        from gateway.control.signed_words import digest, to_sign

        digested = digest(text)
        return self.sign_octets(text, digested, to_sign(digested, role))

    def sign_octets(self, text: str, digested: str, octets: bytes) -> dict[str, str]:
        """The signature of `octets`, which stand for `digested`, after the person has read `text`. See `sign`."""
        from gateway.cli import person_key

        try:
            sealed = person_key.is_sealed(self._path)
            if not self._yes:
                typer.echo(text, err=True)
                where = _where(self.environment)
                if not output.confirmed((f"{where}{_SIGN[0]}", f"{where}{_SIGN[1]}")):
                    output.leave(exit_codes.REFUSED, _NOT_SIGNED)
            key = person_key.load(self._path, passphrase(self._passphrase_file, sealed=sealed))
        except person_key.KeyUnusable as error:
            output.leave(exit_codes.FAILED, output.explained(error, "密钥无法使用："))
        return {"digest": digested, "signature": b64encode(key.sign(octets)).decode()}


def say_effect(text: str) -> None:
    """Print, in the language of the environment, the effect of a proposal with this text."""
    from gateway.control.signed_words import effect_of

    effect = output.in_language(effect_of(text))
    if effect:
        output.say(effect)


def _where(environment: str) -> str:
    return f"[{environment}] " if environment else ""


def administered(remote: ControlClient) -> bool:
    """True if there are administrators. Then two persons must sign some acts that otherwise one operator may do."""
    with output.asking():
        return not remote.get("persons")["ceremony_open"]


def propose(
    remote: ControlClient, wanted: dict[str, str], evidence: Path | None, signer: PersonSigner, *, as_json: bool
) -> None:
    """Ask the daemon to draft the text, sign it, and store the proposal."""
    from gateway.control import proposal_text
    from gateway.control.signed_words import Role, states_choice

    octets = b""
    if evidence is not None:
        try:
            octets = evidence.read_bytes()
        except OSError as error:
            output.leave(exit_codes.USAGE, output.unreadable(evidence, error))
        if not octets:
            output.leave(
                exit_codes.USAGE, (f"{evidence} is empty, which shows nothing", f"{evidence} 内容为空，不能作为证据")
            )
    digest_of = proposal_text.sha256(octets) if octets else None
    with output.asking():
        draft = remote.post("proposals", "draft", **wanted, evidence_sha256=digest_of)
    # The text comes from the daemon, so it is signed only if it says what was asked for.
    if not states_choice(draft["text"], wanted["to"], digest_of):
        output.leave(
            exit_codes.FAILED,
            (
                "the daemon's words are not what you asked for; nothing was signed",
                "守护进程的文字与您的请求不符；未签署任何内容",
            ),
        )
    signer.environment = remote.environment
    signed = signer.sign(draft["text"], Role.PROPOSE)
    with output.asking():
        said = remote.post(
            "proposals",
            **wanted,
            **signed,
            proposal=draft["proposal"],
            expires_ms=draft["expires_ms"],
            evidence=b64encode(octets).decode(),
        )

    def print_proposal(one: Any) -> None:
        say_effect(one["text"])
        output.say(output.in_language(_PROPOSED).format_map(one))
        output.say(output.in_language(_SECOND).format_map(one))

    output.show(said, as_json=as_json, words=print_proposal)
