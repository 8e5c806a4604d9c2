"""`bankgw today`: each own account's balance, statement and payments in doubt."""

from __future__ import annotations

from typing import Any

from gateway.cli import output

_COLUMNS = {
    "account": "account",
    "bank": "bank",
    "currency": "",
    "book": "book",
    "available": "available",
    "as_of": "as of",
    "entries": "entries",
    "statement": "statement",
    "doubt": "in doubt",
    "word": "",
}
_TOTALS = {
    "bank": "total",
    "currency": "",
    "book": "book",
    "available": "available",
    "as_of": "oldest as of",
    "entries": "entries",
    "statement": "statements",
    "doubt": "in doubt",
    "accounts": "accounts",
}


def end_if_away(said: Any) -> None:
    """Ends with UNAVAILABLE if the answer comes from memory."""
    output.end_if_away(said, (f"this is how it was at {said['at']}", f"以上为 {said['at']} 的情况"))


def show_today(said: Any) -> None:
    """Every own account, with totals."""
    output.table([_row(one) for one in said["accounts"]], _COLUMNS, "no accounts")
    if said["totals"]:
        output.say("")
        output.table([_total(one) for one in said["totals"]], _TOTALS, "")


def _row(one: Any) -> dict[str, Any]:
    balance = one["balance"] or {}
    if not one["watched"]:
        word = output.in_language(("not watched", "未监视"))
    elif one["lane_condition"] != "ready":
        lane, condition = one["lane"], one["lane_condition"]
        word = output.in_language((f"lane {lane} is {condition}", f"通道 {lane} 的状态：{condition}"))
    else:
        word = "" if one["balance"] else output.in_language(("not heard of yet", "尚无银行答复"))
    return {
        **one,
        "book": balance.get("book"),
        "available": balance.get("available"),
        "as_of": _moment(balance.get("as_of")),
        "statement": _statement(one["statement"]),
        "doubt": _doubt(one["in_doubt"]),
        "word": word,
    }


def _statement(one: Any) -> str:
    if one is None:
        return ""
    if not one["expected"]:
        return output.in_language(("not yet expected", "尚未到期"))
    days, last = ", ".join(day[5:] for day in one["missing"]), one["date"][5:]
    missing, arrived = (f"missing {days}", f"缺 {days}"), (f"{last} arrived", f"{last} 已到")
    return output.in_language(missing if days else arrived)


def _total(one: Any) -> dict[str, Any]:
    from gateway.statements.acts import ALL_BANKS

    return {
        **one,
        "bank": output.in_language(("all banks", "全部银行")) if one["bank"] == ALL_BANKS else one["bank"],
        "as_of": _moment(one["oldest_as_of"]),
        "doubt": _doubt(one["in_doubt"]),
        "book": _of(one, "book"),
        "available": _of(one, "available"),
        "statement": _share(one["statements_arrived"], one["statements_expected"]) if one["watched"] else "",
        "accounts": output.in_language(
            (f"{one['accounts']}, {one['watched']} watched", f"{one['accounts']}，受监视 {one['watched']}")
        ),
    }


def _of(one: Any, name: str) -> str | None:
    """A sum, with the number of its accounts if it is not of all."""
    count = one[f"{name}_accounts"]
    whole = one[name] is None or count == one["accounts"]
    return one[name] if whole else f"{one[name]} ({_share(count, one['accounts'])})"


def _share(count: int, of: int) -> str:
    return output.in_language((f"{count} of {of}", f"{count} / {of}"))


def _doubt(one: Any) -> str:
    if one is None:
        return output.in_language(("unknown", "未知"))
    return f"{one['count']}: {one['sum']}" if one["count"] else ""


def _moment(text: str | None) -> str | None:
    return None if text is None else f"{text[:19]}Z"
