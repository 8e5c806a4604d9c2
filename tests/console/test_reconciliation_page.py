"""The console's page of one account's reconciliation: both sides, and the difference of all rows and of ticked ones."""

from __future__ import annotations

import re
from datetime import date
from functools import partial
from html import unescape
from typing import Any

import pytest

from gateway.reconciliation.act_answers import reconciliation
from gateway.statements.rows import accounts
from protocols.canon.money import Money
from protocols.canon.party import AccountNumber
from protocols.canon.statement import Direction, Line
from tests.console.conftest import House
from tests.console.test_treasury_pages import write
from tests.gateway.people.test_people_acts import SUN
from tests.gateway.reconciliation.test_reconciliation import OPENING, OwnAccount, paid


@pytest.fixture
def open_rows(house: House) -> Any:
    """The bank has paid 1.00 and 2.50. The ERP's book has 3.50 under an id with shell characters, and other rows."""
    own = OwnAccount(house.operator)
    day = str(own.get()["to"])
    for number, minor in (("1", 100), ("2", 250)):
        line = Line(AccountNumber(own.account), number, Direction.DEBIT, Money(minor), date.fromisoformat(day))
        write(house.operator, partial(accounts.keep_entry, bank="sample", line=line, senders=()))
    rows = [
        {**paid(7, 350, day), "id": "V 7;$(id)"},
        paid(8, 40, day),
        {**paid(9, 40, day), "direction": "credit"},
        paid(10, 5, day),
    ]
    own.book(*rows, closing=OPENING - 355)
    return own.get()["matchings"]["B"]


def page(house: House, asked: str = "") -> str:
    browser = house.browser(SUN)
    (ref, *_more) = re.findall(r'href="(/reconciliation/[0-9a-f]+)"', browser.get("/reconciliation").body)
    answer = browser.get(ref + asked)
    assert answer.status == 200
    return unescape(answer.body)


def row_of(rows: list[Any], amount: str) -> str:
    [found] = [row["id"] for row in rows if row["amount"] == amount]
    return str(found)


def test_the_difference_of_ticked_rows_is_shown_and_the_command_where_they_agree(house: House, open_rows: Any) -> None:
    lines = [row_of(open_rows["open_lines"], amount) for amount in ("1.00", "2.50")]
    entry = row_of(open_rows["open_entries"], "3.50")
    plain = page(house)
    assert '<strong class="number">-0.05</strong> CNY (ours -3.55, the bank\'s -3.50)' in plain
    assert "checked" not in plain and "ticked-B" in plain and 'id="ticked-B"' not in plain
    one = page(house, f"?B={lines[0]}&B={entry}")
    ticked = one.partition('id="ticked-B"')[2]
    assert '<strong class="number">-2.50</strong>' in ticked and "bankgw reconcile confirm" not in ticked
    assert one.count(" checked>") == 2
    agreed = page(house, f"?B={lines[0]}&B={lines[1]}&B={entry}").partition('id="ticked-B"')[2]
    assert '<strong class="number">0.00</strong>' in agreed
    assert "bankgw reconcile confirm ACCOUNT --matching B '--entry=book:V 7;$(id)'" in agreed
    assert all(f" --line={line}" in agreed for line in lines)


def test_rows_of_one_side_that_sum_to_nothing_are_not_confirmed_together(house: House, open_rows: Any) -> None:
    assert 'id="ticked-B"' not in page(house, "?B=nothing&A=01")
    both = "&".join(f"B={row['id']}" for row in open_rows["open_entries"] if row["amount"] == "0.40")
    alone = page(house, f"?{both}").partition('id="ticked-B"')[2]
    assert '<strong class="number">0.00</strong>' in alone and "bankgw reconcile confirm ACCOUNT" not in alone


def test_rows_that_are_not_listed_count_in_the_difference(
    house: House, open_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "LISTED", 1)
    shown = page(house)
    assert "ours -3.55" in shown and "Rows shown: 1 / 4" in shown
