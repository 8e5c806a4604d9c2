"""`bankgw positions`: own accounts as a tree, with totals, history and expected movements."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.act_commands import ActRun

_COLUMNS = {
    "name": "account",
    "number": "number",
    "nature": "nature",
    "company": "company",
    "bank": "bank",
    "currency": "",
    "balance": "balance",
    "available": "available",
    "subtotal": "with those below",
    "waiting": "not sent",
    "under_way": "under way",
    "in_doubt": "in doubt",
    "as_of": "as of",
    "note": "",
}
_TOTALS = {
    "company": "company",
    "bank": "bank",
    "currency": "",
    "balance": "balance",
    "available": "available",
    "waiting": "not sent",
    "under_way": "under way",
    "in_doubt": "in doubt",
    "accounts": "accounts",
}
_FORECAST = {"day": "day", "currency": "", "out": "out", "in": "in", "balance": "balance then"}
_HISTORY = {"day": "day", "currency": "", "balance": "balance", "accounts": "accounts known"}
_OPEN = ("waiting", "under_way", "in_doubt")
_CSV = (
    "depth",
    "name",
    "account",
    "nature",
    "company",
    "bank",
    "currency",
    "balance",
    "available",
    "source",
    "as_of",
    "waiting",
    "under_way",
    "in_doubt",
    "note",
)


def positions(run: ActRun, as_csv: Annotated[bool, typer.Option("--csv", help="The accounts as CSV.")] = False) -> None:
    """Show what every own account holds, as a tree with subtotals; totals; payments not sent, under way and in doubt.

    No bank is asked. A balance is the bank's last answer, else that of the last closed day, else the register's opening
    balance.
    """
    said = run.ask()
    if as_csv and not run.as_json:
        _write_csv(said)
    else:
        run.show(said, _words)


def _words(said: Any) -> None:
    output.table([_row(one) for one in said["accounts"]], _COLUMNS, "no accounts")
    output.say("")
    output.table([_total(one) for one in said["totals"]], _TOTALS, "")
    group = said["group"]
    if group is not None and group["without_rate"]:
        names = ", ".join(group["without_rate"])
        currency, day = group["currency"], said["as_of"]
        output.say(
            (
                f"no total in {currency}: {names} has no rate on {day}",
                f"无法合计为 {currency}：{names} 在 {day} 没有汇率",
            )
        )
    elif group is not None:
        rates = "; ".join(
            output.in_language(
                (f"1 {name} = {one['rate']} since {one['since']}", f"1 {name} = {one['rate']}，自 {one['since']}")
            )
            for name, one in group["rates"].items()
        )
        currency, balance, all_rates = group["currency"], group["balance"], f" ({rates})" if rates else ""
        output.say((f"all in {currency}: {balance}{all_rates}", f"折合 {currency} 合计：{balance}{all_rates}"))
    ahead = [
        {**day, "currency": one["currency"]}
        for one in said["totals"]
        if (one["company"], one["bank"]) == ("*", "*")
        for day in one["forecast"]
    ]
    for rows, columns in ((ahead, _FORECAST), (said["history"], _HISTORY)):
        if rows:
            output.say("")
            output.table(rows, columns, "")


def _row(one: Any) -> dict[str, Any]:
    own = {} if one["balance"] is None else {one["currency"]: one["balance"]}
    below = "" if one["subtotal"] == own else " ".join(f"{name} {sum}" for name, sum in one["subtotal"].items())
    return {
        **one,
        "name": f"{'  ' * one['depth']}{one['name']}",
        "number": one["account"],
        "subtotal": below,
        **{name: _sum(one[name]) for name in _OPEN},
        "as_of": (one["as_of"] or "")[:19],
        "note": output.sentence(one["note"] or ""),
    }


def _sum(one: Any) -> str:
    return "" if one is None or not one["count"] else f"{one['count']}: {one['sum']}"


def _total(one: Any) -> dict[str, Any]:
    every = output.in_language(("all", "全部"))
    words = {name: every if one[name] == "*" else one[name] for name in ("company", "bank")}
    known = output.in_language((f", {one['known']} known", f"，已知 {one['known']}"))
    return {**one, **words, "accounts": f"{one['accounts']}{'' if one['known'] == one['accounts'] else known}"}


def _write_csv(said: Any) -> None:
    import csv
    import sys

    from gateway.reports.table import harmless

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(_CSV)
    for one in said["accounts"]:
        open_sums = {name: None if one[name] is None else one[name]["sum"] for name in _OPEN}
        row = {**one, **open_sums, "name": harmless(one["name"]), "note": harmless(one["note"])}
        writer.writerow(["" if row[name] is None else row[name] for name in _CSV])
