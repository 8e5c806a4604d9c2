"""Attacks by other sites, planted cookies, texts of ERPs and banks, and addresses that lead elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.reports.forms import FORMS
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console.conftest import House
from tests.console.hostile.test_privilege import token
from tests.console.kit import Browser
from tests.console.test_treasury_pages import kept_receipt
from tests.console.world_gateway import APPROVAL, CONSOLE
from tests.gateway.approvals.test_approval_acts import key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import LI, hand
from tests.gateway.people.test_people_acts import SUN, let_in
from tests.house import product

ROOT = Path(__file__).resolve().parents[3]
EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
# The gateway's own words that decide which content a page shows.
OWN_WORDS = frozenset(
    {
        "state",
        "what",
        "token",
        "page",
        "roles",
        "direction",
        "request",
        "payment",
        "day",
        "amount",
        "from",
        "to",
        "console_origin",
        "approval_origin",
        "console_rp",
        "approval_rp",
        "form",
        "digest",
        "ref",
        "next",
        "open_sums",
    }
)


def test_a_form_of_another_site_does_nothing(house: House) -> None:
    browser = house.browser(SUN)
    token = browser.get("/").form_token
    body = f"form_token={token}".encode()
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": CONSOLE + ":8443"},
    ):
        assert browser.send("POST", "/sign-out", body, headers).status == 403
    for wrong in ("", "0" * 64, token[:-1] + ("0" if token[-1] != "0" else "1")):
        assert browser.send("POST", "/sign-out", f"form_token={wrong}".encode(), {"origin": CONSOLE}).status == 403
    assert browser.get("/").path == "/"


def test_a_form_token_is_one_browsers_and_one_sessions(house: House) -> None:
    mine, other = house.browser(SUN), house.browser(SUN)
    token = other.get("/").form_token
    assert mine.send("POST", "/sign-out", f"form_token={token}".encode(), {"origin": CONSOLE}).status == 403


def test_a_planted_session_is_not_kept(house: House) -> None:
    """Session fixation: after signing in, a visit has another id than the one that somebody else may know."""
    house.browser(SUN)
    planted = {"__Host-visit": "f" * 32, "__Host-session": "planted.token"}
    browser = Browser(house.site, cookies=dict(planted))
    assert browser.get("/").path == "/sign-in"
    from tests.console.kit import enter

    assert enter(browser, house.operator, SUN, house.secrets["sun"]).path == "/"
    assert browser.cookies["__Host-session"] != planted["__Host-session"]
    assert browser.cookies["__Host-visit"] != planted["__Host-visit"]
    thief = Browser(house.site, cookies=dict(planted))
    assert thief.get("/").path == "/sign-in"


def test_cookies_are_the_hosts_alone_and_no_scripts_may_read_them(house: House) -> None:
    browser = house.browser()
    answer = browser.send("GET", "/sign-in")
    for cookie in answer.set_cookies:
        assert cookie.startswith("__Host-") and "Secure" in cookie and "HttpOnly" in cookie and "SameSite=lax" in cookie
        assert "Path=/" in cookie and "Domain" not in cookie
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store" and "strict-transport-security" in answer.headers


PROTECTION = (
    "content-security-policy",
    "x-content-type-options",
    "x-frame-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "strict-transport-security",
)


def test_every_answer_of_both_sites_has_the_headers_of_protection(house: House) -> None:
    for site, origin in ((house.site, CONSOLE), (house.approval, APPROVAL)):
        browser = Browser(site, origin)
        asked = [
            ("GET", path)
            for path in (
                "/sign-in",
                "/static/site.css",
                "/static/passkey.js",
                "/static/icon.svg",
                "/static/none",
                "/static/",
                "/nowhere",
                "/",
            )
        ]
        for method, path in [*asked, ("POST", "/static/site.css"), ("POST", "/sign-in"), ("DELETE", "/")]:
            answer = browser.send(method, path)
            missing = [name for name in PROTECTION if name not in answer.headers]
            assert missing == [], (origin, method, path, missing)
        assert browser.send("GET", "/static/site.css").status == 200
        assert browser.send("GET", "/static/site.css").headers["cache-control"] == "no-cache"


def test_a_defect_of_the_console_tells_a_browser_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = house.browser(SUN)

    def broken(*_given: Any) -> Any:
        raise RuntimeError("account 0000000000000017 of 张三")

    monkeypatch.setattr(house.gateway, "query", broken)
    answer = browser.send("GET", "/payments")
    assert (
        answer.status == 500 and "0000" not in answer.body and "Runtime" not in answer.body and "张" not in answer.body
    )
    assert [name for name in PROTECTION if name not in answer.headers] == []


def test_no_template_has_a_script_a_style_or_a_trusted_text_in_it() -> None:
    templates = [*ROOT.glob("gateway/**/templates/*.html")]
    assert len(templates) > 15
    for one in templates:
        text = one.read_text("utf-8")
        assert not re.search(
            r"<script(?! src=\"/static/passkey.js\"></script>)|<style|\sstyle=|\son[a-z]+=|javascript:", text
        ), one
        assert "| safe" not in text and "|safe" not in text and "autoescape" not in text, one


class Poisoned:
    """A gateway whose every answer has EVIL in the texts that ERPs and banks can write."""

    def __init__(self, house: House) -> None:
        self._gateway = house.gateway

    def daemon(self, token: str) -> Any:
        return _PoisonedSide(self._gateway.daemon(token))

    def query(self, token: str) -> Any:
        return _PoisonedSide(self._gateway.query(token))


class _PoisonedSide:
    def __init__(self, side: Any) -> None:
        self._side = side

    def get(self, *parts: str, **query: Any) -> Any:
        said = self._side.get(*parts, **query)
        return said if parts in (("place",), ("web", "session")) else poisoned(said)

    def post(self, *parts: str, **body: Any) -> Any:
        return poisoned(self._side.post(*parts, **body))


def poisoned(said: Any, key: str = "") -> Any:
    if isinstance(said, Mapping):
        return {name: poisoned(value, name) for name, value in said.items()}
    if isinstance(said, list):
        return [poisoned(one, key) for one in said]
    return EVIL if isinstance(said, str) and key not in OWN_WORDS else said


# Pages for which this gateway has no content. Their templates use the same environment, which escapes everything.
NOTHING_THERE = (
    "/liquidity/{name}",
    "/liquidity/{name}/preview",
    "/liquidity-runs/{key}",
    "/joint-tests/{run}",
    "/joint-tests/{run}/tries/{name}",
    "/joint-tests/{run}/tries/{name}/files/{file}",
)
FILES = ("/reports/{name}/csv", "/receipts/{key}/file")
SENT_ON = ("/sign-in/oidc", "/sign-in/oidc/back")


def pattern_of(path: str) -> str:
    """The route that answers a path."""
    bare = path.partition("?")[0]
    found = [
        one.path
        for one in routes()
        if one.method == "GET" and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one.path), bare)
    ]
    return min(found, key=lambda one: one.count("{"))


def test_texts_of_erps_and_banks_are_texts(house: House) -> None:
    auditor = hand("auditor", 2010)
    let_in(house.operator, auditor, "audit_admin")
    submit(house.operator, "AP-1", OVER, maker="zhao")
    submit(house.operator, "AP-2", 100, maker="zhao")
    payments = [
        row[0] for row in house.operator.world.query("select payment from payments where sender = ?", "kingdee")
    ]
    ref = house.gateway.query(token(house, "sun")).get("accounts")["accounts"][0]["ref"]
    reports = [f"/reports/{name}" for name in FORMS if name != "security-review"]
    pages = [
        "/",
        "/payments",
        "/approvals",
        "/positions",
        "/reconciliation",
        "/search?q=AP",
        "/people",
        "/reports",
        *reports,
        "/receipts",
        "/receipts/missing",
        "/liquidity",
        "/joint-tests",
        "/worklists/escalated",
        "/sign-in",
        "/sign-in/passkey",
        "/passkey",
        "/step-up",
        f"/reconciliation/{ref}",
        f"/receipts/{kept_receipt(house, 'AP-2')}",
        f"/approvals/{key_of(house.operator, 'AP-1')}",
        *(f"/payments/{one}" for one in payments),
        *(f"/payments/{one}/bytes" for one in payments),
    ]
    clock = house.operator.ports.clock
    evil = WebSite(
        "gateway.web.console", TEXTS, Poisoned(house), "console_origin", routes(), clock.monotonic_s, clock.now_ms
    )
    told, seen = "", set[str]()
    for one, paths in ((SUN, pages), (auditor, ["/audit", "/people"]), (LI, ["/messages"])):
        browser = house.browser(one)
        browser.site = evil
        # Form tokens belong to the process, so only pages are checked.
        for path in paths:
            answer = browser.get(path)
            house.operator.world.run(1)  # the site limits the rate of requests
            assert answer.status == 200, (path, answer.body[-500:])
            assert (
                "<script>alert" not in answer.body and "<img src=x" not in answer.body and "\"'>" not in answer.body
            ), path
            assert "49" not in re.findall(r"\{\{(.*?)\}\}", answer.body)
            told += answer.body
            seen.add(pattern_of(path))
    assert "&lt;script&gt;alert" in told
    # A new page is checked here, or is listed with the reason why not.
    assert seen == {one.path for one in routes() if one.method == "GET"} - {*NOTHING_THERE, *FILES, *SENT_ON}


def test_what_an_erp_writes_is_text_on_the_approval_page(house: House) -> None:
    evil = {"account": "0000000000000000041", "name": "丙<script>alert(1)</script>"}
    submit(house.operator, "AP-1", OVER, maker="zhao", creditor=evil)
    sun = house.approver(SUN)
    inbox, request = (sun.browser.get(path) for path in ("/", f"/requests/{key_of(house.operator, 'AP-1')}"))
    assert {inbox.status, request.status} == {200} and "<script>alert" not in inbox.body + request.body
    assert "&lt;script&gt;alert(1)" in request.body


def test_no_page_can_be_made_to_ask_another_host(house: House) -> None:
    """SSRF: the console has one connection out of the machine, to an address of the daemon's settings. No form names an
    address.
    """
    out = re.compile(r"\b(import|from) (http\.client|urllib\.request|requests|httpx|aiohttp|socket|smtplib|asyncio)\b")
    talks = {
        one.path
        for one in product()
        if one.path.startswith(("gateway/web/console/", "gateway/web/shared/", "gateway/web/approval_page/"))
        and out.search(one.text)
    }
    assert talks == {"gateway/web/shared/token_endpoint.py"}
    uses = {
        one.path
        for one in product()
        if "token_endpoint" in one.text and one.path != "gateway/web/shared/token_endpoint.py"
    }
    assert uses == {"gateway/web/console/oidc_pages.py"}
    browser = house.browser(SUN)
    for name in ("url", "back", "callback", "host", "token_url", "redirect_uri"):
        answer = browser.send("GET", f"/payments?{name}=http://169.254.169.254/latest")
        assert answer.status == 200 and "169.254" not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/static/../site.py",
        "/static/..%2fsite.py",
        "/static/%2e%2e/%2e%2e/gateway/app.py",
        "/static//etc/passwd",
        "/payments/..%2f..%2fstatus",
        "/payments/%2e%2e",
        "/approvals/..%2f..%2fpersons",
        "/reconciliation/..%2fbooks",
        "/reports/..%2f..%2fparked",
        "/.git/config",
        "/payments/a%00b",
    ],
)
def test_no_address_leads_out_of_its_place(house: House, path: str) -> None:
    answer = house.browser(SUN).get(path)
    assert answer.status in (400, 403, 404), answer.body
    assert "root:" not in answer.body and "import" not in answer.body
    for method, parts, _body in house.gateway.asked[-3:]:
        assert ".." not in "/".join(parts) or method == "GET"


@pytest.mark.parametrize(
    "back", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\nb"]
)
def test_choosing_a_language_leads_to_no_other_site(house: House, back: str) -> None:
    from urllib.parse import quote

    answer = house.browser().send("GET", f"/language/zh?back={quote(back)}")
    assert answer.status == 303 and answer.headers["location"] == "/"


def test_another_host_and_large_or_strange_bodies_are_refused(house: House) -> None:
    browser = house.browser(SUN)
    token = browser.get("/").form_token
    assert browser.send("GET", "/", headers={"host": "evil.example"}).status == 421
    large = f"form_token={token}&x=".encode() + b"a" * 70_000
    assert browser.send("POST", "/sign-out", large, {"origin": CONSOLE}).status == 413
    json_body = b'{"form_token": "' + token.encode() + b'"}'
    assert (
        browser.send("POST", "/sign-out", json_body, {"origin": CONSOLE, "content-type": "application/json"}).status
        == 415
    )
    assert browser.get("/").path == "/"


def test_a_visitor_who_asks_too_fast_waits(house: House) -> None:
    browser = house.browser()
    answers = [browser.send("GET", "/sign-in").status for _ in range(150)]
    assert 429 in answers and answers[0] == 200


def test_passwords_are_not_tried_through_the_console(house: House) -> None:
    """Tries are limited by the site, by the daemon, and by the lock-out."""
    browser = house.browser()
    browser.get("/sign-in")
    statuses = [
        browser.post("/sign-in", person="sun", password="wrong wrong wrong", one_time_code="000000").status
        for _ in range(5)
    ]
    assert set(statuses) == {403}
    told = {
        browser.post("/sign-in", person=name, password="wrong wrong", one_time_code="000000").body.replace(name, "")
        for name in ("sun", "nobody.at.all")
    }
    assert len({re.sub(r"[0-9a-f]{64}", "", one) for one in told}) == 1, (
        "a name that is nobody's is told from one that is"
    )
    assert ("web:sun", "sign_in.failed") in house.operator.trail("person:sun")
