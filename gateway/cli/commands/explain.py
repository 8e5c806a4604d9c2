"""`bankgw explain FILE`: shows which octets were signed, for a call with the bank about two digests that disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.output import AsJson


def explain(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="One message as it travelled: XML or CMS, also inside HTTP; - reads stdin."
        ),
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key", help="Certificates or public keys you trust, PEM or DER; repeatable. One must have signed."
        ),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="The octets that the other side hashed: says where they first differ from ours.")
    ] = None,
    charset: Annotated[
        str, typer.Option(help="UTF-8, GBK, GB2312 or GB18030; default: what the message declares.")
    ] = "",
    sha1: Annotated[bool, typer.Option("--sha1", help="SHA-1 is no mistake: this bank still signs with it.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(help="A new folder for the signed octets as they are, one file each, with personal data."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Show signed octets as they are, with personal data.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show for each signature which octets were signed, what each reference covers, and why a digest does not match.

    Exit code 0: there are signatures, all are good and strong, they cover the whole document, and, if you gave keys,
    one of these keys made them. Exit code 1: otherwise, or if the file cannot be read. The command only explains; the
    bank's own profile decides whether a message counts.
    """
    from gateway.cli import signed_message

    asked = signed_message.SignatureOptions(key or (), against, charset, save, sha1=sha1, clear=clear)
    raise typer.Exit(signed_message.explain(file, asked, as_json=as_json))
