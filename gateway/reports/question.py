"""The question of a report: own accounts, a period, masked or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from gateway.kernel.core.policy import Route
from gateway.people.rules.scopes import WHOLE, Scope
from gateway.reconciliation.masked_text import masked_text
from gateway.register.registry import Registry
from gateway.reports import sources
from gateway.reports.sources import ReportQuestion, TextShown
from protocols.canon.party import Name, mask

ZONE = "Asia/Shanghai"
"""The zone of a report's days if it has no accounts; otherwise the zone of the first account's bank is used."""


@dataclass(frozen=True, slots=True)
class ReportScope:
    """The accounts and days of a report; None for all accounts, and for the default period.

    `clear`: unmasked. `most_rows`: the most rows that are read for a page, None for the usual number.
    """

    bank: str | None = None
    company: str | None = None
    account: str | None = None
    first: date | None = None
    last: date | None = None
    clear: bool = False
    scope: Scope = WHOLE
    most_rows: int | None = None


class BadPeriod(ValueError):
    """The period ends before it begins."""


def question(
    register: Registry, now_ms: int, wish: ReportScope, certificates: Mapping[tuple[str, str], float] | None = None
) -> ReportQuestion:
    """The question of a report. Without days, the period is this month up to today. Raises BadPeriod."""
    routes = [
        route
        for route in register.routes.values()
        if wish.bank in (None, route.bank)
        and wish.company in (None, route.company)
        and wish.account in (None, route.account)
        and wish.scope.covers(route.company, route.account)
    ]
    routes.sort(key=_order)
    zone = ZoneInfo(routes[0].limits.hours.zone if routes else ZONE)
    last = wish.last or datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    first = wish.first or last.replace(day=1)
    if first > last:
        raise BadPeriod(f"the period ends on {last} before it begins on {first}")
    text_shown: TextShown = _clear if wish.clear else masked_text
    return ReportQuestion(
        routes,
        wish.scope,
        first,
        last,
        zone,
        now_ms,
        str if wish.clear else mask,
        str if wish.clear else _name,
        text_shown,
        register.watched,
        wish.bank,
        register.reconciliation,
        certificates or {},
        wish.most_rows or sources.PAGE_ROWS,
    )


def _name(name: str) -> str:
    return str(Name(name)) if name else ""


def _clear(text: str, *_names: str) -> str:
    return text


def _order(route: Route) -> tuple[str, str, str, str]:
    return route.company, route.bank, route.currency, route.account
