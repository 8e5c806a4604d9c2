"""The approval page over a whole gateway: a passkey is bound, signs in and decides; and every refusal."""

from __future__ import annotations

import pytest

from tests.console.conftest import House
from tests.gateway.approvals.test_approval_acts import TWO, approve, executions, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.cli.resolving import ZHAO
from tests.gateway.people.test_passkeys import IS_SYNCED, MAY_SYNC, PRESENT, VERIFIED
from tests.gateway.people.test_people_acts import QIAN, SUN, decide
from tests.world.batching import batch, states

BOTH = PRESENT | VERIFIED | MAY_SYNC | IS_SYNCED


def test_a_passkey_is_made_bound_and_approves(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    sun = house.approver(SUN)
    assert key in sun.browser.get("/").body
    page = sun.browser.get(f"/requests/{key}")
    assert (
        "50000.01 CNY" in page.body
        and "payee&#39;s account: " in page.body
        and house.operator.world.bank.account in page.body
    )
    decided = sun.decide(key)
    assert decided.status == 200 and "approved" in decided.body
    house.operator.world.run(5)
    assert house.operator.world.state("AP-1") == "settled" and executions(house.operator) == 1
    (given,) = house.operator.ask("GET", "approvals", query={"all": "yes"})["approvals"][0]["decided"]
    assert (given["person"], given["by_way_of"]) == ("sun", "approval_page")
    assert ("web:sun", "approval.given") in house.operator.trail("kingdee/AP-1")


def test_a_rejection_ends_the_payment(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    assert "rejected" in house.approver(SUN).decide(key_of(house.operator, "AP-1"), "reject").body
    house.operator.world.run(5)
    assert house.operator.world.state("AP-1") == "cancelled" and executions(house.operator) == 0


def test_nothing_is_rejected_while_its_lane_may_lack_sends(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    house.operator.gateway.safe_mode.unread = True
    page = house.approver(SUN).decide(key_of(house.operator, "AP-1"), "reject")
    assert (page.status, "SAFE MODE" in page.body, house.operator.world.state("AP-1")) == (409, True, "held")


def test_where_two_are_needed_one_signs_outside_of_a_browser(house: House) -> None:
    decide(house.operator, "policy", "approvals", TWO)
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    house.approver(SUN).decide(key)
    assert "with their own key" in house.approver(QIAN).decide(key).body
    house.operator.world.run(5)
    assert house.operator.world.state("AP-1") == "held"


def test_a_payroll_of_500_lines_by_a_passkey_and_a_key(house: House) -> None:
    decide(house.operator, "policy", "approvals", TWO)
    world = house.operator.world
    world.command("payroll.submit", batch(world, "P-1", [10_001 + n for n in range(500)], kind="payroll", maker="zhao"))
    world.run(5)
    key = key_of(house.operator, "P-1")
    sun = house.approver(SUN)
    assert "500/500" in sun.browser.get(f"/requests/{key}").body
    sun.decide(key)
    assert approve(house.operator, QIAN, key)["changed"] == 500
    world.run(60)
    assert set(states(world, "P-1")) == {"settled"}


def test_a_passkey_on_several_devices_is_not_enough_where_two_are_needed(house: House) -> None:
    decide(house.operator, "policy", "approvals", TWO)
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    house.approver(SUN, flags=BOTH).decide(key)
    assert approve(house.operator, QIAN, key)["missing"] == "1 of any approver"
    assert "may be on several devices" in str(house.operator.ask("GET", "approvals", key)["void"])
    assert house.operator.world.state("AP-1") == "held"


def test_a_passkey_that_may_be_anywhere_does_where_one_is_needed(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    assert "approved" in house.approver(SUN, flags=BOTH).decide(key_of(house.operator, "AP-1")).body


def test_an_unbound_passkey_opens_nothing_and_a_code_is_for_its_page(house: House) -> None:
    sun = house.approver(SUN, bound=False)
    sun.make_passkey()
    assert sun.enter().status == 403
    with pytest.raises(Exception, match="this passkey is for the approval page, and you said console"):
        sun.bind("console")
    with pytest.raises(Exception, match="no page shows this code now"):
        sun.bind()
    assert sun.enter().status == 403


def test_a_reset_forgets_passkeys_and_voids_what_they_approved(house: House) -> None:
    decide(house.operator, "policy", "approvals", TWO)
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    sun = house.approver(SUN)
    sun.decide(key)
    decide(house.operator, "deactivate", "sun", "deactivated")
    assert approve(house.operator, QIAN, key)["missing"] == "1 of any approver"
    assert sun.browser.get("/").status == 403 and sun.enter().status == 403


def test_the_maker_and_who_is_no_approver_decide_nothing(house: House) -> None:
    submit(house.operator, "AP-1", OVER, maker="zhao")
    key = key_of(house.operator, "AP-1")
    zhao = house.approver(ZHAO)
    refused = zhao.decide(key)
    assert refused.status in (403, 409) and house.operator.world.state("AP-1") == "held"
    assert ("web:zhao", "approval.refused") in house.operator.trail("kingdee/AP-1")


def test_signing_out_ends_the_session_and_its_language_is_a_choice(house: House) -> None:
    sun = house.approver(SUN)
    stolen = dict(sun.browser.cookies)
    assert "待复核" in sun.browser.get("/language/zh").body
    assert sun.browser.post("/sign-out").path == "/sign-in"
    sun.browser.cookies = stolen
    assert sun.browser.get("/").path == "/sign-in"
