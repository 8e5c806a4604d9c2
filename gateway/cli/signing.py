"""How a person signs at the terminal: the options, the key, the words that are shown, and the proposal that is kept."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import exit_codes, output

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.control.signed_words import Role

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
            output.leave(exit_codes.USAGE, f"{path} cannot be read: {error.strerror}")
    if not sealed:
        return None
    asked: str = typer.prompt("Passphrase of your key", hide_input=True, confirmation_prompt=new, err=True)
    return asked.encode()


class Pen:
    """A person's hand: shows the words, asks, and signs their digest. `environment` stands in the question."""

    def __init__(self, key: Path, passphrase_file: Path | None, yes: bool) -> None:
        self._path = key.expanduser()
        self._passphrase_file = passphrase_file
        self._yes = yes
        self.environment = ""

    def sign(self, text: str, role: Role) -> dict[str, str]:
        """The digest of these very words and its signature. Ends the command when the person says no."""
        from gateway.control.signed_words import digest, to_sign

        digested = digest(text)
        return self.sign_octets(text, digested, to_sign(digested, role))

    def sign_octets(self, text: str, digested: str, octets: bytes) -> dict[str, str]:
        """The signature of `octets`, which stand for `digested`, once the person has read `text`. See `sign`."""
        from gateway.cli import person_key

        try:
            sealed = person_key.is_sealed(self._path)
            if not self._yes:
                typer.echo(text, err=True)
                if not typer.confirm(f"{_where(self.environment)}Do you sign this?", err=True):
                    output.leave(exit_codes.REFUSED, "not signed; nothing was changed")
            key = person_key.load(self._path, passphrase(self._passphrase_file, sealed=sealed))
        except person_key.KeyUnusable as error:
            output.leave(exit_codes.FAILED, str(error))
        return {"digest": digested, "signature": b64encode(key.sign(octets)).decode()}


def _where(environment: str) -> str:
    return f"[{environment}] " if environment else ""


def administered(remote: ControlClient) -> bool:
    """True where there are administrators: there two persons sign what one operator may do before."""
    with output.asking():
        return not remote.get("persons")["ceremony_open"]


def propose(remote: ControlClient, wanted: dict[str, str], evidence: Path | None, pen: Pen, *, as_json: bool) -> None:
    """Have the daemon draft the words, sign them, and keep the proposal."""
    from gateway.control import proposal_text
    from gateway.control.signed_words import Role

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
    pen.environment = remote.environment
    signed = pen.sign(draft["text"], Role.PROPOSE)
    with output.asking():
        said = remote.post("proposals", **wanted, **signed, proposal=draft["proposal"], expires_ms=draft["expires_ms"],
                           evidence=b64encode(octets).decode())  # fmt: skip

    def words(one: Any) -> None:
        output.say(f"proposal {one['proposal']} is open until {one['expires_at']}; nothing is changed yet")
        output.say(f"a second person says: bankgw resolve --approve {one['proposal']}")

    output.show(said, as_json=as_json, words=words)
