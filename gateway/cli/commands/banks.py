"""`bankgw banks`: the banks this program speaks to, and what each can do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import exit_codes, output
from gateway.cli.output import AsJson


def banks(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Settings whose banks are shown in detail, as they are built.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the banks this program speaks to; with --config, what the configured ones can do, and on what authority."""
    from gateway import capabilities
    from protocols.bank import BadOptions

    if config is None:
        output.show(capabilities.everything(), as_json=as_json, words=_every_bank_words)
        return
    found, load = output.loaded(context, config), output.environment(context).load_bank
    rows = []
    for name, table in found.settings.banks.items():
        try:
            rows.append(capabilities.capabilities(name, load(table)))
        except (BadOptions, ModuleNotFoundError, OSError, ValueError) as error:
            output.leave(exit_codes.CONFIG, f"banks.{name}: {error}; `bankgw check` says more")
    output.show(rows, as_json=as_json, words=_bank_words)


def _every_bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['protocol']}: {row['heading']}")
        output.say(f"  {row['about']}")
        _abilities(row)


def _bank_words(rows: Any) -> None:
    for row in rows:
        output.say(f"{row['bank']}: {row['title']} {row['title_zh']}")
        _abilities(row)


def _abilities(row: Any) -> None:
    together = ", ".join(f"{kind} by {most}" for kind, most in row["bundles"].items())
    output.say(f"  orders: {', '.join(row['orders'])}{f' (together: {together})' if together else ''}")
    output.say(f"  questions: {', '.join(row['questions'])}")
    for claim in row["reconstructed"]:
        output.say(f"  reconstructed from public material: {claim}")
