"""Positions: the balance of each own account as of a day, as a tree with subtotals, with totals and known future
payments.

Amounts are minor units. Three sums are separate from the balance: `waiting` payments are accepted and not sent,
`under_way` ones are sent without a final answer, and the outcome of `in_doubt` ones is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from gateway.kernel.core.policy import Route
from gateway.register.position_terms import GroupRates, RegisteredAccount

Counted = tuple[int, int]
NOTHING: Counted = (0, 0)


@dataclass(frozen=True, slots=True)
class DayForecast:
    """The payments that are known for one day: money out of the account, and money in from own accounts. Overdue
    payments count for today."""

    day: date
    out_minor: int = 0
    in_minor: int = 0


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """The position of one account. `source` is the origin of the balance: the bank's last answer, a closed day, or the
    register's opening balance; "" if none is known. `as_of_ms` or `as_of_day` is its time. Open payments are None for
    an earlier day, because the journal does not keep which payments were open then."""

    route: Route
    registered: RegisteredAccount
    balance_minor: int | None = None
    available_minor: int | None = None
    source: str = ""
    as_of_ms: int | None = None
    as_of_day: date | None = None
    waiting: Counted | None = None
    under_way: Counted | None = None
    in_doubt: Counted | None = None
    forecast: Sequence[DayForecast] = ()
    note: str = ""

    def projected(self) -> list[tuple[DayForecast, int | None]]:
        """The balance at the end of each day of the forecast, less payments that are sent or due. Payments in doubt are
        not included."""
        left = None if self.balance_minor is None else self.balance_minor - (self.under_way or NOTHING)[1]
        found: list[tuple[DayForecast, int | None]] = []
        for one in self.forecast:
            left = None if left is None else left - one.out_minor + one.in_minor
            found.append((one, left))
        return found


@dataclass(frozen=True, slots=True)
class TreeNode:
    """An account in the tree: `parent` is the place of the one above it in the list. `subtotal` is its own balance and
    those of all below it, by currency."""

    position: AccountPosition
    parent: int | None
    depth: int
    subtotal: Mapping[str, int]


def tree(positions: Iterable[AccountPosition]) -> list[TreeNode]:
    """The accounts, each followed by those under it. An account whose parent is not among them stands at the top."""
    there = {one.route.account: one for one in positions}
    under: dict[str | None, list[AccountPosition]] = {}
    for one in sorted(there.values(), key=_order):
        parent = one.registered.parent
        under.setdefault(parent if parent in there else None, []).append(one)
    nodes: list[TreeNode] = []

    def put(one: AccountPosition, parent: int | None, depth: int) -> dict[str, int]:
        place = len(nodes)
        sums = {} if one.balance_minor is None else {one.route.currency: one.balance_minor}
        nodes.append(TreeNode(one, parent, depth, sums))
        for child in under.get(one.route.account, ()):
            for currency, minor in put(child, place, depth + 1).items():
                sums[currency] = sums.get(currency, 0) + minor
        return sums

    for one in under.get(None, ()):
        put(one, None, 0)
    return nodes


def _order(one: AccountPosition) -> tuple[str, str, str, str]:
    route = one.route
    return route.company, route.bank, route.currency, route.account


@dataclass(slots=True)
class PositionTotal:
    """The sum of some accounts of one currency. `known` is the number of accounts whose balance is known."""

    company: str
    bank: str
    currency: str
    accounts: int = 0
    known: int = 0
    balance_minor: int = 0
    available_minor: int = 0
    waiting: int = 0
    under_way: int = 0
    in_doubt: int = 0
    forecast: dict[date, DayForecast] = field(default_factory=dict)

    def add(self, one: AccountPosition) -> None:
        """Add one account to the sum."""
        self.accounts += 1
        if one.balance_minor is not None:
            self.known += 1
            self.balance_minor += one.balance_minor
            self.available_minor += one.balance_minor if one.available_minor is None else one.available_minor
        for name in ("waiting", "under_way", "in_doubt"):
            setattr(self, name, getattr(self, name) + (getattr(one, name) or NOTHING)[1])
        for each in one.forecast:
            before = self.forecast.get(each.day, DayForecast(each.day))
            self.forecast[each.day] = DayForecast(
                each.day, before.out_minor + each.out_minor, before.in_minor + each.in_minor
            )


ALL = "*"


def totals(positions: Sequence[AccountPosition]) -> list[PositionTotal]:
    """By currency: a row for every company and bank, for each company, for each bank, and for all."""
    kinds: tuple[Callable[[Route], tuple[str, str]], ...] = (
        lambda route: (route.company, route.bank),
        lambda route: (route.company, ALL),
        lambda route: (ALL, route.bank),
        lambda route: (ALL, ALL),
    )
    found: dict[tuple[str, str, str], PositionTotal] = {}
    for kind in kinds:
        for one in sorted(positions, key=_order):
            key = *kind(one.route), one.route.currency
            found.setdefault(key, PositionTotal(*key)).add(one)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class GroupTotal:
    """The sum of all currencies in the group's. `used` has each rate with the day since which it holds. With `missing`
    currencies there is no sum."""

    currency: str
    balance_minor: int | None
    used: Mapping[str, tuple[date, str]]
    missing: tuple[str, ...]


def group_total(totals: Iterable[PositionTotal], rates: GroupRates, day: date) -> GroupTotal:
    """The sum over all currencies, if each has a rate on that day."""
    sums = {one.currency: one.balance_minor for one in totals if (one.company, one.bank) == (ALL, ALL)}
    found = {currency: rates.of(currency, day) for currency in sums}
    missing = tuple(sorted(currency for currency, rate in found.items() if rate is None))
    total, used = 0, {}
    for currency, rate in sorted(found.items()):
        if rate is not None:
            total += rates.converted(sums[currency], currency, rate[1])
            if rate[0] is not None:
                used[currency] = rate[0], str(rate[1])
    return GroupTotal(rates.currency, None if missing else total, used, missing)
