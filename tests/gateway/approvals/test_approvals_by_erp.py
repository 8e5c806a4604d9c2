"""An ERP sends an approver's signature over the broker: it counts as much as a signature made at this gateway. Nothing
else counts."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from tests.gateway.approvals.test_approval_acts import TWO, executions
from tests.gateway.approvals.test_approval_holds import OVER, request, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, Hand
from tests.gateway.people.test_people_acts import QIAN, SUN, decide
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import batch, states


def brought(operator: Operator, one: Hand, subject: str, approves: bool = True, **changed: Any) -> dict[str, Any]:
    """The answer to a person's decision that the ERP has sent."""
    made = request(operator, subject)
    assert made is not None
    decision = ApprovalDecision.APPROVE if approves else ApprovalDecision.REJECT
    signature = b64encode(one.key.sign(to_sign(made.digest, decision))).decode()
    body = {"id": subject, "person": one.name, "digest": made.digest, "signature": signature, **changed}
    operator.world.command("payment.approve" if approves else "payment.reject", body)
    operator.world.run(3)
    said: dict[str, Any] = operator.world.replies[-1][1]
    return said


def test_two_signatures_that_an_erp_brings_let_it_go(four_eyes: Operator) -> None:
    decide(four_eyes, "policy", "approvals", TWO)
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    assert brought(four_eyes, SUN, "AP-1")["state"] == "held"
    assert brought(four_eyes, QIAN, "AP-1")["state"] in ("ready", "settled")
    four_eyes.world.run(3)
    assert four_eyes.world.state("AP-1") == "settled" and executions(four_eyes) == 1
    assert ("user:erp-user", "approval.given") in four_eyes.trail("kingdee/AP-1")


def test_a_batch_by_one_signature_and_a_rejection(four_eyes: Operator) -> None:
    for name in ("B-1", "B-2"):
        four_eyes.world.command("batch.submit", batch(four_eyes.world, name, [OVER, OVER + 1], maker="zhao"))
        four_eyes.world.run(3)
    brought(four_eyes, SUN, "B-1")
    assert brought(four_eyes, SUN, "B-2", approves=False, reason="not ours")["event"] == "batch.status"
    four_eyes.world.run(5)
    assert (states(four_eyes.world, "B-1"), states(four_eyes.world, "B-2")) == (["settled"] * 2, ["cancelled"] * 2)


def test_nothing_is_rejected_while_its_lane_may_lack_sends(four_eyes: Operator) -> None:
    """The database may lack the approval and the send of these orders; an ERP that is told `cancelled` pays again."""
    world = four_eyes.world
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    world.command("batch.submit", batch(world, "B-1", [OVER, OVER + 1], maker="zhao"))
    world.run(3)
    four_eyes.gateway.safe_mode.unread = True
    for subject in ("AP-1", "B-1"):
        said = brought(four_eyes, SUN, subject, approves=False, reason="not ours")
        assert (said["event"], said["error"]["code"]) == ("command.rejected", "too_late")
        assert "SAFE MODE" in said["error"]["title"]
    assert [world.state("AP-1"), *states(world, "B-1")] == ["held"] * 3
    assert "payment.cancelled" not in world.told("AP-1")
    four_eyes.gateway.safe_mode.unread = False
    brought(four_eyes, SUN, "AP-1", approves=False, reason="not ours")
    brought(four_eyes, SUN, "B-1", approves=False, reason="not ours")
    assert [world.state("AP-1"), *states(world, "B-1")] == ["cancelled"] * 3, "the request stayed open"


def test_what_is_not_the_persons_signature_counts_for_nothing(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    submit(four_eyes, "AP-2", OVER, maker="zhao")
    refused = (
        brought(four_eyes, ZHAO, "AP-1"),
        brought(four_eyes, SUN, "AP-1", person="qian"),
        brought(four_eyes, SUN, "AP-1", digest="0" * 64),
        brought(four_eyes, SUN, "AP-1", person="nobody"),
        brought(four_eyes, SUN, "AP-1", signature="A" * 86 + "=="),
        brought(four_eyes, SUN, "AP-1", id="AP-2"),
    )
    assert [said["error"]["code"] for said in refused] == ["not_approved"] * 6
    assert "own_payment" in str(refused[0]) and "wrong_signature" in str(refused[1])
    four_eyes.world.command(
        "payment.approve", {"id": "AP-9", "person": "sun", "digest": "0" * 64, "signature": "A" * 86 + "=="}
    )
    four_eyes.world.run(3)
    assert four_eyes.world.replies[-1][1]["error"]["code"] == "unknown_payment"
    assert four_eyes.world.state("AP-1") == "held" and executions(four_eyes) == 0
    trail = [entry for _actor, entry in four_eyes.trail("kingdee/AP-1")]
    assert trail.count("approval.refused") == 5
