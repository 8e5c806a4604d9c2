"""`bankgw worklists`: what waits for a person, each row with one next step."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

NAMES = "escalated, returned, payroll, unclaimed, statement-gaps, receipts-missing, exceptions, linked"
_COLUMNS = {"what": "what", "bank": "bank", "account": "account", "amount": "amount", "currency": "", "why": "why",
            "age_days": "days", "next": "next step"}  # fmt: skip


def worklists(
    context: typer.Context,
    only: Annotated[str | None, typer.Option("--list", metavar="NAME", help=f"Only this one: {NAMES}.")] = None,
    bank: Annotated[str | None, typer.Option(help="Only this bank's accounts.")] = None,
    company: Annotated[str | None, typer.Option(help="Only this company's accounts.")] = None,
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show the work lists: returned payments, payroll items, money to be claimed, statement gaps, receipts, exceptions.

    Each row says what is the matter, for how long, and the next step. No bank is asked.
    """
    with output.asking():
        said = output.remote(context, config, socket).get(
            "worklists", list=only, bank=bank, company=company, clear=1 if clear else None
        )
    output.show(said, as_json=as_json, words=_words)


def _words(said: Any) -> None:
    for one in said["lists"]:
        output.say(f"{one['list']}: {one['count']}")
        if one["count"]:
            output.table(one["rows"], _COLUMNS, "")
            output.say("")
