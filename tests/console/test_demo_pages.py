"""`bankgw demo --console` with real processes: its output is enough to sign in and approve, and it ends in order.

In Chromium two people approve a payment over the band and a payroll of 500 lines; both settle at the simulated bank.
"""

from __future__ import annotations

import queue
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions

from gateway.control.client import ControlClient
from tests.console.test_in_browser import browser as browser
from tests.console.test_in_browser import problems, shot, until
from tests.gateway.demo.test_application import alive_in, command
from tests.gateway.demo.test_application import described as described
from tests.gateway.demo.test_application import folder as folder
from tests.world.services import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.broker, pytest.mark.timeout(500)]
PATIENCE_S = 300.0
LOOKED_AT = (
    "/",
    "/payments",
    "/approvals?all=yes",
    "/positions",
    "/liquidity",
    "/liquidity/sweep-sample",
    "/liquidity/sweep-sample/preview",
    "/receipts",
    "/receipts/missing",
    "/reconciliation",
    "/reports/payments",
    "/joint-tests",
    "/people",
    "/worklists/receipts-missing",
)


@dataclass
class RunningDemo:
    """The demo's process and its output so far."""

    process: subprocess.Popen[str]
    folder: Path
    env: Mapping[str, str]
    lines: list[str] = field(default_factory=list)
    waiting: queue.Queue[str] = field(default_factory=queue.Queue)

    def wait(self, pattern: str) -> re.Match[str]:
        """The first line that contains the text, now or later."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            for line in self.lines:
                if found := re.search(pattern, line):
                    return found
            try:
                self.lines.append(self.waiting.get(timeout=max(until_s - time.monotonic(), 0.01)))
            except queue.Empty:
                raise AssertionError(f"{pattern} was not printed; the end: {self.lines[-15:]}") from None

    def newest_code(self) -> str:
        """A one-time code that was printed after now."""
        while not self.waiting.empty():
            self.lines.append(self.waiting.get())
        self.lines = [line for line in self.lines if not line.startswith("one-time code")]
        return self.wait(r"^one-time code (\d{6})")[1]


@pytest.fixture
def demo(described: dict[str, str], folder: Path) -> Iterator[RunningDemo]:
    words = command(folder, "--orders", "5", "--kills", "0", "--banks", "sample", "--console", "--console-minutes", "8")
    process = subprocess.Popen(
        words, env=described, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    made = RunningDemo(process, folder, described)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            made.waiting.put(line.rstrip("\n"))

    threading.Thread(target=read, daemon=True).start()
    yield made
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def status_of(origin: str, path: str) -> int:
    """The HTTP status of the site's answer, requested at 127.0.0.1 under the site's own name."""
    host, _, port = origin.removeprefix("http://").partition(":")
    line = HTTPConnection("127.0.0.1", int(port), timeout=20)
    line.request("GET", path, headers={"Host": f"{host}:{port}"})
    return line.getresponse().status


def test_it_says_where_to_look_serves_it_and_ends_on_ctrl_c(demo: RunningDemo) -> None:
    console = demo.wait(r"^console\s+(http://console\.localhost:\d+)\s+sign in as chen, password \w{16}")[1]
    approval = demo.wait(r"^approval page\s+(http://approve\.localhost:\d+)/passkey")[1]
    demo.wait(r"ends\s+on Ctrl-C, or by itself after 8 minutes")
    assert (status_of(console, "/sign-in"), status_of(console, "/"), status_of(approval, "/passkey")) == (200, 303, 200)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0
    demo.wait("the web pages end")
    assert alive_in(demo.folder) == []


def settled(demo: RunningDemo, key: str) -> bool:
    """True if the order, or each item of the batch, is settled."""
    said = ControlClient(demo.folder / "state" / "control.sock").get("orders", key)
    return [one["state"] for one in said.get("states", [said])] == ["settled"]


def wait_settled(demo: RunningDemo, key: str) -> None:
    until_s = time.monotonic() + 120
    while not settled(demo, key):
        assert time.monotonic() < until_s, (
            ControlClient(demo.folder / "state" / "control.sock").get("orders", key).get("states")
        )
        time.sleep(1)


def with_a_tick(browser: webdriver.Chrome, console: str) -> str:
    """The path of a reconciliation page with one line of the bank selected, for the account with the fewest open
    rows."""
    browser.get(f"{console}/reconciliation")
    links = browser.find_elements(By.CSS_SELECTOR, "main a[href^='/reconciliation/']")
    rows: dict[str, int] = {}
    for account in [str(one.get_attribute("href")) for one in links]:
        browser.get(account)
        rows[account] = len(browser.find_elements(By.CSS_SELECTOR, ".side:last-child input[type=checkbox]"))
    browser.get(min((one for one in rows if rows[one]), key=lambda one: rows[one]))
    box = browser.find_element(By.CSS_SELECTOR, ".side:last-child input[type=checkbox]")
    box.click()
    box.find_element(By.XPATH, "ancestor::form").find_element(By.TAG_NAME, "button").click()
    until(browser, lambda page: page.find_elements(By.CSS_SELECTOR, "[role=status]"))
    return browser.current_url.removeprefix(console).partition("#")[0]


def test_two_people_approve_a_payment_over_the_band_and_a_payroll_of_500_lines(
    demo: RunningDemo, browser: webdriver.Chrome
) -> None:
    demo.wait(r"^ends\s+on Ctrl-C")
    console, password = demo.wait(r"^console\s+(\S+)\s+sign in as chen, password (\w+)").groups()
    approval = demo.wait(r"^approval page\s+(http://\S+)/passkey")[1]
    bind = demo.wait(r"^\s+(/\S+/bankgw login .*) CODE$")[1]
    one, two, payroll = demo.wait(r"(ONE-\w+) is yours alone; (TWO-\w+) and (PAYROLL-\w+)").groups()
    options = VirtualAuthenticatorOptions()
    options.has_resident_key = options.has_user_verification = options.is_user_verified = True
    browser.add_virtual_authenticator(options)
    browser.get(f"{approval}/passkey")
    browser.find_element(By.ID, "label").send_keys("chen")
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    code = until(browser, lambda page: page.find_element(By.CSS_SELECTOR, "pre").text.rpartition(" ")[2])
    # As in a new terminal: the printed command needs no search path and no folder.
    done = subprocess.run(
        [*shlex.split(bind), code],
        env={**demo.env, "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    browser.get(f"{approval}/sign-in")
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    until(browser, lambda page: page.current_url == f"{approval}/")
    for language in ("zh", "en"):
        browser.get(f"{approval}/language/{language}?back=/")
        shot(browser, f"approve-inbox-{language}")
        problems(browser, f"inbox {language}")
    for subject in (one, two, payroll):
        browser.get(f"{approval}/")
        row = browser.find_element(By.XPATH, f"//tr[td[text()='{subject}']]")
        row.find_element(By.CSS_SELECTOR, "th a").click()
        until(browser, lambda page: page.find_elements(By.ID, "approve"))
        shot(browser, f"approve-{subject.partition('-')[0]}")
        problems(browser, subject)
        browser.find_element(By.ID, "approve").click()
        until(browser, lambda page: page.find_elements(By.CSS_SELECTOR, "[role=status]"))
    for subject in (two, payroll):
        demo.wait(f"lin signed {subject} with an own key")
    for subject in (one, two, payroll):
        wait_settled(demo, f"kingdee:{subject}")
    browser.get(f"{console}/sign-in")
    for name, value in (("person", "chen"), ("password", password), ("code", demo.newest_code())):
        browser.find_element(By.ID, name).send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "form.card button").click()
    until(browser, lambda page: page.current_url == f"{console}/")
    browser.get(f"{console}/search?q=kingdee:{two}")
    until(browser, lambda page: "/payments/" in page.current_url)
    payment = browser.current_url.removeprefix(console)
    browser.get(f"{console}/liquidity/sweep-sample")
    run = str(browser.find_element(By.CSS_SELECTOR, "a[href^='/liquidity-runs/']").get_attribute("href")).removeprefix(
        console
    )
    ticked = with_a_tick(browser, console)
    for language in ("en", "zh"):
        browser.get(f"{console}/language/{language}?back=/")
        for path in (*LOOKED_AT, run, ticked, payment, f"{payment}/bytes", f"/payments?batch={payroll}&sender=kingdee"):
            browser.get(console + path)
            name = (
                path.strip("/").replace(payment.strip("/"), "payment").partition("?")[0].replace("/", "-") or "overview"
            )
            shot(browser, f"demo-{name}-{language}")
            problems(browser, f"{path} {language}")
    browser.get(f"{console}{payment}")
    text = browser.find_element(By.TAG_NAME, "main").text
    assert "chen" in text and "lin" in text and "approval_page" in text
