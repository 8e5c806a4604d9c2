"""`bankgw worklists`: the items that wait for a person, each row with one next step."""

from __future__ import annotations

from typing import Any

from gateway.cli import output

_COLUMNS = {
    "what": "what",
    "bank": "bank",
    "account": "account",
    "amount": "amount",
    "currency": "",
    "why": "why",
    "age_days": "days",
    "next": "next step",
}


def show_lists(said: Any) -> None:
    """Every list with its rows."""
    for one in said["lists"]:
        name, count = output.code("list", one["list"]), one["count"]
        output.say((f"{name}: {count}", f"{name}：{count}"))
        if one["count"]:
            rows = [
                {**row, "why": output.sentence(row["why"]), "next": output.sentence(row["next"])} for row in one["rows"]
            ]
            output.table(rows, _COLUMNS, "")
            output.say("")
