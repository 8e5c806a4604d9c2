"""`bankgw persons`: enrol yourself; let persons in, deactivate them, take new keys; as root, confirm the first."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, passphrase

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The person's name: a-z, 0-9, `_`, `.`, `-`.")]


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
    """Enrol yourself, from your own user and without sudo: makes your key file if there is none, and records your UNIX
    user and public key. Then read the fingerprint to the person who admits you. If you are enrolled and have a new key:
    offers the key for a reset.
    """
    from gateway.cli import person_key

    path = key.expanduser()
    try:
        if path.exists():
            made = person_key.load(path, passphrase(passphrase_file, sealed=person_key.is_sealed(path)))
        else:
            made = person_key.make(path, passphrase(passphrase_file, sealed=not open_key, new=True))
    except person_key.KeyUnusable as error:
        output.leave(exit_codes.FAILED, output.explained(error, "密钥无法使用："))
    with output.asking():
        said = output.remote(context, config, socket).post("persons", name=name, public_key=person_key.public(made))

    def print_enrolment(one: Any) -> None:
        person, state = one["person"], one["state"]
        output.say(
            (
                f"{person} (uid {one['uid']}) is {state}; your key is {path}",
                f"{person}（uid {one['uid']}）的状态：{state}；您的密钥为 {path}",
            )
        )
        output.say((f"fingerprint: {one['fingerprint']}", f"指纹：{one['fingerprint']}"))
        if state == "waiting":
            output.say(
                (
                    f"read it out to a security administrator, who says: bankgw persons admit {person} ...",
                    f"请向安全管理员读出指纹，由其执行：bankgw persons admit {person} ...",
                )
            )
            output.say(
                (
                    f"or, before there are administrators, to root: bankgw persons confirm {person} FINGERPRINT",
                    f"尚无管理员时，则向 root 读出：bankgw persons confirm {person} 指纹",
                )
            )

    output.show(said, as_json=as_json, words=print_enrolment)
