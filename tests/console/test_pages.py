"""The console's pages over a whole gateway: the content for each role, in both languages."""

from __future__ import annotations

import re
from html import unescape

import pytest
from sqlalchemy import select

from gateway.approvals.act_answers import approvals
from gateway.kernel.sql import schema
from gateway.people.rows import sign_outs
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from tests.console.conftest import House
from tests.console.world_gateway import APPROVAL, WorldGateway
from tests.gateway.approvals.test_approval_acts import approve, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import WANG, ZHAO, hand
from tests.gateway.people.test_people_acts import QIAN, SUN, let_in

PAGES = (
    "/",
    "/payments",
    "/approvals",
    "/approvals?all=yes",
    "/positions",
    "/liquidity",
    "/reconciliation",
    "/receipts",
    "/receipts/missing",
    "/reports",
    "/reports/payments",
    "/reports/balances",
    "/joint-tests",
    "/people",
    "/worklists/escalated",
    "/worklists/exceptions",
    "/search?q=AP-1",
)
WITH_PAYMENTS = ("/", "/payments", "/approvals", "/approvals?all=yes", "/reports/payments", "/search?q=AP-1")
AUDITOR = hand("auditor", 2010)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_shown_to_who_may_see_it(house: House, language: str) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    browser = house.browser(SUN, language)
    for path in PAGES:
        answer = browser.get(path)
        assert answer.status == 200, (path, answer.body)
        assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in answer.body
        assert "AP-1" in answer.body or path not in WITH_PAYMENTS


def test_nobody_sees_a_page_without_a_session(house: House) -> None:
    browser = house.browser()
    for path in (*PAGES, "/audit", "/payments/x", "/approvals/x", "/reconciliation/x", "/reports/payments/csv"):
        answer = browser.get(path)
        assert answer.path == "/sign-in" and 'name="password"' in answer.body, path


