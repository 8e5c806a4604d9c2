"""Once there are administrators, two persons sign the release of a held order and the resume of a paused lane or
company."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.people.rows.proposals import Role
from tests.gateway.approvals.test_approval_holds import PAYEE, submit
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, ZHAO, Hand, approve, hand, made_of
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in, sign_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import batch, states

LANE = "sample.main"
HAN = hand("han", 2007)


def wanted(subject: str, to: str = "send", kind: str = "release") -> dict[str, Any]:
    return {"kind": kind, "subject": subject, "to": to, "note": "two invoices"}


def proposed(operator: Operator, one: Hand, asked: dict[str, Any]) -> str:
    drafted = operator.ask("POST", "proposals", "draft", peer=one.peer, **asked)
    said = operator.ask("POST", "proposals", peer=one.peer, **made_of(drafted, one, asked, b""))
    return str(said["proposal"])


def refused(operator: Operator, status: int, code: str, one: Hand, asked: dict[str, Any]) -> str:
    return operator.no(status, code, "POST", "proposals", "draft", peer=one.peer, **asked)


@pytest.fixture
def desk(site: Operator) -> Operator:
    """SUN and QIAN are supervisors; ZHAO makes payments and is a supervisor too. AP-2 is held as a duplicate of
    AP-1."""
    for one, roles in (
        (ZHAO, "maker@*;supervisor@*"),
        (SUN, "supervisor@*"),
        (QIAN, "supervisor@*"),
        (HAN, "viewer@*"),
    ):
        let_in(site, one, roles)
    submit(site, "AP-1", 100, maker="zhao", creditor=PAYEE)
    assert submit(site, "AP-2", 100, maker="zhao", creditor=PAYEE)["hold_reasons"] == ["suspected_duplicate"]
    return site


def test_one_operator_releases_nothing_and_resumes_nothing(desk: Operator) -> None:
    why = desk.no(409, "two_persons", "POST", "orders", "kingdee:AP-2", "release", reason="x")
    assert "bankgw resolve --approve" in why and desk.world.state("AP-2") == "held"
    desk.ask("POST", "lanes", LANE, "pause", reason="the bank asked")
    assert LANE in desk.no(409, "two_persons", "POST", "lanes", LANE, "resume")
    assert desk.gateway.lanes[LANE].paused == ("operator",)
    assert desk.ask("GET", "persons")["ceremony_open"] is False


def test_two_supervisors_release_what_is_held(desk: Operator) -> None:
    payment = desk.world.last("AP-2")["payment"]
    key = proposed(desk, SUN, wanted("kingdee:AP-2"))
    assert desk.world.state("AP-2") == "held"
    text = desk.ask("GET", "proposals", key, peer=QIAN.peer)["text"].splitlines()
    assert {"amount: 1.00 CNY", "held-for: suspected_duplicate", "clears: suspected_duplicate", "from: held"} <= set(
        text
    )
    assert approve(desk, QIAN, key)["state"] == "done"
    desk.world.run(3)
    assert desk.world.state("AP-2") == "settled" and len(desk.world.bank.ledger.executions) == 2
    trail = desk.trail(payment)
    assert ("persons:sun+qian", "order.released") in trail
    assert {("uid:2004", "persons.propose"), ("uid:2005", "persons.approve")} <= set(trail)


def test_who_made_it_has_no_part_in_its_release(desk: Operator) -> None:
    assert "zhao made it" in refused(desk, 409, "own_payment", ZHAO, wanted("kingdee:AP-2"))
    key = proposed(desk, SUN, wanted("kingdee:AP-2"))
    digest = desk.ask("GET", "proposals", key)["digest"]
    desk.no(409, "own_payment", "POST", "proposals", key, "approve", peer=ZHAO.peer, digest=digest, signature="AAAA")
    refused(desk, 403, "not_allowed", HAN, wanted("kingdee:AP-2"))
    assert desk.world.state("AP-2") == "held"


@pytest.mark.parametrize(
    ("subject", "to", "status", "code"),
    [
        ("kingdee:AP-1", "send", 409, "not_now"),
        ("kingdee:AP-2", "new_payee", 409, "not_now"),
        ("kingdee:AP-9", "send", 404, "no_such_order"),
        ("kingdee:AP-2", "No Reason", 400, "bad_choice"),
    ],
)
def test_what_cannot_be_released_is_not_signed(desk: Operator, subject: str, to: str, status: int, code: str) -> None:
    refused(desk, status, code, SUN, wanted(subject, to))


def test_a_release_of_what_has_moved_on_is_stale(desk: Operator) -> None:
    key = proposed(desk, SUN, wanted("kingdee:AP-2"))
    desk.ask("POST", "orders", "kingdee:AP-2", "cancel", reason="typo")
    digest = desk.ask("GET", "proposals", key)["digest"]
    desk.no(
        409,
        "stale",
        "POST",
        "proposals",
        key,
        "approve",
        peer=QIAN.peer,
        digest=digest,
        signature=QIAN.sign(digest, Role.APPROVE),
    )
    assert desk.world.state("AP-2") == "cancelled"


def test_a_batch_is_released_with_all_that_waits(desk: Operator) -> None:
    for name in ("B-1", "B-2"):
        desk.world.command("batch.submit", batch(desk.world, name, [300, 301], maker="zhao"))
        desk.world.run(5)
    assert (states(desk.world, "B-1"), states(desk.world, "B-2")) == (["settled"] * 2, ["held"] * 2)
    key = proposed(desk, SUN, wanted("kingdee:B-2", "suspected_duplicate"))
    text = desk.ask("GET", "proposals", key)["text"].splitlines()
    assert {"items: 2", "sum: 6.01 CNY", "held-for: suspected_duplicate 2"} <= set(text)
    approve(desk, QIAN, key)
    desk.world.run(5)
    assert states(desk.world, "B-2") == ["settled"] * 2


def test_two_supervisors_resume_a_lane(desk: Operator) -> None:
    desk.ask("POST", "lanes", LANE, "pause", reason="the bank asked")
    submit(desk, "AP-3", 700, maker="zhao")
    assert desk.world.state("AP-3") == "ready"
    asked = wanted(LANE, kind="resume_lane")
    for one in (HAN, LI):
        refused(desk, 403, "not_allowed", one, asked)
    key = proposed(desk, QIAN, asked)
    assert f"lane: {LANE}" in desk.ask("GET", "proposals", key)["text"].splitlines()
    approve(desk, SUN, key)
    assert desk.gateway.lanes[LANE].paused == ()
    desk.world.run(5)
    assert desk.world.state("AP-3") == "settled"
    assert ("persons:qian+sun", "lane.resumed") in desk.trail(LANE)
    assert "no operator has paused" in refused(desk, 409, "not_now", SUN, asked)


def test_two_supervisors_of_a_company_resume_it_and_others_cannot(desk: Operator) -> None:
    part = f"supervisor@account:{desk.world.bank.account}"
    for one, roles in ((QIAN, "supervisor@company:jia"), (HAN, part)):
        assert decide(desk, "roles", one.name, roles)["state"] == "done"
    sign_in(desk, HAN)
    desk.no(403, "out_of_scope", "POST", "companies", "jia", "pause", peer=HAN.peer, reason="x")
    (row,) = desk.ask("GET", "companies", peer=HAN.peer)["companies"]
    assert (row["company"], row["accounts"]) == ("jia", 1)
    desk.ask("POST", "companies", "jia", "pause", peer=QIAN.peer, reason="a stolen key")
    submit(desk, "AP-3", 700, maker="zhao")
    assert desk.world.state("AP-3") == "ready"
    assert "bankgw companies resume jia" in desk.no(409, "two_persons", "POST", "companies", "jia", "resume")
    asked = wanted("jia", kind="resume_company")
    refused(desk, 403, "not_allowed", LI, asked)
    refused(desk, 403, "out_of_scope", HAN, asked)
    key = proposed(desk, QIAN, asked)
    assert "company: jia" in desk.ask("GET", "proposals", key)["text"].splitlines()
    desk.ask("POST", "companies", "jia", "pause", reason="a second stolen key")
    digest = desk.ask("GET", "proposals", key)["digest"]
    signed = {"digest": digest, "signature": SUN.sign(digest, Role.APPROVE)}
    desk.no(409, "stale", "POST", "proposals", key, "approve", peer=SUN.peer, **signed)
    desk.ask("POST", "proposals", key, "withdraw", peer=QIAN.peer, reason="x")
    approve(desk, SUN, proposed(desk, QIAN, asked))
    desk.world.run(5)
    assert desk.world.state("AP-3") == "settled" and desk.gateway.companies.paused == frozenset()
    assert ("persons:qian+sun", "company.resumed") in desk.trail("company:jia")
    assert "nobody has paused company jia" in refused(desk, 409, "not_now", SUN, asked)
    assert "nobody has paused company ji" in refused(desk, 409, "not_now", SUN, wanted("ji", kind="resume_company"))


def test_what_is_released_while_its_company_is_paused_waits(desk: Operator) -> None:
    desk.ask("POST", "companies", "jia", "pause", reason="a stolen key")
    approve(desk, QIAN, proposed(desk, SUN, wanted("kingdee:AP-2")))
    desk.world.run(10)
    assert desk.world.state("AP-2") == "ready" and len(desk.world.bank.ledger.executions) == 1
    approve(desk, SUN, proposed(desk, QIAN, wanted("jia", kind="resume_company")))
    desk.world.run(5)
    assert desk.world.state("AP-2") == "settled"


def test_a_lane_that_was_paused_again_needs_new_signatures(desk: Operator) -> None:
    desk.ask("POST", "lanes", LANE, "pause", reason="the bank asked")
    key = proposed(desk, QIAN, wanted(LANE, kind="resume_lane"))
    desk.ask("POST", "lanes", LANE, "pause", reason="something else")
    digest = desk.ask("GET", "proposals", key)["digest"]
    desk.no(
        409,
        "stale",
        "POST",
        "proposals",
        key,
        "approve",
        peer=SUN.peer,
        digest=digest,
        signature=SUN.sign(digest, Role.APPROVE),
    )
    assert desk.gateway.lanes[LANE].paused == ("operator",)
