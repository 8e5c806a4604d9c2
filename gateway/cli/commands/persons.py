"""`bankgw persons`: who may sign proposals. Enrol yourself, confirm a person as root, remove one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, passphrase

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name: a-z, 0-9, `_`, `.`, `-`.")]
_COLUMNS = {"person": "person", "uid": "uid", "state": "state", "since": "since", "fingerprint": "fingerprint"}


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Persons who sign what no single operator may do.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_persons)
    group.command("enrol")(enrol)
    group.command("confirm")(confirm)
    group.command("remove")(remove)
    return group


def list_persons(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List who is enrolled, and who waits for root's word."""
    with output.asking():
        said = output.remote(context, config, socket).get("persons")
    output.show(said, as_json=as_json, words=lambda page: output.table(page["persons"], _COLUMNS, "nobody"))


def enrol(
    context: typer.Context,
    name: NameArgument,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    open_key: Annotated[
        bool, typer.Option("--no-passphrase", help="Keep the key file without a passphrase (mode 0600 all the same).")
    ] = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Enrol yourself, from your own user and without sudo: makes your key file if there is none, and writes you down
    with your UNIX user and public key. Then read the fingerprint out to whoever has root, who confirms it."""
    from gateway.cli import person_key

    path = key.expanduser()
    try:
        if path.exists():
            made = person_key.load(path, passphrase(passphrase_file, sealed=person_key.is_sealed(path)))
        else:
            made = person_key.make(path, passphrase(passphrase_file, sealed=not open_key, new=True))
    except person_key.KeyUnusable as error:
        output.leave(exit_codes.FAILED, str(error))
    with output.asking():
        said = output.remote(context, config, socket).post("persons", name=name, public_key=person_key.public(made))

    def words(one: Any) -> None:
        output.say(f"{one['person']} (uid {one['uid']}) is {one['state']}; your key is {path}")
        output.say(f"fingerprint: {one['fingerprint']}")
        if one["state"] == "waiting":
            output.say(f"read it out to root, who says: bankgw persons confirm {one['person']} FINGERPRINT")

    output.show(said, as_json=as_json, words=words)


def confirm(
    context: typer.Context,
    name: NameArgument,
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="As the person reads it out: the first 16 digits or more.")
    ],
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As root: let a person sign who read the fingerprint out to you, face to face or by telephone."""
    with output.asking():
        said = output.remote(context, config, socket).post("persons", name, "confirm", fingerprint=fingerprint)
    output.show(said, as_json=as_json, words=_state)


def remove(
    context: typer.Context,
    name: NameArgument,
    reason: ReasonOption,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Let a person sign no more. Root can, and persons themselves. What they proposed can no longer be approved."""
    with output.asking():
        said = output.remote(context, config, socket).post("persons", name, "remove", reason=reason)
    output.show(said, as_json=as_json, words=_state)


def _state(one: Any) -> None:
    output.say(f"{one['person']} (uid {one['uid']}) is {one['state']}")
