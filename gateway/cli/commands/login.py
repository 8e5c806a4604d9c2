"""`bankgw login`: open a short session for your UNIX user, set a password for that, and `bankgw logout`."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, passphrase

if TYPE_CHECKING:
    from gateway.control.client import ControlClient


def login(
    context: typer.Context,
    with_password: Annotated[
        bool, typer.Option("--password", help="With your password and a one-time code, instead of your key.")
    ] = False,
    set_password: Annotated[
        bool, typer.Option("--set-password", help="Then set a new password, and the secret for one-time codes.")
    ] = False,
    passkey: Annotated[
        str | None, typer.Option("--passkey", metavar="CODE", help="Then bind the passkey whose code a web page shows.")
    ] = None,
    page: Annotated[
        Literal["approval", "console"], typer.Option("--page", help="The page that the passkey is for.")
    ] = "approval",
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Sign in as the person of your UNIX user: your key signs a challenge, or you give password and one-time code. The
    session is your user's on this machine, and ends by itself. Ten failures in a row lock you out for 30 minutes."""
    if with_password and (set_password or passkey):
        output.leave(exit_codes.USAGE, "passwords and passkeys are set in a session that your key opened: leave out "
                     "--password")  # fmt: skip
    remote = output.remote(context, config, socket)
    if with_password:
        password, code = _hidden("Password"), _hidden("One-time code")
        with output.asking():
            said = remote.post("sign-in", password=password, one_time_code=code)
    else:
        said = _by_key(remote, key, passphrase_file)
    if set_password:
        _set_password(remote)
    if passkey:
        with output.asking():
            bound = remote.post("factors", "passkey", code=passkey, page=page)
        typer.echo(f"the passkey made at {bound['origin']} is yours now, for the {bound['page']} page", err=True)
    output.show(said, as_json=as_json, words=_signed_in)


def logout(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """End the session of your UNIX user."""
    with output.asking():
        said = output.remote(context, config, socket).post("sign-out")
    output.show(said, as_json=as_json, words=lambda _said: output.say("signed out"))


def whoami(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Show which person your UNIX user is, with which roles, and whether you are signed in."""
    with output.asking():
        said = output.remote(context, config, socket).get("sign-in")

    def words(one: Any) -> None:
        output.say(f"{one['person']} (uid {one['uid']}): {one['roles']}")
        output.say(f"signed in by {one['factor']}, ends in {one['ends_in_s']} s without use" if one["signed_in"]
                   else "not signed in: bankgw login")  # fmt: skip

    output.show(said, as_json=as_json, words=words)


def _by_key(remote: ControlClient, path: Any, passphrase_file: Any) -> Any:
    from gateway.cli import person_key
    from gateway.people import sign_in_text

    path = path.expanduser()
    with output.asking():
        text = remote.post("sign-in", "challenge")["text"]
    try:
        key = person_key.load(path, passphrase(passphrase_file, sealed=person_key.is_sealed(path)))
    except person_key.KeyUnusable as error:
        output.leave(exit_codes.FAILED, str(error))
    with output.asking():
        return remote.post("sign-in", signature=b64encode(key.sign(sign_in_text.to_sign(text))).decode())


def _set_password(remote: ControlClient) -> None:
    password = _hidden("New password (12 characters or more)", twice=True)
    with output.asking():
        made = remote.post("factors", "password", password=password)
    typer.echo(f"enter this into your telephone's program for codes, once:\n{made['address']}", err=True)
    with output.asking():
        remote.post("factors", "password", "confirm", one_time_code=_hidden("Its present code"))


def _hidden(question: str, *, twice: bool = False) -> str:
    return str(typer.prompt(question, hide_input=True, confirmation_prompt=twice, err=True))


def _signed_in(one: Any) -> None:
    output.say(f"{one['person']} is signed in by {one['factor']}: {one['roles']}; ends in {one['ends_in_s']} s "
               f"without use")  # fmt: skip
