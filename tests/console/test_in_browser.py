"""Both pages in Debian's Chromium with a virtual authenticator: a passkey is made, bound, and approves. Reading needs
no script.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from selenium.webdriver.support.ui import WebDriverWait

from gateway.jointtest.run_store import RunStore
from gateway.jointtest.shelf import RunShelf
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import OutboxState
from gateway.people.rules import one_time_codes
from gateway.people.rules.passkeys import RelyingParty
from gateway.receipts.rows import receipt_files
from gateway.web.approval_page.pages import routes as approval_routes
from gateway.web.approval_page.texts import TEXTS as APPROVAL_TEXTS
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console import world_gateway
from tests.console.conftest import House
from tests.console.hostile.test_privilege import token
from tests.console.test_treasury_pages import kept_receipt, payment_of, write
from tests.gateway.approvals.test_approval_acts import executions, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import hand
from tests.gateway.people.test_people_acts import PASSWORD, SUN, let_in, sign_in, with_password
from tests.world.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WAIT_S = 30
WIDTHS = (1280, 390)
AXE = ROOT / ".run" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = (
    "/",
    "/payments",
    "/approvals?all=yes",
    "/positions",
    "/reconciliation",
    "/reports",
    "/reports/payments",
    "/people",
    "/receipts",
    "/receipts/missing",
    "/liquidity",
    "/joint-tests",
    "/worklists/escalated",
    "/search?q=AP",
    "/step-up?back=/reports/payments/csv",
    "/sign-in/passkey",
    "/passkey",
)


@dataclass
class Served:
    """Both sites over one world, at names of this machine. `tests`: the folder of joint tests."""

    house: House
    console: str
    approval: str
    tests: Path


@pytest.fixture
def served(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Served]:
    ports = [free_port(), free_port()]
    console, approval = f"http://console.localhost:{ports[0]}", f"http://approve.localhost:{ports[1]}"
    place = replace(
        world_gateway.PLACE,
        console=RelyingParty("console.localhost", console),
        approval=RelyingParty("approve.localhost", approval),
    )
    monkeypatch.setattr(world_gateway, "PLACE", place)
    gateway = world_gateway.WorldGateway(house.operator, RunShelf(tmp_path / "tests"))
    lock = threading.Lock()
    asked = house.operator.ask_one_of

    def one_at_a_time(*given: Any, **more: Any) -> Any:
        with lock:
            return asked(*given, **more)

    monkeypatch.setattr(house.operator, "ask_one_of", one_at_a_time)
    now = (house.operator.ports.clock.monotonic_s, house.operator.ports.clock.now_ms)
    sites = [
        WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), *now),
        WebSite("gateway.web.approval_page", APPROVAL_TEXTS, gateway, "approval_origin", approval_routes(), *now),
    ]
    servers = [
        uvicorn.Server(
            uvicorn.Config(site.application, host="127.0.0.1", port=port, lifespan="off", ws="none", log_config=None)
        )
        for site, port in zip(sites, ports, strict=True)
    ]
    threads = [threading.Thread(target=one.run, daemon=True) for one in servers]
    for one in threads:
        one.start()
    yield Served(house, console, approval, tmp_path / "tests")
    for server in servers:
        server.should_exit = True
    for one in threads:
        one.join(10)


@pytest.fixture
def browser() -> Iterator[webdriver.Chrome]:
    if shutil.which("chromedriver") is None:
        pytest.skip("no chromedriver: bash setup/tools.sh")
    options = webdriver.ChromeOptions()
    for one in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900", "--lang=en"):
        options.add_argument(one)
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    made.set_page_load_timeout(WAIT_S)
    yield made
    made.quit()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def until(browser: webdriver.Chrome, true: Callable[[webdriver.Chrome], Any]) -> Any:
    return WebDriverWait(browser, WAIT_S).until(true)


def shot(browser: webdriver.Chrome, name: str) -> None:
    """Save a picture of the page if CONSOLE_SHOTS names a folder."""
    folder = os.environ.get("CONSOLE_SHOTS")
    if folder:
        for width in WIDTHS:
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
            )
            height = browser.execute_script("return document.documentElement.scrollHeight")
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": min(int(height), 2400), "deviceScaleFactor": 1, "mobile": width < 500},
            )
            browser.save_screenshot(str(Path(folder) / f"{name}-{width}.png"))
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def problems(browser: webdriver.Chrome, where: str) -> None:
    """The complaints of axe-core about the shown page, wide and narrow: there must be none. setup/tools.sh fetches
    axe-core.
    """
    if not AXE.exists():
        pytest.skip("no axe-core: bash setup/tools.sh")
    for width in WIDTHS:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        over = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, f"{where} is wider than {width} px"
        browser.execute_script(AXE.read_text("utf-8"))
        said = browser.execute_async_script("const done = arguments[0]; axe.run().then(done);")
        found = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in said["violations"]]
        assert found == [], (where, width)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_passkey_is_made_bound_and_approves_in_a_browser(served: Served, browser: webdriver.Chrome) -> None:
    operator = served.house.operator
    submit(operator, "AP-1", OVER, maker="zhao")
    key = key_of(operator, "AP-1")
    options = VirtualAuthenticatorOptions()
    options.has_resident_key = options.has_user_verification = options.is_user_verified = True
    browser.add_virtual_authenticator(options)
    browser.get(f"{served.approval}/passkey")
    shot(browser, "passkey")
    problems(browser, "passkey")
    browser.find_element(By.ID, "label").send_keys("sun")
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    code = until(browser, lambda page: page.find_element(By.CSS_SELECTOR, "pre").text.rpartition(" ")[2])
    sign_in(operator, SUN)
    operator.ask("POST", "factors", "passkey", peer=SUN.peer, code=code, page="approval")
    browser.get(f"{served.approval}/sign-in")
    shot(browser, "approval-sign-in")
    problems(browser, "sign in")
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    until(browser, lambda page: page.current_url == f"{served.approval}/")
    browser.get(f"{served.approval}/requests/{key}")
    shot(browser, "request")
    problems(browser, "request")
    browser.find_element(By.ID, "approve").click()
    until(browser, lambda page: "approved" in page.find_element(By.CSS_SELECTOR, "[role=status]").text)
    shot(browser, "decided")
    problems(browser, "decided")
    operator.world.run(5)
    assert operator.world.state("AP-1") == "settled" and executions(operator) == 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_of_the_console_in_a_browser(served: Served, browser: webdriver.Chrome, language: str) -> None:
    operator = served.house.operator
    submit(operator, "AP-1", OVER, maker="zhao")
    submit(operator, "AP-2", 100, maker="zhao")
    secret = with_password(operator, SUN)
    operator.world.run(31)
    browser.get(f"{served.console}/language/{language}?back=/sign-in")
    shot(browser, f"sign-in-{language}")
    problems(browser, "sign in")
    step = operator.ports.clock.now_ms() // 1000 // one_time_codes.STEP_S
    for name, value in (("person", "sun"), ("password", PASSWORD), ("code", one_time_codes.code_at(secret, step))):
        browser.find_element(By.ID, name).send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    until(browser, lambda page: page.current_url == f"{served.console}/")
    payment = operator.world.query("select payment from payments where order_id = ?", "AP-2")[0][0]
    for path in (*PAGES, f"/payments/{payment}", f"/approvals/{key_of(operator, 'AP-1')}"):
        browser.get(served.console + path)
        shot(browser, f"{path.strip('/').split('?')[0].replace('/', '-') or 'overview'}-{language}")
        wide = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path} is wider than the window"
        assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == (
            "zh-CN" if language == "zh" else "en"
        )
        problems(browser, path)
    told: Any = browser
    assert [one for one in told.get_log("browser") if one["level"] == "SEVERE"] == []


def a_joint_test(folder: Path) -> None:
    """Make a joint test with two cases: one passed, with evidence, and one is waiting."""
    store = RunStore(folder / "sample-1", lambda: datetime(2026, 11, 18, 9, tzinfo=UTC))
    store.open("abc123", "sample", ["probe", "settles.payment", "day-change"])
    store.begin_round({"gateway": "1", "front_end": "2"})
    store.end(store.start("probe"), CaseFinding(CaseVerdict.PASSED, "it answered in 0.2 s", seen=SeenAt.TWIN))
    until_day = datetime(2026, 11, 19, 9, tzinfo=UTC)
    store.end(store.start("settles.payment"), CaseFinding(CaseVerdict.WAITING, "for the next day", until_day))
    store.act("business_date", "li", date="2026-11-18")
    evidence = store.folder / "evidence" / "R1-probe-1"
    evidence.mkdir(parents=True)
    (evidence / "gateway-wire.bin").write_bytes("<付款>0000111122223333</付款>".encode())
    (evidence / "verdict.json").write_text('{"case": "probe", "verdict": "passed", "seen": "twin", "round": 1}')


@pytest.mark.parametrize("language", ["en", "zh"])
def test_pages_with_something_on_them_and_those_of_administrators(
    served: Served, browser: webdriver.Chrome, language: str
) -> None:
    house, auditor = served.house, hand("auditor", 2010)
    let_in(house.operator, auditor, "audit_admin")
    for n, order in enumerate(("AP-1", "AP-2", "AP-3")):
        submit(house.operator, order, 100 + n, maker="zhao")
    a_joint_test(served.tests)
    receipt, missing, parked = kept_receipt(house, "AP-1"), payment_of(house, "AP-2"), payment_of(house, "AP-3")
    write(house.operator, lambda tx: receipt_files.begin(tx, [missing], tx.now_ms))
    write(
        house.operator,
        lambda tx: tx.fresh.exec_driver_sql("update receipt_searches set since_ms = since_ms - 864000000"),
    )
    message = house.operator.world.query("select message_id from outbox where payment = ?", parked)[0][0]
    write(house.operator, lambda tx: outbox.mark(tx, [message], OutboxState.PARKED))
    run = "/joint-tests/sample-1"
    pages = {
        "sun": (
            "/receipts?from=2026-11-01&to=2026-11-30",
            f"/receipts/{receipt}",
            "/receipts/missing",
            "/worklists/receipts-missing",
            f"/payments/{parked}",
            "/joint-tests",
            run,
            f"{run}/tries/R1-probe-1",
            f"{run}/tries/R1-probe-1/files/gateway-wire.bin",
        ),
        "li": ("/", "/messages", "/people"),
        "auditor": ("/audit", "/people"),
    }
    for person, paths in pages.items():
        browser.get(f"{served.console}/language/{language}?back=/sign-in")
        browser.add_cookie({"name": "__Host-session", "value": token(house, person), "secure": True, "path": "/"})
        for path in paths:
            browser.get(served.console + path)
            assert browser.find_elements(By.CSS_SELECTOR, "main table, main dl, main .tiles"), (
                path,
                browser.page_source[-900:],
            )
            shot(browser, f"{person}-{path.strip('/').partition('?')[0].replace('/', '-') or 'overview'}-{language}")
            problems(browser, path)
