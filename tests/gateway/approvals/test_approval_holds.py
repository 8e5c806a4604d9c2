"""Orders held by the approval policy in force, on a whole gateway: which are held, with which request, and until
when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.approvals.rows import approval_requests
from gateway.approvals.rows.approval_requests import ApprovalRequest, RequestState
from gateway.approvals.rules import approval_digest
from gateway.approvals.rules.approval_text import signed_text
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, hand
from tests.gateway.people.test_people_acts import QIAN, SUN, decide, let_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import batch, states
from tests.world.world import World

BANDS = "CNY 0..50000 0; CNY 50000.. 1; makers kingdee"
OVER = 5_000_001
HAN, TANG = hand("han", 2007), hand("tang", 2008)
PAYEE = {"account": "0000000000000000041", "name": "示例丙"}


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    world = World(
        tmp_path,
        accounts=2,
        sender={"suspected_duplicate_hours": 24},
        settings={"control": {"approval_valid_s": 1_800, "approval_escalates_s": 600}},
    )
    world.start()
    world.run(1)
    yield Operator(world)
    if world.life is not None:
        world.crash()


@pytest.fixture
def four_eyes(site: Operator) -> Operator:
    """A site with the policy BANDS: ZHAO makes payments, SUN and QIAN approve them, HAN and TANG are supervisors."""
    for one, roles in (
        (ZHAO, "maker@*"),
        (SUN, "approver@*"),
        (QIAN, "approver@*"),
        (HAN, "supervisor@*"),
        (TANG, "supervisor@*"),
    ):
        let_in(site, one, roles)
    decide(site, "policy", "approvals", BANDS)
    return site


def release(operator: Operator, subject: str) -> None:
    """HAN and TANG release the order from the reasons that they may clear."""
    decide(operator, "release", subject, "send", HAN, TANG)
    operator.world.run(1)


def submit(operator: Operator, id_: str, minor: int, **body: Any) -> Any:
    operator.world.submit(id_, minor, **body)
    operator.world.run(3)
    return operator.world.last(id_)


def request(operator: Operator, subject: str) -> ApprovalRequest | None:
    said: list[Any] = []
    operator.gateway.parts.store.read(lambda conn: approval_requests.latest(conn, "kingdee", subject)).addBoth(
        said.append
    )
    operator.world.run(0.1)
    found: ApprovalRequest | None = said[0]
    return found


def test_without_a_policy_nothing_waits(site: Operator) -> None:
    assert submit(site, "AP-1", OVER)["state"] == "settled"
    assert request(site, "AP-1") is None


def test_what_a_band_names_is_held_with_a_request(four_eyes: Operator) -> None:
    assert submit(four_eyes, "AP-1", OVER - 1, maker="zhao")["state"] == "settled"
    told = submit(four_eyes, "AP-2", OVER, maker="zhao", creditor=PAYEE)
    assert (told["state"], told["hold_reasons"]) == ("held", ["approval"])
    made = request(four_eyes, "AP-2")
    assert made is not None and made.state is RequestState.OPEN
    assert (made.maker, made.need.of_group) == ("zhao", (("*", 1),))
    about = approval_digest.parse(made.form)
    assert (about.environment, about.sender, about.maker, about.policy) == ("test", "kingdee", "zhao", 1)
    assert about.lines[0].payee_account == "0000000000000000041" and about.lines[0].amount_minor == OVER
    assert made.digest == approval_digest.digest(made.form) and made.digest in signed_text(made.form, "zh")
    assert made.expires_ms - made.made_ms == 1_800_000
    assert made.escalates_ms is not None and made.escalates_ms - made.made_ms == 600_000
    assert ("policy:1", "approval.requested") in four_eyes.trail("kingdee/AP-2")


@pytest.mark.parametrize("maker", [None, "nobody", "wang.li"])
def test_an_order_whose_maker_is_not_known_needs_two(four_eyes: Operator, maker: str | None) -> None:
    assert submit(four_eyes, "AP-1", 1, **({} if maker is None else {"maker": maker}))["state"] == "held"
    made = request(four_eyes, "AP-1")
    assert made is not None and (made.maker, made.need.approvers) == (None, 2)


def test_a_payment_in_parts_needs_what_the_whole_would_have(four_eyes: Operator) -> None:
    for n in range(5):
        told = submit(four_eyes, f"AP-{n}", 1_000_000 + n, maker="zhao", creditor=PAYEE)
        assert told["state"] == ("settled" if n < 4 else "held")
    other = {**PAYEE, "account": "0000000000000000058"}
    assert submit(four_eyes, "AP-other", 1_000_000, maker="zhao", creditor=other)["state"] == "settled"


def test_a_batch_is_judged_by_its_sum_and_asked_about_once(four_eyes: Operator) -> None:
    four_eyes.world.command(
        "batch.submit", batch(four_eyes.world, "B-1", [2_000_000, 2_000_001, 1_000_000], maker="zhao")
    )
    four_eyes.world.run(3)
    assert states(four_eyes.world, "B-1") == ["held"] * 3
    made = request(four_eyes, "B-1")
    assert made is not None and [line.order for line in approval_digest.parse(made.form).lines] == [
        "B-1-1",
        "B-1-2",
        "B-1-3",
    ]
    assert request(four_eyes, "B-1-1") is None


def test_one_operator_does_not_clear_it(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    for held_for in (None, "approval"):
        four_eyes.no(409, "two_persons", "POST", "orders", "kingdee:AP-1", "release", reason="x", held_for=held_for)
        asked = {"kind": "release", "subject": "kingdee:AP-1", "to": held_for or "send", "note": "x"}
        why = four_eyes.no(409, "not_now", "POST", "proposals", "draft", peer=HAN.peer, **asked)
        assert "bankgw approvals list" in why
    assert four_eyes.world.state("AP-1") == "held" and not four_eyes.world.bank.ledger.executions


def test_a_release_judges_again_by_the_policy_in_force_by_then(four_eyes: Operator) -> None:
    """The order is held as a suspected duplicate under a policy without approvals. Since then another policy has come
    into force that needs two approvers."""
    world = four_eyes.world
    first = submit(four_eyes, "AP-1", 100, maker="zhao", creditor=PAYEE)
    again = submit(four_eyes, "AP-2", 100, maker="zhao", creditor=PAYEE)
    assert (first["state"], again["hold_reasons"]) == ("settled", ["suspected_duplicate"])
    decide(four_eyes, "policy", "approvals", "CNY 0.. 2")
    release(four_eyes, "kingdee:AP-2")
    said = world.last("AP-2")
    assert (said["state"], said["hold_reasons"]) == ("held", ["approval"])
    made = request(four_eyes, "AP-2")
    assert made is not None and made.need.approvers == 2
    assert len(world.bank.ledger.executions) == 1
