"""Linked payments with administrators: approvers of an order also approve its funding, and two persons decide about its
money."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.approvals.rows.approvals import ApprovalDecision
from tests.gateway.approvals import test_approval_acts as approvals
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, approve
from tests.gateway.people.test_people_acts import SUN, appoint, decide, sign_in
from tests.gateway.pools.test_linked import MORE, last, linked, moved, pay
from tests.gateway.pools.test_liquidity import RICH, balance, own, policy, pool_of, put, world_of


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Operator]:
    """ZHAO and SUN have the roles for supervising and approving everything. A pool is in force."""
    operator = Operator(world_of(tmp_path))
    appoint(operator, ZHAO, SUN, roles="approver@*;supervisor@*")
    for one in (ZHAO, SUN):
        sign_in(operator, one)
    put(operator, pool_of(operator, "down=target:0.01", "up=keep:1000.00"))
    yield operator
    operator.world.crash()


def test_the_funding_begins_with_the_last_approval_and_needs_none_of_its_own(people: Operator) -> None:
    policy(people, "CNY 0.. 2")
    pay(people, "AP-1", maker="qian")
    assert people.world.last("AP-1")["hold_reasons"] == ["approval", "funding"]
    (waits,) = people.ask("GET", "approvals", peer=ZHAO.peer)["approvals"]
    assert approvals.approve(people, ZHAO, waits["request"])["state"] == "open"
    people.world.run(90)
    assert (moved(people), last(people, "AP-1")) == ([], "held"), "one of two approvals moves nothing"
    assert approvals.approve(people, SUN, waits["request"])["state"] == "approved"
    people.world.run(1)
    assert people.world.last("AP-1")["hold_reasons"] == ["funding"]
    people.world.run(120)
    assert last(people, "AP-1") == "settled" and linked(people) == []
    assert moved(people) == [("1", MORE), ("out", RICH + MORE)], "each leg once, leg 1 before leg 2"
    assert people.ask("GET", "approvals", peer=ZHAO.peer)["approvals"] == [], "leg 1 asks for no approval"


def test_a_rejected_order_is_not_funded(people: Operator) -> None:
    policy(people, "CNY 0.. 2")
    pay(people, "AP-1", maker="qian")
    (waits,) = people.ask("GET", "approvals", peer=ZHAO.peer)["approvals"]
    said = approvals.said(people, ZHAO, waits["request"], ApprovalDecision.REJECT, reason="not ours")
    people.ask("POST", "approvals", waits["request"], "reject", peer=ZHAO.peer, **said)
    people.world.run(120)
    assert (last(people, "AP-1"), moved(people), linked(people)) == ("cancelled", [], [])


@pytest.mark.parametrize("to", ["return", "stay"])
def test_two_supervisors_decide_what_becomes_of_the_money(people: Operator, to: str) -> None:
    pay(people, "AP-1", purpose="货款 #refuse")
    people.world.run(120)
    assert (last(people, "AP-1"), moved(people)) == ("failed", [("1", MORE)])
    name = "kingdee:AP-1"
    assert f"bankgw liquidity {to}" in people.no(
        409, "two_persons", "POST", "linked", name, "decide", peer=ZHAO.peer, to=to, reason="alone"
    )
    with pytest.raises(Exception, match="second person"):
        decide(people, "link", name, to, ZHAO, ZHAO)
    people.world.run(60)
    assert (moved(people), [one["state"] for one in linked(people)]) == ([("1", MORE)], ["undecided"]), (
        "one is not enough"
    )
    (key,) = [
        one["proposal"] for one in people.ask("GET", "proposals", peer=ZHAO.peer)["proposals"] if one["state"] == "open"
    ]
    text = people.ask("GET", "proposals", key, peer=SUN.peer)["text"]
    assert name in text and "700.00 CNY" in text and own(people)[1] not in text, "what both sign, the number masked"
    people.ask("GET", "liquidity", "group", "preview")
    assert approve(people, SUN, key)["state"] == "done"
    people.world.run(60)
    assert moved(people) == [("1", MORE), *([("0", MORE)] if to == "return" else [])]
    assert linked(people) == [] and sum(balance(people, n) for n in (0, 1)) == 2 * RICH
    trail = [entry for _actor, entry in people.trail(people.world.last("AP-1")["payment"])]
    assert trail.count("link.returned" if to == "return" else "link.stays") == 1
