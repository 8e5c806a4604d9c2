"""Texts of ERPs and banks on the pages of cash pools and joint tests, and in every report exported as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.control.matrix import MATRIX
from gateway.jointtest.run_store import RunStore
from gateway.jointtest.shelf import RunShelf
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.pools.rows import pools
from gateway.reports.forms import FORMS
from gateway.reports.table import CellKind, is_formula
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console.conftest import House
from tests.console.hostile.test_browsers import EVIL, NOTHING_THERE, Poisoned, pattern_of, poisoned
from tests.console.hostile.test_privilege import token
from tests.console.kit import Browser, PageAnswer
from tests.console.test_treasury_pages import write
from tests.console.world_gateway import CONSOLE, WorldGateway
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO
from tests.gateway.people.test_people_acts import SUN, appoint, decide
from tests.gateway.pools.test_liquidity import pool_of, world_of

FORMULAS = (
    "=1+1",
    "+1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(A1)",
    "\t=1+1",
    "\r=1+1",
    " =1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(A1)",
    "'=1+1",
    '"=1+1',
    "a\n=1+1",
    "a\x00=1+1",
    "\u2028=1+1",
)


def harmless(answer: PageAnswer, path: str) -> str:
    """The page, after a check that nothing of EVIL is markup."""
    assert answer.status == 200, (path, answer.body[-500:])
    assert "<script>alert" not in answer.body and "<img src=x" not in answer.body and "\"'>" not in answer.body, path
    return answer.body


def poisoned_site(house: House, gateway: WorldGateway) -> WebSite:
    house.gateway, clock = gateway, house.operator.ports.clock
    return WebSite(
        "gateway.web.console", TEXTS, Poisoned(house), "console_origin", routes(), clock.monotonic_s, clock.now_ms
    )


@pytest.fixture
def pooled(tmp_path: Path) -> Iterator[House]:
    operator = Operator(world_of(tmp_path))
    appoint(operator, ZHAO, SUN, roles="supervisor@*")
    gateway, clock = WorldGateway(operator), operator.ports.clock
    site = WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    write(operator, lambda tx: pools.put_in_force(tx, "group", pool_of(operator, "up=all"), "PROPOSAL"))
    yield House(operator, gateway, site, site)
    operator.world.crash()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_texts_on_the_pages_of_pools_are_texts(pooled: House, language: str) -> None:
    assert decide(pooled.operator, "pool_run", "group", "noon", ZHAO, SUN)["state"] == "done"
    pooled.operator.world.run(5)
    run = f"/liquidity-runs/group.{pooled.operator.gateway.pools.local():%Y%m%d}.noon"
    browser = pooled.browser(ZHAO, language)
    clean = browser.get(run).body
    browser.site = poisoned_site(pooled, pooled.gateway)
    paths = ("/liquidity", "/liquidity/group", "/liquidity/group/preview", run)
    told = [harmless(browser.get(path), path) for path in paths]
    assert all("&lt;script&gt;alert" in one for one in told) and "script" not in clean
    assert {pattern_of(path) for path in paths[1:]} == set(NOTHING_THERE[:3])


def test_texts_on_the_pages_of_joint_tests_are_texts(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    store = RunStore(folder / "sample-1" / "run", lambda: datetime(2026, 11, 28, 9, tzinfo=UTC))
    store.open("abc123", "sample", ["probe", "settles.payment"])
    store.begin_round({"gateway": EVIL, "front_end": EVIL})
    store.end(store.start("probe"), CaseFinding(CaseVerdict.FAILED, EVIL, seen=SeenAt.TWIN))
    evidence = store.folder / "evidence" / "R1-probe-1"
    evidence.mkdir(parents=True)
    (evidence / "gateway-wire.bin").write_bytes(f"<m>{EVIL}</m>".encode())
    gateway = WorldGateway(house.operator, RunShelf(folder))
    browser, clock = house.browser(SUN), house.operator.ports.clock
    shown, file = (
        "/joint-tests/sample-1/tries/R1-probe-1",
        "/joint-tests/sample-1/tries/R1-probe-1/files/gateway-wire.bin",
    )
    paths = ("/joint-tests", "/joint-tests/sample-1", shown, file)
    # First the stored bytes and findings of the bank, then every text of every answer.
    browser.site = WebSite(
        "gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms
    )
    kept = [harmless(browser.get(path), path) for path in paths]
    assert all("&lt;script&gt;alert" in kept[place] for place in (1, 3))
    browser.site = poisoned_site(house, gateway)
    told = [harmless(browser.get(path), path) for path in paths]
    assert all("&lt;script&gt;alert" in one for one in told)
    assert {pattern_of(path) for path in paths[1:]} == set(NOTHING_THERE[3:])


class _Rows:
    """A gateway whose reports have one row for each formula, in every text column."""

    def daemon(self, token: str) -> Any:
        return self

    def query(self, token: str) -> Any:
        return self

    def get(self, *parts: str, **query: Any) -> Any:
        if parts == ("place",):
            return {
                "environment": "test",
                "live": False,
                "console_origin": CONSOLE,
                "approval_origin": CONSOLE,
                "oidc": None,
            }
        if parts == ("web", "session"):
            return {"roles": ";".join(f"{role}@*" for role in sorted(MATRIX["GET /reports/{}"].roles))}
        keys = [column.key for column in FORMS[parts[1]].columns if column.kind in (CellKind.TEXT, CellKind.ACCOUNT)]
        return {
            "rows": [dict.fromkeys(keys, text) for text in FORMULAS],
            "next": None,
            "from": "2026-11-01",
            "to": "2026-11-28",
        }

    def post(self, *parts: str, **body: Any) -> Any:
        return {"noted": True}


@pytest.mark.parametrize("name", sorted(FORMS.keys() - {"security-review"}))
def test_no_cell_of_a_report_taken_away_is_a_formula(house: House, name: str) -> None:
    clock = house.operator.ports.clock
    site = WebSite("gateway.web.console", TEXTS, _Rows(), "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    browser = Browser(site, cookies={"__Host-session": token(house, "sun")})
    answer = browser.get(f"/reports/{name}/csv")
    assert answer.status == 200, answer.body
    rows = list(csv.reader(io.StringIO(answer.body.removeprefix("\ufeff"), newline="")))
    cells = [cell for row in rows for cell in row]
    # A spreadsheet reads a cell with a quote before the sign as text.
    dangerous = [cell for cell in cells if is_formula(cell) and not cell.startswith("'")]
    assert dangerous == [] and not any(re.search(r"[\x00-\x09\x0b-\x1f\u2028]", cell) for cell in cells)
    assert len(rows) >= len(FORMULAS)


def test_the_poison_is_in_every_text() -> None:
    """Checks the test itself: a text without the poison would not be tested."""
    assert poisoned({"a": "x", "b": ["y", {"c": "z"}], "state": "held", "n": 1}) == {
        "a": EVIL,
        "b": [EVIL, {"c": EVIL}],
        "state": "held",
        "n": 1,
    }
