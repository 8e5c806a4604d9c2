"""The console's page of positions: the register's tree with subtotals, the group's total, and expected movements."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import unescape

import pytest

from gateway.register.position_terms import GroupRates, PositionTerms, RegisteredAccount
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from protocols.canon.money import Money
from tests.console.conftest import House
from tests.console.world_gateway import WorldGateway
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.people.test_people_acts import SUN

SINCE = date(2026, 1, 1)


@pytest.fixture
def with_tree(house: House) -> House:
    """SUN's gateway with one account below another. The upper one has 10.00. Its order for 50,000.01 waits for
    approval."""
    operator = house.operator
    main = operator.world.bank.account
    below = next(one for one in sorted(operator.gateway.registry.routes) if one != main)
    accounts = {
        main: RegisteredAccount("总账户", "basic", None, (SINCE, Money(9_000_000))),
        below: RegisteredAccount("=工资户", "special", main, (SINCE, Money(1_000))),
    }
    rates = GroupRates("USD", {"CNY": ((SINCE, Decimal("0.5")),)})
    register = replace(operator.ports.accounts(), positions=PositionTerms(accounts, rates))
    operator.ports = replace(operator.ports, accounts=lambda: register)
    clock, gateway = operator.ports.clock, WorldGateway(operator)
    site = WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    return replace(house, gateway=gateway, site=site)


def test_accounts_stand_below_each_other_with_subtotals(with_tree: House) -> None:
    submit(with_tree.operator, "AP-1", OVER, maker="zhao")
    browser = with_tree.browser(SUN)
    shown = unescape(browser.get("/positions").body)
    rows = [" ".join(re.sub(r"<[^>]+>", " ", row).split()) for row in shown.split("<tr>") if 'class="depth-' in row]
    assert len(rows) == len(with_tree.operator.ports.accounts().routes)
    (top,) = [row for row in rows if row.startswith("总账户")]
    place = rows.index(top)
    assert "90000.00 90010.00 CNY" in top and "50000.01" in top, "its own, with those below, not sent"
    assert rows[place + 1].startswith("=工资户") and "10.00" in rows[place + 1]
    assert '<th scope="row" class="depth-1">=工资户' in shown
    assert "All currencies" in shown and re.search(
        r'<span class="number">45005\.00</span> <span class="unit">USD', shown
    )
    assert with_tree.operator.world.bank.account not in shown


def test_what_is_known_to_come_is_shown_by_day(with_tree: House) -> None:
    submit(with_tree.operator, "AP-1", OVER, maker="zhao")
    shown = unescape(with_tree.browser(SUN, "zh").get("/positions").body)
    (table,) = re.findall(r"<h3>已知收支: CNY</h3>(.*?)</table>", shown, re.S)
    assert re.search(
        r'<th scope="row">2026-\d\d-\d\d</th><td class="number">50000.01</td><td class="number">0.00</td>'
        r'<td class="number">40009.99</td>',
        table,
    ), table
