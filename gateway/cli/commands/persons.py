"""`bankgw persons`: enrol yourself; let persons in, deactivate them, take new keys; as root, confirm the first."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.commands.roles import RolesOption, canonical
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, Pen, Yes, passphrase, propose

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name: a-z, 0-9, `_`, `.`, `-`.")]
_COLUMNS = {"person": "person", "uid": "uid", "state": "state", "roles": "roles", "since": "since",
            "fingerprint": "fingerprint"}


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="Persons who sign what no single operator may do.", no_args_is_help=True, cls=Listing)
    group.command("list")(list_persons)
    group.command("enrol")(enrol)
    group.command("confirm")(confirm)
    group.command("remove")(remove)
    group.command("admit")(admit)
    group.command("deactivate")(deactivate)
    group.command("reset")(reset)
    return group


def list_persons(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """List who is enrolled with which roles, and who waits to be let in."""
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
    with your UNIX user and public key. Then read the fingerprint out to who lets you in. With a new key, and enrolled
    already: offers the key for a reset."""
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
            output.say(f"read it out to a security administrator, who says: bankgw persons admit {one['person']} ...")
            output.say(f"or, before there are administrators, to root: bankgw persons confirm {one['person']} "
                       f"FINGERPRINT")  # fmt: skip

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
    """As root, before there are two administrators: let a person in who read the fingerprint out to you."""
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


def admit(
    context: typer.Context,
    name: NameArgument,
    roles: RolesOption,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As security administrator: propose to let in a person who enrolled, with these roles. Compare the fingerprint in
    the words with the one that the person reads out. A second administrator approves: `bankgw resolve --approve`."""
    from gateway.control.signed_words import ProposalKind

    wanted = {"kind": ProposalKind.ENROL.value, "subject": name, "to": canonical(roles), "note": reason}
    propose(output.remote(context, config, socket), wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)


def deactivate(
    context: typer.Context,
    name: NameArgument,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As security administrator: propose that a person does nothing any more. Name, user and key stay taken."""
    from gateway.control.signed_words import ProposalKind

    wanted = {"kind": ProposalKind.DEACTIVATE.value, "subject": name, "to": "deactivated", "note": reason}
    propose(output.remote(context, config, socket), wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)


def reset(
    context: typer.Context,
    name: NameArgument,
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As security administrator: propose to take the new key that a person offered by enrolling anew. It is taken 24
    hours after the second administrator approves; the person's password is forgotten."""
    from gateway.control.signed_words import ProposalKind

    wanted = {"kind": ProposalKind.RESET.value, "subject": name, "to": "new-key", "note": reason}
    propose(output.remote(context, config, socket), wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)


def _state(one: Any) -> None:
    output.say(f"{one['person']} (uid {one['uid']}) is {one['state']}")
