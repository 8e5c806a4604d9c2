"""What a report is asked about: own accounts of the register, a period, masked or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from gateway.core.policy import Route
from gateway.people.scopes import WHOLE, Scope
from gateway.registry import Registry
from gateway.treasury.masked_text import masked_text
from gateway.treasury.reports import sources
from gateway.treasury.reports.sources import ReportQuestion, TextShown
from protocols.canon.party import Name, mask

ZONE = "Asia/Shanghai"
"""The zone of a report's days if it has no accounts; else that of the first account's bank."""


@dataclass(frozen=True, slots=True)
class ReportWish:
    """Which accounts and days, None for all accounts and for the default period. `clear`: unmasked. `most_rows`: what
    a page is read from, None for the usual."""

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
    register: Registry, now_ms: int, wish: ReportWish, certificates: Mapping[tuple[str, str], float] | None = None
) -> ReportQuestion:
    """The question; without days the period is this month up to today. Raises BadPeriod."""
    routes = [
        route for route in register.routes.values()
        if wish.bank in (None, route.bank) and wish.company in (None, route.company)
        and wish.account in (None, route.account) and wish.scope.covers(route.company, route.account)
    ]  # fmt: skip
    routes.sort(key=_order)
    zone = ZoneInfo(routes[0].limits.hours.zone if routes else ZONE)
    last = wish.last or datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
    first = wish.first or last.replace(day=1)
    if first > last:
        raise BadPeriod(f"the period ends on {last} before it begins on {first}")
    text_shown: TextShown = _clear if wish.clear else masked_text
    return ReportQuestion(
        routes, wish.scope, first, last, zone, now_ms, str if wish.clear else mask, str if wish.clear else _name,
        text_shown, register.watched, wish.bank, register.reconciliation, certificates or {},
        wish.most_rows or sources.PAGE_ROWS,
    )  # fmt: skip


def _name(name: str) -> str:
    return str(Name(name)) if name else ""


def _clear(text: str, *_names: str) -> str:
    return text


def _order(route: Route) -> tuple[str, str, str, str]:
    return route.company, route.bank, route.currency, route.account
