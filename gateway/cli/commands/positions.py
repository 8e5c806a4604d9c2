"""`bankgw positions`: own accounts as a tree, with totals, history and what is known to come."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.output import DEFAULT_CONFIG, AsJson, Clear, Config, Socket

_COLUMNS = {
    "name": "account", "number": "number", "nature": "nature", "company": "company", "bank": "bank", "currency": "",
    "balance": "balance", "available": "available", "subtotal": "with those below", "waiting": "not sent",
    "under_way": "under way", "in_doubt": "in doubt", "as_of": "as of", "note": "",
}  # fmt: skip
_TOTALS = {
    "company": "company", "bank": "bank", "currency": "", "balance": "balance", "available": "available",
    "waiting": "not sent", "under_way": "under way", "in_doubt": "in doubt", "accounts": "accounts",
}  # fmt: skip
_FORECAST = {"day": "day", "currency": "", "out": "out", "in": "in", "balance": "balance then"}
_HISTORY = {"day": "day", "currency": "", "balance": "balance", "accounts": "accounts known"}
_OPEN = ("waiting", "under_way", "in_doubt")
_CSV = ("depth", "name", "account", "nature", "company", "bank", "currency", "balance", "available", "source", "as_of",
        "waiting", "under_way", "in_doubt", "note")  # fmt: skip


def positions(
    context: typer.Context,
    as_of: Annotated[str | None, typer.Option(metavar="DAY", help="As of the end of an earlier day.")] = None,
    bank: Annotated[str | None, typer.Option(help="Only this bank's accounts.")] = None,
    company: Annotated[str | None, typer.Option(help="Only this company's accounts.")] = None,
    currency: Annotated[str | None, typer.Option(help="Only accounts in this currency.")] = None,
    account: Annotated[str | None, typer.Option(help="Only this own account.")] = None,
    history: Annotated[int | None, typer.Option(metavar="DAYS", help="Also the balances of so many days.")] = None,
    forecast: Annotated[
        int | None, typer.Option(metavar="DAYS", help="How far ahead known payments are told; default: 7.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="The accounts as CSV.")] = False,
    clear: Clear = False,
    config: Config = DEFAULT_CONFIG,
    socket: Socket = None,
    as_json: AsJson = False,
) -> None:
    """Show what every own account holds, as a tree with subtotals; totals; payments not sent, under way and in doubt.

    No bank is asked by this. A balance is the bank's last answer, else that of the last closed day, else the register's
    opening balance.
    """
    asked = {"as_of": as_of, "bank": bank, "company": company, "currency": currency, "account": account,
             "history": history, "forecast": forecast, "clear": 1 if clear else None}  # fmt: skip
    with output.asking():
        said = output.remote(context, config, socket).get("positions", **asked)
    if as_csv and not as_json:
        _write_csv(said)
    else:
        output.show(said, as_json=as_json, words=_words)


def _words(said: Any) -> None:
    output.table([_row(one) for one in said["accounts"]], _COLUMNS, "no accounts")
    output.say("")
    output.table([_total(one) for one in said["totals"]], _TOTALS, "")
    group = said["group"]
    if group is not None and group["without_rate"]:
        names = ", ".join(group["without_rate"])
        output.say(f"no total in {group['currency']}: {names} has no rate on {said['as_of']}")
    elif group is not None:
        rates = "; ".join(f"1 {name} = {one['rate']} since {one['since']}" for name, one in group["rates"].items())
        output.say(f"all in {group['currency']}: {group['balance']}{f' ({rates})' if rates else ''}")
    ahead = [{**day, "currency": one["currency"]} for one in said["totals"]
             if (one["company"], one["bank"]) == ("*", "*") for day in one["forecast"]]  # fmt: skip
    for rows, columns in ((ahead, _FORECAST), (said["history"], _HISTORY)):
        if rows:
            output.say("")
            output.table(rows, columns, "")


def _row(one: Any) -> dict[str, Any]:
    own = {} if one["balance"] is None else {one["currency"]: one["balance"]}
    below = "" if one["subtotal"] == own else " ".join(f"{name} {sum}" for name, sum in one["subtotal"].items())
    return {**one, "name": f"{'  ' * one['depth']}{one['name']}", "number": one["account"], "subtotal": below,
            **{name: _sum(one[name]) for name in _OPEN}, "as_of": (one["as_of"] or "")[:19]}  # fmt: skip


def _sum(one: Any) -> str:
    return "" if one is None or not one["count"] else f"{one['count']}: {one['sum']}"


def _total(one: Any) -> dict[str, Any]:
    words = {name: "all" if one[name] == "*" else one[name] for name in ("company", "bank")}
    known = "" if one["known"] == one["accounts"] else f", {one['known']} known"
    return {**one, **words, "accounts": f"{one['accounts']}{known}"}


def _write_csv(said: Any) -> None:
    import csv
    import sys

    from gateway.treasury.reports.table import harmless

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV)
    for one in said["accounts"]:
        open_sums = {name: None if one[name] is None else one[name]["sum"] for name in _OPEN}
        row = {**one, **open_sums, "name": harmless(one["name"]), "note": harmless(one["note"])}
        writer.writerow(["" if row[name] is None else row[name] for name in _CSV])
