"""The console's pages of receipts, pools, joint tests, work lists and parked messages; exports ask for a factor again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.jointtest.run_store import FILE, RunStore
from gateway.jointtest.shelf import RunShelf
from gateway.jointtest.verdicts import CaseFinding, CaseVerdict, SeenAt
from gateway.kernel.commit import outbox
from gateway.kernel.commit.rows import DeliveryTries, OutboxState
from gateway.kernel.commit.store import Tx
from gateway.payments.rows import lookup
from gateway.people.rules import one_time_codes
from gateway.pools.rows import pools
from gateway.receipts.rows import receipt_files
from gateway.web.console.pages import routes
from gateway.web.console.texts import TEXTS
from gateway.web.shared.site import WebSite
from protocols.canon.statement import Receipt
from tests.console.approver import Approver, challenges, device, field_of
from tests.console.conftest import House
from tests.console.hostile.test_privilege import token
from tests.console.kit import Browser, PageAnswer
from tests.console.world_gateway import PLACE, WorldGateway
from tests.gateway.approvals.test_approval_acts import approve, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, ZHAO, hand
from tests.gateway.people.test_people_acts import PASSWORD, SUN, appoint, decide, let_in
from tests.gateway.pools.test_liquidity import pool_of, world_of

ORIGINAL = b"%PDF-1.7 a receipt of 0000111122223333"


def payment_of(house: House, order: str) -> str:
    return str(house.operator.world.query("select payment from payments where order_id = ?", order)[0][0])


def write(operator: Operator, unit: Any) -> None:
    done: list[Any] = []
    operator.gateway.parts.store.write(unit).addBoth(done.append)
    operator.world.run(0.1)
    assert done and not hasattr(done[0], "raiseException"), done


def kept_receipt(house: House, order: str) -> str:
    """The key of a stored receipt of this payment, as the bank gave it."""
    payment = payment_of(house, order)

    def unit(tx: Tx) -> None:
        row = lookup.fetch(tx.read, payment)
        assert row is not None
        receipt_files.keep(tx, row, "2026-11-24", Receipt(ORIGINAL, "application/pdf", "one.pdf"), "test")

    write(house.operator, unit)
    return str(
        house.operator.world.read(lambda conn: conn.exec_driver_sql("select receipt from receipt_files").scalar())
    )


def show_again(browser: Browser, house: House, secret: str) -> PageAnswer:
    house.operator.world.run(31)
    step = house.operator.ports.clock.now_ms() // 1000 // one_time_codes.STEP_S
    assert browser.last is not None
    return browser.post(
        "/step-up",
        back=field_of(browser.last, "back"),
        password=PASSWORD,
        one_time_code=one_time_codes.code_at(secret, step),
    )


def test_a_receipt_is_listed_and_given_out_after_a_factor_is_shown_again(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    key = kept_receipt(house, "AP-1")
    browser = house.browser(SUN)
    listed = browser.get("/receipts?from=2026-11-01&to=2026-11-30")
    assert f"/receipts/{key}" in listed.body and "AP-1" in listed.body
    shown = browser.get(f"/receipts/{key}")
    assert sha256(ORIGINAL).hexdigest() in shown.body and house.operator.world.bank.account not in shown.body
    browser.cookies["__Host-session"] = token(house, "sun")
    asked = browser.get(f"/receipts/{key}/file")
    assert asked.path.startswith("/step-up?back=") and ("web:sun", "receipt.shown") not in house.operator.trail(key)
    refused = browser.post("/step-up", back=f"/receipts/{key}/file", password=PASSWORD, one_time_code="000000")
    assert refused.status == 403 and "Nothing left the gateway" in refused.body
    given = show_again(browser, house, house.secrets["sun"])
    assert given.status == 200 and given.body.encode() == ORIGINAL
    assert given.headers["content-disposition"] == f'attachment; filename="receipt-{key}.pdf"'
    assert given.headers["content-type"] == "application/octet-stream"
    assert ("web:sun", "receipt.shown") in house.operator.trail(key)
    assert ("web:sun", "sign_in.failed") in house.operator.trail("person:sun")


def test_what_was_shown_is_good_for_five_minutes_and_only_for_its_person(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    browser = house.browser(SUN)
    assert browser.get("/reports/payments/csv").status == 200
    house.operator.world.run(301)
    assert browser.get("/reports/payments/csv").path.startswith("/step-up")
    house.browser(ZHAO)
    other = house.operator.ports.clock.now_ms() // 1000 // one_time_codes.STEP_S + 1
    house.operator.world.run(31)
    browser.post(
        "/step-up", back="/", password=PASSWORD, one_time_code=one_time_codes.code_at(house.secrets["zhao"], other)
    )
    assert browser.get("/reports/payments/csv").path.startswith("/step-up")
    assert browser.get("/step-up?back=//other.example/x").body.count('name="back" value="/"') == 2


def test_a_missing_receipt_has_an_age_and_a_receipt_outside_of_the_scope_is_not_there(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    payment = payment_of(house, "AP-1")
    write(house.operator, lambda tx: receipt_files.begin(tx, [payment], tx.now_ms))
    browser = house.browser(SUN)
    house.operator.world.run(2)
    assert f"/payments/{payment}" in browser.get("/receipts/missing").body
    assert f"/payments/{payment}" not in browser.get("/receipts/missing?older=3").body
    key = kept_receipt(house, "AP-1")
    elsewhere = next(
        one for one in sorted(house.operator.gateway.registry.routes) if one != house.operator.world.bank.account
    )
    let_in(house.operator, hand("nearby", 2101), f"viewer@account:{elsewhere}")
    browser.cookies["__Host-session"] = token(house, "nearby")
    assert key not in browser.get("/receipts?from=2026-11-01&to=2026-11-30").body
    assert browser.get(f"/receipts/{key}").status == 404


def test_a_passkey_of_the_console_signs_in_there_and_shows_its_person_again(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    sun = Approver(Browser(house.site), house.operator, SUN, device(SUN, PLACE.console), "/sign-in/passkey")
    made = sun.make_passkey()
    assert "bankgw login --page console --passkey" in made.body
    with pytest.raises(Exception, match="this passkey is for the console page, and you said approval"):
        sun.bind("approval")
    sun.make_passkey()
    sun.bind("console")
    assert sun.enter().path == "/" and sun.browser.get("/payments").status == 200
    sun.browser.cookies["__Host-session"] = token(house, "sun")
    page = sun.browser.get("/reports/payments/csv")
    (challenge,) = challenges(page)
    given = sun.browser.post(
        "/step-up/passkey",
        back=field_of(page, "back"),
        challenge=field_of(page, "challenge"),
        answer=sun.answer(challenge),
    )
    assert given.status == 200 and "AP-1" in given.body
    # This passkey decides nothing: the approval page does not know it.
    key = key_of(house.operator, "AP-1")
    there = house.approver(SUN)
    assert there.decide(key, answer=sun.answer(b"x" * 32)).status == 403
    assert house.operator.world.state("AP-1") == "held"


def test_a_pool_its_preview_and_its_run(tmp_path: Path) -> None:
    operator = Operator(world_of(tmp_path))
    appoint(operator, ZHAO, SUN, roles="supervisor@*")
    gateway, clock = WorldGateway(operator), operator.ports.clock
    site = WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    house = House(operator, gateway, site, site)
    write(operator, lambda tx: pools.put_in_force(tx, "group", pool_of(operator, "up=all"), "PROPOSAL"))
    browser = house.browser(ZHAO)
    assert "/liquidity/group" in browser.get("/liquidity").body
    page, header = browser.get("/liquidity/group"), operator.world.banks["sample"].accounts[0]
    assert "child" in page.body and header not in page.body
    ahead = browser.get("/liquidity/group/preview")
    assert "Would be moved" in ahead.body and "up to the header" in ahead.body, ahead.body
    assert decide(operator, "pool_run", "group", "noon", ZHAO, SUN)["state"] == "done"
    operator.world.run(5)
    run = f"group.{operator.gateway.pools.local():%Y%m%d}.noon"
    ran = browser.get(f"/search?q={run}")
    assert ran.path == f"/liquidity-runs/{run}"
    assert ran.status == 200 and "/payments/" in ran.body and "/liquidity/group" in ran.body
    assert "there is no pool nobody in your scope" in browser.get("/liquidity/nobody").body
    operator.world.crash()


def test_joint_tests_and_their_evidence_are_masked_and_no_name_is_a_path(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    store = RunStore(folder / "sample-1" / "run", lambda: datetime(2026, 11, 28, 9, tzinfo=UTC))
    store.open("abc123", "sample", ["probe", "settles.payment"])
    store.begin_round({"gateway": "1", "front_end": "2"})
    store.end(store.start("probe"), CaseFinding(CaseVerdict.PASSED, "it answered", seen=SeenAt.TWIN))
    evidence = store.folder / "evidence" / "R1-probe-1"
    evidence.mkdir(parents=True)
    (evidence / "gateway-wire.bin").write_bytes(b"<m>account 0000111122223333</m>")
    (tmp_path / "secret").write_text("nobody's business")
    with store.file.open("ab") as journal:
        journal.write(b'{"what":"half')
    before = store.file.read_bytes()
    clock = house.operator.ports.clock
    gateway = WorldGateway(house.operator, RunShelf(folder))
    site = WebSite("gateway.web.console", TEXTS, gateway, "console_origin", routes(), clock.monotonic_s, clock.now_ms)
    browser = house.browser(SUN)
    browser.site = site
    assert "abc123" in browser.get("/joint-tests").body
    run = browser.get("/joint-tests/sample-1")
    assert "passed" in run.body and "not played" in run.body and "it answered" in run.body
    shown = browser.get("/joint-tests/sample-1/tries/R1-probe-1")
    assert sha256(b"<m>account 0000111122223333</m>").hexdigest() in shown.body
    text = browser.get("/joint-tests/sample-1/tries/R1-probe-1/files/gateway-wire.bin").body
    assert "account 000011" in text and "0000111122223333" not in text
    for path in (
        "/joint-tests/..",
        "/joint-tests/sample-1/tries/..",
        "/joint-tests/sample-1/tries/R1-probe-1/files/..",
        "/joint-tests/sample-1/tries/R1-probe-1/files/..%2F..%2F..%2F..%2F..%2Fsecret",
        "/joint-tests/none",
    ):
        assert (
            "nobody's business" not in browser.get(path).body
            and browser.last is not None
            and browser.last.status == 404
        ), path
    assert store.file.read_bytes() == before, "who looks writes nothing"
    (store.folder / FILE).write_bytes(before.replace(b"it answered", b"it refused_"))
    assert "is not what was written" in browser.get("/joint-tests/sample-1").body


def test_work_lists_stand_on_the_first_page_and_are_kept_for_some_seconds(house: House) -> None:
    browser = house.browser(SUN)
    first = browser.get("/").body
    assert re.search(r'href="/worklists/receipts-missing">Receipts missing <strong>0<', first)
    submit(house.operator, "AP-1", 100, maker="zhao")
    payment = payment_of(house, "AP-1")
    write(house.operator, lambda tx: receipt_files.begin(tx, [payment], tx.now_ms))
    write(
        house.operator,
        lambda tx: tx.fresh.exec_driver_sql("update receipt_searches set since_ms = since_ms - 864000000"),
    )
    house.operator.world.run(1)
    assert f"/payments/{payment}" in browser.get("/worklists/receipts-missing").body
    house.operator.world.run(21)
    assert re.search(r'href="/worklists/receipts-missing">Receipts missing <strong>1<', browser.get("/").body)
    assert browser.get("/worklists/nothing").status == 404


def test_a_parked_message_is_published_again_by_who_runs_the_machine(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    payment = payment_of(house, "AP-1")
    (message, *_rest) = [
        row[0]
        for row in house.operator.world.query(
            "select message_id from outbox where payment = ? order by message_id", payment
        )
    ]
    write(house.operator, lambda tx: outbox.mark(tx, [message], OutboxState.PARKED))
    sun = house.browser(SUN)
    assert "parked: nobody took it" in sun.get(f"/payments/{payment}").body
    assert sun.get("/messages").status == 403
    machine = house.browser(LI)
    assert message in machine.get("/messages").body
    assert "No message is parked" in machine.post(f"/messages/{message}/replay").body
    assert ("web:li", "outbox.replayed") in house.operator.trail(message)
    house.operator.world.run(2)
    shown = sun.get(f"/payments/{payment}").body
    assert "outbox.replayed" in shown and "parked: nobody took it" not in shown


def test_the_search_box_takes_a_message_a_receipt_and_a_run(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    submit(house.operator, "AP-2", 100, maker="zhao")
    house.operator.world.run(5)
    receipt, payment = kept_receipt(house, "AP-1"), payment_of(house, "AP-1")
    message = house.operator.world.query("select message_id from outbox where payment = ?", payment)[0][0]
    sun = house.browser(SUN)
    for id_ in (message, receipt):
        assert sun.get(f"/search?q={id_}").path == f"/payments/{payment}"
    nothing = sun.get("/search?q=sweep.20261124.s1")
    assert (nothing.status, nothing.path) == (200, "/search?q=sweep.20261124.s1")


def test_a_payment_says_how_often_each_message_was_tried_and_how_the_last_try_ended(house: House) -> None:
    submit(house.operator, "AP-1", 100, maker="zhao")
    payment = payment_of(house, "AP-1")
    page = f"/payments/{payment}"
    first, second, *_rest = [
        row[0]
        for row in house.operator.world.query(
            "select message_id from outbox where payment = ? order by message_id", payment
        )
    ]
    returned = DeliveryTries(1, 1_795_500_000_000, "returned", "312 NO_ROUTE")
    write(house.operator, lambda tx: outbox.mark(tx, [first], OutboxState.PARKED, {first: returned}))
    write(
        house.operator,
        lambda tx: tx.fresh.exec_driver_sql(f"update outbox set tries = null where message_id = '{second}'"),
    )

    def tried(language: str, path: str = page, browser: Browser | None = None) -> Sequence[str]:
        shown = (browser or house.browser(SUN, language)).get(path).body
        (row,) = [one for one in shown.split("<tr>") if first in one]
        found = re.search(r'<td class="number">(.*?)</td><td>(.*?)</td>', row)
        assert found is not None, row
        return found.groups()

    at = "2026-11-24T06:00:00.000Z"
    assert tried("en") == ("2", f"{at} · no queue took it <code>312 NO_ROUTE</code>")
    assert tried("zh") == ("2", f"{at} · 没有队列接收 <code>312 NO_ROUTE</code>")
    machine = house.browser(LI)
    assert tried("en", "/messages", machine) == tried("en")
    assert '<td class="number">not counted</td><td></td>' in house.browser(SUN).get(page).body
    machine.post(f"/messages/{first}/replay")
    house.operator.world.run(2)
    count, how = tried("en")
    assert count == "3" and how.endswith("· the broker stored it")


def test_a_payment_says_who_signed_it_and_what(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    digest = house.operator.ask("GET", "approvals", key)["digest"]
    approve(house.operator, SUN, key)
    house.operator.world.run(5)
    browser = house.browser(SUN)
    shown = browser.get(f"/payments/{payment_of(house, 'AP-1')}")
    assert "Who signed" in shown.body and digest in shown.body and "sun: approved" in shown.body
    assert "delivered to the broker" in shown.body
