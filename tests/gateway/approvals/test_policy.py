"""Approval policies on a whole gateway: two persons put one in force, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.approvals.rows import approval_policies
from gateway.call import Denied
from gateway.kernel.commit.store import Tx
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, ZHAO
from tests.gateway.people.test_people_acts import decide, let_in, sign_in
from tests.gateway.people.test_people_acts import operator as operator
from tests.gateway.people.test_people_acts import site as site

BANDS = "CNY 0.00..50000.00 0; CNY 50000.00.. 1"


def test_two_administrators_put_a_policy_in_force(site: Operator) -> None:
    assert site.ask("GET", "policy")["policies"] == []
    assert decide(site, "policy", "approvals", "CNY 0..50000 0;CNY 50000.00.. 1")["state"] == "done"
    decide(site, "policy", "approvals", "CNY 0.. 2")
    first, second = site.ask("GET", "policy")["policies"]
    assert (first["version"], first["text"]) == (2, "CNY 0.00.. 2")
    assert (second["version"], second["text"]) == (1, BANDS)
    assert ("uid:2002", "policy.in_force") in site.trail("approvals")


def test_what_is_in_force_already_is_not_proposed(site: Operator) -> None:
    decide(site, "policy", "approvals", BANDS)
    site.no(
        409,
        "not_now",
        "POST",
        "proposals",
        "draft",
        peer=WANG.peer,
        kind="policy",
        subject="approvals",
        to=BANDS,
        note="x",
    )


@pytest.mark.parametrize(
    ("to", "code"),
    [
        ("CNY 0..50000.00 0; CNY 60000.00.. 1", "bad_policy"),
        ("CNY 0..9 0; CNY 8.. 1", "bad_policy"),
        ("", "bad_policy"),
    ],
)
def test_gaps_and_overlaps_are_refused(site: Operator, to: str, code: str) -> None:
    site.no(
        400, code, "POST", "proposals", "draft", peer=WANG.peer, kind="policy", subject="approvals", to=to, note="x"
    )
    assert site.ask("GET", "policy")["policies"] == []


def test_a_group_has_enrolled_persons(site: Operator) -> None:
    why = site.no(
        404,
        "no_such_person",
        "POST",
        "proposals",
        "draft",
        peer=WANG.peer,
        kind="policy",
        note="x",
        subject="approvals",
        to="CNY 0.. 0; CNY 0.. 1 group=desk; group desk=nobody",
    )
    assert "nobody is enrolled as nobody" in why


def test_a_supervisor_of_everything_may_be_the_second_and_of_some_may_not(site: Operator) -> None:
    let_in(site, ZHAO, "supervisor@company:jia")
    sign_in(site, ZHAO)
    with pytest.raises(Denied, match="supervisor of some"):
        decide(site, "policy", "approvals", BANDS, WANG, ZHAO)
    key = site.ask("GET", "proposals", peer=LI.peer)["proposals"][0]["proposal"]
    site.ask("POST", "proposals", key, "withdraw", peer=LI.peer, reason="no")
    decide(site, "roles", "zhao", "supervisor@*")
    assert decide(site, "policy", "approvals", BANDS, WANG, ZHAO)["state"] == "done"


def test_a_row_that_was_altered_is_noticed(site: Operator) -> None:
    decide(site, "policy", "approvals", BANDS)
    store = site.world.life.store if site.world.life is not None else None
    assert store is not None
    said: Any = None

    def alter(tx: Tx) -> None:
        tx.fresh.exec_driver_sql("UPDATE approval_policies SET version = 7")
        nonlocal said
        said = approval_policies.last(tx.fresh)

    store.write(alter)
    site.world.run(1)
    assert said.policy.altered
