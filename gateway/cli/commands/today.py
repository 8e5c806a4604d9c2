"""`bankgw today`: each own account's balance, statement and payments in doubt."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

_COLUMNS = {
    "account": "account", "bank": "bank", "currency": "", "book": "book", "available": "available", "as_of": "as of",
    "entries": "entries", "statement": "statement", "doubt": "in doubt", "word": "",
}  # fmt: skip
_TOTALS = {
    "bank": "total", "currency": "", "book": "book", "available": "available", "as_of": "oldest as of",
    "entries": "entries", "statement": "statements", "doubt": "in doubt", "accounts": "accounts",
}  # fmt: skip


def today(
    context: typer.Context,
    bank: Annotated[str | None, typer.Option(help="Only this bank's accounts.")] = None,
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show every own account as it stands: balance and of when, entries, statement, payments in doubt; with totals.

    No bank is asked by this: balances and entries are those of the last look at a watched account.
    """
    with output.asking():
        said = output.remote(context, config, socket).get("today", bank=bank, clear=1 if clear else None)
    output.show(said, as_json=as_json, words=_words)
    output.end_if_away(said, f"this is how it was at {said['at']}")


def _words(said: Any) -> None:
    output.table([_row(one) for one in said["accounts"]], _COLUMNS, "no accounts")
    if said["totals"]:
        output.say("")
        output.table([_total(one) for one in said["totals"]], _TOTALS, "")


def _row(one: Any) -> dict[str, Any]:
    balance = one["balance"] or {}
    if not one["watched"]:
        word = "not watched"
    elif one["lane_condition"] != "ready":
        word = f"lane {one['lane']} is {one['lane_condition']}"
    else:
        word = "" if one["balance"] else "not heard of yet"
    return {
        **one, "book": balance.get("book"), "available": balance.get("available"),
        "as_of": _moment(balance.get("as_of")),
        "statement": _statement(one["statement"]), "doubt": _doubt(one["in_doubt"]), "word": word,
    }  # fmt: skip


def _statement(one: Any) -> str:
    if one is None:
        return ""
    if not one["expected"]:
        return "not yet expected"
    days = ", ".join(day[5:] for day in one["missing"])
    return f"missing {days}" if days else f"{one['date'][5:]} arrived"


def _total(one: Any) -> dict[str, Any]:
    from gateway.control.client import ALL_BANKS

    return {
        **one, "bank": "all banks" if one["bank"] == ALL_BANKS else one["bank"],
        "as_of": _moment(one["oldest_as_of"]), "doubt": _doubt(one["in_doubt"]),
        "book": _of(one, "book"), "available": _of(one, "available"),
        "statement": f"{one['statements_arrived']} of {one['statements_expected']}" if one["watched"] else "",
        "accounts": f"{one['accounts']}, {one['watched']} watched",
    }  # fmt: skip


def _of(one: Any, name: str) -> str | None:
    """A sum, and of how many accounts it is unless of all."""
    count = one[f"{name}_accounts"]
    return one[name] if one[name] is None or count == one["accounts"] else f"{one[name]} ({count} of {one['accounts']})"


def _doubt(one: Any) -> str:
    if one is None:
        return "unknown"
    return f"{one['count']}: {one['sum']}" if one["count"] else ""


def _moment(text: str | None) -> str | None:
    return None if text is None else f"{text[:19]}Z"
