"""`bankgw payees`: payees that two persons register, so that payments to them are not held as new."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.help_pages import Listing
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Config, Socket
from gateway.cli.signing import DEFAULT_KEY, EvidenceOption, KeyOption, PassphraseFile, Pen, Yes, propose


def application() -> typer.Typer:
    """The commands of `bankgw payees`."""
    app = typer.Typer(help="Payees that are registered by two persons.", no_args_is_help=True, cls=Listing)
    app.command("register")(register)
    return app


def register(
    context: typer.Context,
    order: Annotated[
        str, typer.Argument(metavar="ORDER", help="An order to the payee: the payment's key, or SENDER:ID.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="How you know the payee: a contract, a call to whom.")],
    evidence: EvidenceOption = None,
    yes: Yes = False,
    key: KeyOption = DEFAULT_KEY,
    passphrase_file: PassphraseFile = None,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Propose that an order's payee (account, name and bank) is known for its sender, whatever the amount. A second
    person approves it with `bankgw resolve --approve`. The order itself stays held until it is released."""
    from gateway.control.signed_words import ProposalKind

    remote = output.remote(context, config, socket)
    wanted = {"kind": ProposalKind.REGISTER.value, "subject": order, "to": "known", "note": reason}
    propose(remote, wanted, evidence, Pen(key, passphrase_file, yes), as_json=as_json)
