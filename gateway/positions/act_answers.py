"""The verb `GET /positions`: own accounts as a tree, totals by company, bank and currency, history, forecast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.act_ports import Accounts, NodePort
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from gateway.kernel.core.policy import Route
from gateway.positions import rows as position_rows
from gateway.positions.acts import ViewPositions
from gateway.positions.rows import PositionQuestion
from gateway.positions.rules import (
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


@dataclass(frozen=True, slots=True)
class PositionAnswers:
    """Answers the act about positions."""

    store: Store
    clock: Clock
    accounts: Accounts
    node: NodePort

    @answers("positions.show")
    async def positions(self, call: Call, params: ViewPositions) -> Any:
        """The accounts that the caller may see and the filters select, as of a day."""
        register, now_ms = self.accounts(), self.clock.now_ms()
        zone = ZoneInfo("Asia/Shanghai")
        as_of = params.as_of
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        if as_of is not None and as_of > today:
            raise Denied(400, "bad_day", f"{as_of} is not yet over: positions are as of {today} or a day before it")
        asked = PositionQuestion(
            _wanted(call, params, list(register.routes.values())),
            register.positions,
            zone,
            now_ms,
            as_of,
            7 if params.forecast is None else params.forecast,
            register.watched,
        )
        past_days = params.history or 0

        def positions_and_history(conn: Connection) -> tuple[list[AccountPosition], list[tuple[date, str, int, int]]]:
            past = position_rows.history(conn, asked, past_days) if past_days else []
            return position_rows.positions(conn, asked), past

        found, past = await self.store.read(positions_and_history)
        if params.clear:
            node, detail = self.node.identity["node"], {"accounts": len(found)}
            await self.store.write(lambda tx: audit.append(tx, call.peer.actor, "accounts.shown_clear", node, detail))
        sums = totals(found)
        return {
            "at": instant(now_ms),
            "as_of": asked.day.isoformat(),
            "is_now": asked.day == today,
            "accounts": [_shown(node, place, params.clear) for place, node in enumerate(tree(found))],
            "totals": [_total(one) for one in sums],
            "group": _group(asked, sums),
            "history": [
                {"day": day.isoformat(), "currency": name, "balance": str(Money(minor, name)), "accounts": known}
                for day, name, minor, known in past
            ],
        }


def _wanted(call: Call, asked: ViewPositions, routes: Sequence[Route]) -> list[Route]:
    """The accounts inside the scope that the filters select. Raises Denied for a filter that matches nothing."""
    seen = [route for route in routes if call.scope.covers(route.company, route.account)]
    for name in ("bank", "company", "currency", "account"):
        given: str | None = getattr(asked, name)
        if given is not None:
            left = [route for route in seen if getattr(route, name) == given]
            if not left:
                there = sorted({getattr(one, name) for one in seen})
                known = "" if name == "account" or not there else f"; there are {', '.join(there)}"
                shown = mask(given) if name == "account" else given
                raise Denied(404, f"no_such_{name}", f"no own account has the {name} {shown}{known}")
            seen = left
    return seen


def _shown(node: TreeNode, place: int, clear: bool) -> dict[str, Any]:
    one, route = node.position, node.position.route
    holder = Name(route.holder)
    return {
        "place": place,
        "parent": node.parent,
        "depth": node.depth,
        "account": route.account if clear else mask(route.account),
        "name": one.registered.title or (holder.clear if clear else str(holder)),
        "nature": one.registered.nature,
        "company": route.company,
        "bank": route.bank,
        "currency": route.currency,
        "balance": _money(one.balance_minor, route.currency),
        "available": _money(one.available_minor, route.currency),
        "source": one.source,
        "as_of": instant(one.as_of_ms)
        if one.as_of_ms is not None
        else None
        if one.as_of_day is None
        else one.as_of_day.isoformat(),
        "subtotal": {currency: str(Money(minor, currency)) for currency, minor in sorted(node.subtotal.items())},
        **_open(one.waiting, one.under_way, one.in_doubt, route.currency),
        "forecast": _forecast(one),
        "note": one.note,
    }


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
    """One day of a forecast as JSON, with the balance at its end."""
    return {
        "day": one.day.isoformat(),
        "out": str(Money(one.out_minor, currency)),
        "in": str(Money(one.in_minor, currency)),
        "balance": _money(left, currency),
    }


def _total(one: PositionTotal) -> dict[str, Any]:
    left, ahead = one.balance_minor - one.under_way, []
    for _, each in sorted(one.forecast.items()):
        left += each.in_minor - each.out_minor
        ahead.append(_ahead(each, left, one.currency))
    amounts = {name: str(Money(getattr(one, name), one.currency)) for name in ("waiting", "under_way", "in_doubt")}
    return {
        "company": one.company,
        "bank": one.bank,
        "currency": one.currency,
        "accounts": one.accounts,
        "known": one.known,
        "balance": _money(one.balance_minor if one.known else None, one.currency),
        "available": _money(one.available_minor if one.known else None, one.currency),
        **amounts,
        "forecast": ahead,
    }


def _group(asked: PositionQuestion, sums: Sequence[PositionTotal]) -> Mapping[str, Any] | None:
    """All currencies converted into the group's currency, and the rates; None if the settings name no
    group currency.
    """
    rates = asked.terms.group
    if rates is None:
        return None
    one = group_total(sums, rates, asked.day)
    return {
        "currency": one.currency,
        "balance": _money(one.balance_minor, one.currency),
        "rates": {currency: {"rate": rate, "since": day.isoformat()} for currency, (day, rate) in one.used.items()},
        "without_rate": list(one.missing),
    }


def _money(minor: int | None, currency: str) -> str | None:
    return None if minor is None else str(Money(minor, currency))
