"""`bankgw policy`: which payments need how many approvals. Two persons put a policy in force."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, ReasonOption, Socket
from gateway.cli.signing import DEFAULT_KEY, KeyOption, PassphraseFile, Pen, Yes, propose


def application() -> typer.Typer:
    """The group."""
    group = typer.Typer(help="The approval policy: bands of amounts and groups of persons.", no_args_is_help=True,
                        cls=Listing)  # fmt: skip
    group.command("show")(show)
    group.command("propose")(propose_policy)
    return group


def show(
    context: typer.Context, config: Config = DEFAULT_CONFIG, socket: Socket = None, as_json: AsJson = False
) -> None:
    """Show the policy in force, and which were before it."""
    with output.asking():
        said = output.remote(context, config, socket).get("policy")

    def words(page: Any) -> None:
        if not page["policies"]:
            output.say("no policy yet: nothing needs an approval, but what the settings of a sender hold")
            return
        first, *before = page["policies"]
        output.say(f"policy {first['version']}, in force since {first['in_force_since']}")
        for line in first["lines"]:
            output.say(f"  {line}")
        for one in before:
            output.say(f"policy {one['version']} since {one['in_force_since']}: {one['text']}")

    output.show(said, as_json=as_json, words=words)


def propose_policy(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="One band or group a line, as `CNY 0..50000.00 1`; # is a comment.")
    ],
    reason: ReasonOption,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """As security administrator: propose the policy in FILE, instead of the present one. Another administrator, or a
    supervisor of all accounts, approves it with `bankgw resolve --approve`. Gaps and overlaps are refused."""
    from gateway.control.signed_words import POLICY_SUBJECT, ProposalKind
    from gateway.people import approval_policy

    try:
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        text = approval_policy.parse("; ".join(line for line in lines if line)).text()
    except OSError as error:
        output.leave(exit_codes.USAGE, f"{file} cannot be read: {error.strerror}")
    except ValueError as error:
        output.leave(exit_codes.USAGE, f"{file} holds no policy that could be used: {error}")
    wanted = {"kind": ProposalKind.POLICY.value, "subject": POLICY_SUBJECT, "to": text, "note": reason}
    propose(output.remote(context, config, socket), wanted, None, Pen(key, passphrase_file, yes), as_json=as_json)
