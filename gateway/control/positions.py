"""The verb `GET /positions`: own accounts as a tree, totals by company, bank and currency, history, forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.control import ledger_fields
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.core.policy import Route
from gateway.journal.commit import audit
from gateway.treasury import position_rows
from gateway.treasury.position_rows import PositionQuestion
from gateway.treasury.positions import (
    AccountPosition,
    Counted,
    DayForecast,
    PositionTotal,
    TreeNode,
    group_total,
    totals,
    tree,
)
from protocols.canon.money import Money
from protocols.canon.party import Name, mask
from protocols.erp.news import instant

MOST_HISTORY_DAYS, MOST_FORECAST_DAYS = 400, 92


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about positions."""
    return (Verb("GET", "/positions", _Acts(daemon_handle).positions),)


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def positions(self, call: Call) -> Any:
        """The accounts that the asker may see and the filters leave, as of a day."""
        register, now_ms = self._daemon_handle.register(), self._daemon_handle.clock.now_ms()
        zone = ZoneInfo("Asia/Shanghai")
        as_of = None if call.query.get("as_of") is None else ledger_fields.day(call.query["as_of"], "as_of")
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        if as_of is not None and as_of > today:
            raise Denied(400, "bad_day", f"{as_of} is not yet over: positions are as of {today} or a day before it")
        asked = PositionQuestion(
            _wanted(call, list(register.routes.values())), register.positions, zone, now_ms, as_of,
            _days(call, "forecast", MOST_FORECAST_DAYS, 7), register.watched,
        )  # fmt: skip
        past_days = _days(call, "history", MOST_HISTORY_DAYS, 0)

        def look(conn: Connection) -> tuple[list[AccountPosition], list[tuple[date, str, int, int]]]:
            past = position_rows.history(conn, asked, past_days) if past_days else []
            return position_rows.positions(conn, asked), past

        found, past = await self._daemon_handle.store.read(look)
        if call.clear:
            node, detail = self._daemon_handle.identity["node"], {"accounts": len(found)}
            await self._daemon_handle.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "accounts.shown_clear", node, detail)
            )
        sums = totals(found)
        return {
            "at": instant(now_ms), "as_of": asked.day.isoformat(), "is_now": asked.day == today,
            "accounts": [_shown(node, place, call.clear) for place, node in enumerate(tree(found))],
            "totals": [_total(one) for one in sums], "group": _group(asked, sums),
            "history": [
                {"day": day.isoformat(), "currency": name, "balance": str(Money(minor, name)), "accounts": known}
                for day, name, minor, known in past
            ],
        }  # fmt: skip


def _wanted(call: Call, routes: Sequence[Route]) -> list[Route]:
    """The accounts inside the scope that the filters leave. A filter that names nothing is refused."""
    seen = [route for route in routes if call.scope.covers(route.company, route.account)]
    for name, of in (("bank", "bank"), ("company", "company"), ("currency", "currency"), ("account", "account")):
        given = call.query.get(name)
        if given is not None:
            left = [route for route in seen if getattr(route, of) == given]
            if not left:
                there = sorted({getattr(one, of) for one in seen})
                known = "" if name == "account" or not there else f"; there are {', '.join(there)}"
                shown = mask(given) if name == "account" else given
                raise Denied(404, f"no_such_{name}", f"no own account has the {name} {shown}{known}")
            seen = left
    return seen


def _days(call: Call, name: str, most: int, otherwise: int) -> int:
    given = call.query.get(name)
    if given is None:
        return otherwise
    if not given.isdecimal() or int(given) > most:
        raise Denied(400, "bad_number", f"`{name}` is a number of days, at most {most}")
    return int(given)


def _shown(node: TreeNode, place: int, clear: bool) -> dict[str, Any]:
    one, route = node.position, node.position.route
    holder = Name(route.holder)
    return {
        "place": place, "parent": node.parent, "depth": node.depth,
        "account": route.account if clear else mask(route.account),
        "name": one.registered.title or (holder.clear if clear else str(holder)), "nature": one.registered.nature,
        "company": route.company, "bank": route.bank, "currency": route.currency,
        "balance": _money(one.balance_minor, route.currency), "available": _money(one.available_minor, route.currency),
        "source": one.source, "as_of": instant(one.as_of_ms) if one.as_of_ms is not None else
        None if one.as_of_day is None else one.as_of_day.isoformat(),
        "subtotal": {currency: str(Money(minor, currency)) for currency, minor in sorted(node.subtotal.items())},
        **_open(one.waiting, one.under_way, one.in_doubt, route.currency), "forecast": _forecast(one), "note": one.note,
    }  # fmt: skip


def _open(
    waiting: Counted | None, under_way: Counted | None, in_doubt: Counted | None, currency: str
) -> dict[str, Any]:
    return {
        name: None if one is None else {"count": one[0], "sum": str(Money(one[1], currency))}
        for name, one in (("waiting", waiting), ("under_way", under_way), ("in_doubt", in_doubt))
    }


def _forecast(one: AccountPosition) -> list[dict[str, Any]]:
    return [_ahead(day, left, one.route.currency) for day, left in one.projected()]


def _ahead(one: DayForecast, left: int | None, currency: str) -> dict[str, Any]:
    """A day of a forecast, with the balance at its end."""
    return {"day": one.day.isoformat(), "out": str(Money(one.out_minor, currency)),
            "in": str(Money(one.in_minor, currency)), "balance": _money(left, currency)}  # fmt: skip


def _total(one: PositionTotal) -> dict[str, Any]:
    left, ahead = one.balance_minor - one.under_way, []
    for _, each in sorted(one.forecast.items()):
        left += each.in_minor - each.out_minor
        ahead.append(_ahead(each, left, one.currency))
    amounts = {name: str(Money(getattr(one, name), one.currency)) for name in ("waiting", "under_way", "in_doubt")}
    return {
        "company": one.company, "bank": one.bank, "currency": one.currency, "accounts": one.accounts,
        "known": one.known, "balance": _money(one.balance_minor if one.known else None, one.currency),
        "available": _money(one.available_minor if one.known else None, one.currency), **amounts, "forecast": ahead,
    }  # fmt: skip


def _group(asked: PositionQuestion, sums: Sequence[PositionTotal]) -> Mapping[str, Any] | None:
    """All currencies in the group's, and by which rates; None if the settings name no group currency."""
    rates = asked.terms.group
    if rates is None:
        return None
    one = group_total(sums, rates, asked.day)
    return {
        "currency": one.currency, "balance": _money(one.balance_minor, one.currency),
        "rates": {currency: {"rate": rate, "since": day.isoformat()} for currency, (day, rate) in one.used.items()},
        "without_rate": list(one.missing),
    }  # fmt: skip


def _money(minor: int | None, currency: str) -> str | None:
    return None if minor is None else str(Money(minor, currency))