def test_a_payment_is_followed_from_overview_to_approval(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    browser = house.browser(SUN)
    assert "50000.01" in browser.get("/").body
    found = re.search(r'href="(/payments/[0-9A-Z]{26})"', browser.get("/payments?state=held").body)
    assert found is not None
    shown = browser.get(found[1])
    assert "Timeline" in shown.body
    assert f"{APPROVAL}/requests/{key}" in browser.get(f"/approvals/{key}").body
    words = browser.post(f"/approvals/{key}/words")
    account = re.search(r"payee&#39;s account: ([0-9]+)", words.body)
    assert account is not None and account[1] not in shown.body
    assert ("web:sun", "approval.shown") in house.operator.trail("kingdee/AP-1")


def test_requests_are_shown_in_pages_and_the_oldest_is_found(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "_LISTED_MOST", 2)
    names = [f"AP-{number}" for number in range(1, 6)]
    for name in names:
        submit(house.operator, name, OVER, maker="zhao")
    keys = [key_of(house.operator, name) for name in names]
    approve(house.operator, SUN, keys[0])
    browser, approver = house.browser(SUN), house.approver(QIAN).browser
    for at, path, wanted in (
        (browser, "/approvals?all=yes", keys),
        (browser, "/approvals", keys[1:]),
        (approver, "/", keys[1:]),
    ):
        told, pages = [], 0
        while path and pages < 9:
            shown = at.get(path)
            told += re.findall(r'href="/(?:approvals|requests)/(\w+)"', shown.body)
            found = re.search(r'href="(/[^"]*after=\w+)"', shown.body)
            path, pages = unescape(found[1]) if found else "", pages + 1
        assert (told, pages) == (wanted[::-1], (len(wanted) + 1) // 2)
    assert browser.get(f"/approvals/{keys[0]}").status == 200
    assert browser.get("/approvals/nothing").status == 404


def test_account_numbers_are_masked_until_a_click_that_is_noted(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    browser = house.browser(SUN)
    found = re.search(r'href="(/payments/([0-9A-Z]{26}))"', browser.get("/payments").body)
    assert found is not None
    account = house.operator.world.bank.account
    assert account not in browser.get(found[1]).body
    assert ("web:sun", "order.shown_clear") not in house.operator.trail(found[2])
    assert account in browser.post(f"{found[1]}/reveal").body
    assert ("web:sun", "order.shown_clear") in house.operator.trail(found[2])


def test_the_bytes_are_the_daemons_and_the_query_process_has_none(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    browser = house.browser(SUN)
    found = re.search(r'href="(/payments/[0-9A-Z]{26})"', browser.get("/payments").body)
    assert found is not None
    assert "<pre" not in browser.get(found[1]).body
    assert "<pre" in browser.get(f"{found[1]}/bytes").body


def test_the_auditor_sees_the_trail_and_an_approver_does_not(house: House) -> None:
    let_in(house.operator, AUDITOR, "audit_admin")
    auditor = house.browser(AUDITOR)
    assert "policy.in_force" in auditor.get("/audit").body
    assert "sign_in.done" in auditor.get("/audit?object=person%3Aauditor").body
    refused = house.browser(SUN).get("/audit")
    assert refused.status == 403 and "this is for audit_admin" in refused.body
    assert ("web:sun", "access.refused") in house.operator.trail("person:sun")


def test_administrators_have_the_pages_of_people_and_no_money(house: House) -> None:
    browser = house.browser(WANG)
    assert browser.get("/").status == 200
    assert "zhao" in browser.get("/people").body
    assert browser.get("/payments").status == 403


def test_scope_is_the_persons(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    elsewhere = next(
        one for one in sorted(house.operator.gateway.registry.routes) if one != house.operator.world.bank.account
    )
    let_in(house.operator, AUDITOR, f"viewer@account:{elsewhere}")
    payment = house.operator.world.query("select payment from payments where order_id = ?", "AP-1")[0][0]
    browser = house.browser(AUDITOR)
    assert "AP-1" not in browser.get("/payments").body and "AP-1" not in browser.get(
        "/search?q=kingdee%3AAP-1"
    ).body.replace('value="kingdee:AP-1"', "")
    for path in (f"/payments/{payment}", f"/payments/{payment}/bytes"):
        assert browser.get(path).status == 403
    browser.get("/")
    assert browser.post(f"/payments/{payment}/reveal").status == 404


def test_a_session_ends_without_use_and_in_any_case(house: House) -> None:
    browser = house.browser(ZHAO)
    for _ in range(5):
        house.operator.world.run(800)
        assert browser.get("/").path == "/"
    house.operator.world.run(901)
    assert browser.get("/").path == "/sign-in"


def test_signing_out_ends_the_session_for_whoever_has_the_cookie(house: House) -> None:
    browser = house.browser(SUN)
    house.operator.ports.store.write(lambda tx: sign_outs.end(tx, "long over", 1))
    stolen = dict(browser.cookies)
    browser.get("/")
    browser.post("/sign-out")
    assert "__Host-session" not in browser.cookies
    assert ("long over",) not in house.operator.world.read(
        lambda conn: conn.execute(select(schema.sign_outs.c.nonce)).all()
    )
    browser.cookies = stolen
    assert browser.get("/payments").path == "/sign-in"
    clock, restarted = house.operator.ports.clock, WorldGateway(house.operator)
    browser.site = WebSite(
        "gateway.web.console", TEXTS, restarted, "console_origin", routes(), clock.monotonic_s, clock.now_ms
    )
    assert browser.get("/payments").path == "/sign-in"


def test_a_csv_is_masked_and_holds_no_formula(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao", purpose="=HYPERLINK(1)")
    browser = house.browser(SUN)
    answer = browser.get("/reports/payments/csv?from=2026-01-01")
    assert ("web:sun", "report.exported") in house.operator.trail("report:payments")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/csv")
    assert "AP-1" in answer.body and house.operator.world.bank.account not in answer.body
    assert not re.search(r'(^|,)"?[=+@]', answer.body)
