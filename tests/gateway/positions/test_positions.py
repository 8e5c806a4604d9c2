"""The tree of accounts with subtotals, totals, projected balances, and totals in the group's currency."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.kernel.core.policy import Route
from gateway.positions.rules import AccountPosition, DayForecast, GroupTotal, group_total, totals, tree
from gateway.register.position_terms import GroupRates, RegisteredAccount
from protocols.canon.limits import Limits

DAY = date(2026, 11, 27)


def position(
    account: str,
    minor: int | None,
    parent: str | None = None,
    *,
    company: str = "jia",
    bank: str = "sample",
    currency: str = "CNY",
    **more: Any,
) -> AccountPosition:
    route = Route(account, company, bank, f"{bank}.main", currency, Limits("utf-8"), frozenset())
    return replace(AccountPosition(route, RegisteredAccount("", "general", parent), minor), **more)


def test_a_subtotal_is_an_account_and_all_below_it() -> None:
    found = tree(
        [
            position("4", 1_000, "3"),
            position("2", 50, "1"),
            position("3", 7, "1", currency="USD"),
            position("1", 100),
            position("5", None, "1"),
            position("9", 3, "8"),
        ]
    )
    assert [(one.position.route.account, one.parent, one.depth) for one in found] == [
        ("1", None, 0),
        ("2", 0, 1),
        ("5", 0, 1),
        ("3", 0, 1),
        ("4", 3, 2),
        ("9", None, 0),
    ]
    assert [dict(one.subtotal) for one in found] == [
        {"CNY": 1_150, "USD": 7},
        {"CNY": 50},
        {},
        {"USD": 7, "CNY": 1_000},
        {"CNY": 1_000},
        {"CNY": 3},
    ]


@given(st.lists(st.tuples(st.integers(-99, 99), st.integers(0, 30)), max_size=20))
def test_the_tops_of_the_tree_have_all_the_money(drawn: list[tuple[int, int]]) -> None:
    """An account can be below an account that is listed before it, so the tree has no ring. The settings refuse a
    ring."""
    made = [
        position(str(place), minor, str(above % place) if place else None) for place, (minor, above) in enumerate(drawn)
    ]
    found = tree(made)
    assert len(found) == len(made)
    assert sum(one.subtotal.get("CNY", 0) for one in found if one.depth == 0) == sum(minor for minor, _ in drawn)


def test_totals_count_each_account_once_in_each_kind() -> None:
    found = totals(
        [
            position("1", 100, waiting=(2, 30), under_way=(1, 5), in_doubt=(0, 0)),
            position("2", None),
            position("3", 7, bank="pab", available_minor=4),
            position("4", 9, company="yi", currency="USD"),
        ]
    )
    said = {
        (one.company, one.bank, one.currency): (one.balance_minor, one.available_minor, one.known, one.accounts)
        for one in found
    }
    assert said == {
        ("jia", "sample", "CNY"): (100, 100, 1, 2),
        ("jia", "pab", "CNY"): (7, 4, 1, 1),
        ("yi", "sample", "USD"): (9, 9, 1, 1),
        ("jia", "*", "CNY"): (107, 104, 2, 3),
        ("yi", "*", "USD"): (9, 9, 1, 1),
        ("*", "sample", "CNY"): (100, 100, 1, 2),
        ("*", "pab", "CNY"): (7, 4, 1, 1),
        ("*", "sample", "USD"): (9, 9, 1, 1),
        ("*", "*", "CNY"): (107, 104, 2, 3),
        ("*", "*", "USD"): (9, 9, 1, 1),
    }
    assert [(one.waiting, one.under_way, one.in_doubt) for one in found if one.company == "*"][-2:] == [
        (30, 5, 0),
        (0, 0, 0),
    ]


def test_what_is_projected_leaves_out_what_is_in_doubt() -> None:
    ahead = (DayForecast(DAY, 30, 0), DayForecast(date(2026, 11, 30), 10, 25))
    one = position("1", 100, under_way=(1, 5), in_doubt=(1, 50), forecast=ahead)
    assert [left for _, left in one.projected()] == [65, 80]
    assert [left for _, left in replace(one, balance_minor=None).projected()] == [None, None]


def test_a_total_in_the_groups_currency_needs_every_rate() -> None:
    rates = GroupRates(
        "CNY",
        {
            "USD": ((date(2026, 1, 1), Decimal("7.1")), (date(2026, 11, 27), Decimal("7.0005"))),
            "JPY": ((date(2026, 11, 28), Decimal("0.05")),),
        },
    )
    found = totals([position("1", 100), position("2", 333, currency="USD"), position("3", 200, currency="JPY")])
    assert group_total(found, rates, DAY) == GroupTotal("CNY", None, {"USD": (DAY, "7.0005")}, ("JPY",))
    # 3.33 USD at 7.0005 are 23.31; 200 JPY, which have no decimals, are 10.00 CNY.
    later = group_total(found, rates, date(2026, 11, 28))
    assert (later.balance_minor, later.missing) == (100 + 2_331 + 1_000, ())
    before = group_total(totals([position("2", 333, currency="USD")]), rates, date(2026, 11, 26))
    assert (before.balance_minor, before.used) == (2_364, {"USD": (date(2026, 1, 1), "7.1")})
    assert group_total(found, rates, date(2025, 12, 31)).missing == ("JPY", "USD")
