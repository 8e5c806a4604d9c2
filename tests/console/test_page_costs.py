"""The cost of each page: how many statements it needs, that none of them reads every payment, and that long lists are
limited.

Times depend on the machine; these do not. `python -m bench.console_pages` has the times.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from gateway.kernel.commit import payment_rows
from gateway.web.console import pages
from protocols.canon.outcome import State
from tests.console.conftest import House
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.people.test_people_acts import SUN

# The page, and the most statements during it with one lane and one sender, those of the daemon included.
COSTS = {
    "/": 75,
    "/payments": 28,
    "/payments?state=held": 28,
    "/payments?state=in_doubt": 28,
    "/payments?state=settled": 28,
    "/approvals": 28,
    "/positions": 40,
    "/reports/payments": 28,
    "/reports/balances": 28,
    "/reconciliation": 28,
    "/search?q=AP-1": 52,
    "/search?q=0000000000000000033": 52,
    "/worklists/escalated": 28,
    "/worklists/returned": 28,
    "/worklists/payroll": 28,
}
LARGE = re.compile(r"SCAN (payments|outbox|audit|attempts|evidence|statement_entries|receipt_searches)\b")
# The newest payments are read from the end of the primary key up to the limit. That is fast for states that most
# payments have; for a rare state all of them would be read.
FROM_THE_END = re.compile(r"ORDER BY payments\.payment DESC\s+LIMIT")
OF_FEW = re.compile(r"payments\.(state|order_id|batch|bank_ref|\w+_idx) (=|IN)")


def left_off(statement: str, parameters: Any) -> bool:
    """True for a query of the newest payments that stops after a few rows."""
    few = OF_FEW.search(statement) is not None and State.SETTLED.value not in parameters
    return FROM_THE_END.search(statement) is not None and not few


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """All statements to the journal during the block."""
    asked: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def plans(house: House, asked: list[tuple[str, Any]]) -> Iterator[tuple[str, Any, str]]:
    """Each step of SQLite's plan for each statement with its parameters."""
    with closing(sqlite3.connect(house.operator.world.folder / "journal.db")) as conn:
        for statement, parameters in asked:
            for step in conn.execute(f"explain query plan {statement}", parameters):
                yield statement, parameters, step[3]


def test_no_page_looks_at_every_payment(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    submit(house.operator, "AP-2", 100, maker="zhao")
    browser = house.browser(SUN)
    house.operator.world.run(30)
    over = {}
    for path, most in COSTS.items():
        house.operator.world.run(30)  # no answer is kept from the page before
        with statements() as asked:
            assert browser.get(path).status == 200
        scans = [
            (one, step) for one, given, step in plans(house, asked) if LARGE.match(step) and not left_off(one, given)
        ]
        assert scans == [], path
        assert asked, path
        if len(asked) > most:
            over[path] = len(asked)
    assert over == {}


def test_a_report_of_many_payments_is_shown_in_pages(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        submit(house.operator, f"AP-{number}", 100 + number, maker="zhao")
    opened = list[str]()
    read = payment_rows.decode_row

    def noted(found: Any, vault: Any) -> Any:
        opened.append(found.payment)
        return read(found, vault)

    monkeypatch.setattr(payment_rows, "decode_row", noted)
    monkeypatch.setattr(pages, "_PAGE_ROWS", 2)
    browser, told = house.browser(SUN), list[str]()
    shown, opened[:] = browser.get("/reports/payments"), []
    for _ in range(3):
        del opened[:]
        told += re.findall(r"<td>(AP-[0-9])</td>", shown.body)
        following = re.search(r'href="(/reports/payments\?[^"]*after=[^"]*)"', shown.body)
        if following is None:
            break
        shown = browser.get(following[1].replace("&amp;", "&"))
        assert len(opened) <= 2
    assert told == ["AP-5", "AP-4", "AP-3", "AP-2", "AP-1"]


def test_the_first_page_is_kept_for_two_seconds_for_those_who_may_see_the_same(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    held = re.compile(r'href="/payments\?state=held"><span class="state held">[^<]*</span> <strong>([0-9]+)<')
    browser, before = house.browser(SUN), house.operator.world
    before.run(5)
    first = held.search(browser.get("/").body)
    assert first is not None and first[1] == "1"
    submit(house.operator, "AP-2", OVER, maker="zhao")
    house.operator.world.run(3)
    later = held.search(browser.get("/").body)
    assert later is not None and later[1] == "2", "it is older than two seconds"
