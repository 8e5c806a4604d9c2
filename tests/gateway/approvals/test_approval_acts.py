"""Approvals on a whole gateway: the persons who may approve, the approvals that count, and every refusal; without them
nothing is sent."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from tests.gateway.approvals.test_approval_holds import OVER, PAYEE, release, request, submit
from tests.gateway.approvals.test_approval_holds import four_eyes as four_eyes
from tests.gateway.approvals.test_approval_holds import operator as operator
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import ZHAO, Hand, hand
from tests.gateway.people.test_people_acts import QIAN, SUN, ask_in, decide, let_in, sign_in
from tests.gateway.people.test_people_acts import site as site
from tests.world.batching import batch, states

ZHOU = hand("zhou", 2006)
LATER_S = 1_200
TWO = "CNY 0..50000 0; CNY 50000.. 2; makers kingdee"


def key_of(operator: Operator, subject: str) -> str:
    made = request(operator, subject)
    assert made is not None
    return made.request


def said(
    operator: Operator, one: Hand, key: str, decision: ApprovalDecision = ApprovalDecision.APPROVE, **changed: Any
) -> dict[str, Any]:
    digest = operator.ask("GET", "approvals", key)["digest"]
    return {"digest": digest, "signature": b64encode(one.key.sign(to_sign(digest, decision))).decode(), **changed}


def approve(operator: Operator, one: Hand, key: str) -> Any:
    done = operator.ask("POST", "approvals", key, "approve", peer=one.peer, **said(operator, one, key))
    operator.world.run(5)
    return done


def no(operator: Operator, status: int, code: str, one: Hand, key: str, **changed: Any) -> str:
    return operator.no(
        status, code, "POST", "approvals", key, "approve", peer=one.peer, **{**said(operator, one, key), **changed}
    )


def executions(operator: Operator) -> int:
    return len(operator.world.bank.ledger.executions)


@pytest.fixture
def two(four_eyes: Operator) -> Operator:
    """The policy needs two approvers over the band."""
    decide(four_eyes, "policy", "approvals", TWO)
    return four_eyes


def test_two_persons_approve_and_the_payment_goes_once(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    [listed] = two.ask("GET", "approvals", peer=SUN.peer)["approvals"]
    assert (listed["request"], listed["sum"], listed["maker"], listed["state"]) == (key, "50000.01 CNY", "zhao", "open")
    first = approve(two, SUN, key)
    assert (first["state"], first["missing"], first["changed"]) == ("open", "1 of any approver", 0)
    assert two.world.state("AP-1") == "held"
    second = approve(two, QIAN, key)
    assert (second["state"], second["missing"], second["changed"]) == ("approved", None, 1)
    assert two.world.state("AP-1") == "settled" and executions(two) == 1
    trail = [entry for _actor, entry in two.trail("kingdee/AP-1")]
    assert trail == [
        "approval.requested",
        "approval.shown",
        "approval.given",
        "approval.shown",
        "approval.given",
        "approval.request_approved",
    ]
    assert two.ask("GET", "approvals", peer=SUN.peer)["approvals"] == []
    no(two, 409, "already_sent", SUN, key)


def test_a_payroll_of_500_lines_is_approved_at_once(two: Operator) -> None:
    body = batch(two.world, "P-1", [10_001 + n for n in range(500)], kind="payroll", maker="zhao")
    two.world.command("payroll.submit", body)
    two.world.run(5)
    key = key_of(two, "P-1")
    shown = two.ask("GET", "approvals", key, peer=SUN.peer)
    assert "500/500" in shown["words"]["zh"] and shown["count"] == 500
    approve(two, SUN, key)
    assert approve(two, QIAN, key)["changed"] == 500
    two.world.run(60)
    assert set(states(two.world, "P-1")) == {"settled"}


def test_who_made_it_does_not_approve_it(four_eyes: Operator) -> None:
    decide(four_eyes, "roles", "zhao", "approver@*;maker@*")
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    why = no(four_eyes, 409, "own_payment", ZHAO, key_of(four_eyes, "AP-1"))
    assert "zhao made it" in why
    assert ("uid:2003", "approval.refused") in four_eyes.trail("kingdee/AP-1")
    assert executions(four_eyes) == 0


def test_who_stands_in_for_the_maker_does_not_either_and_neither_do_two_of_one_seat(two: Operator) -> None:
    decide(two, "roles", "zhao", "approver@*;maker@*")
    sign_in(two, ZHAO)
    sign_in(two, SUN)
    made = two.ask(
        "POST", "delegations", peer=ZHAO.peer, roles="approver", scope="*", delegate="sun", days=1, reason="leave"
    )
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    no(two, 409, "own_payment", SUN, key)
    two.ask("POST", "delegations", made["delegation"], "end", peer=ZHAO.peer, reason="back")
    assert approve(two, SUN, key)["missing"] == "1 of any approver"
    two.ask("POST", "delegations", peer=SUN.peer, roles="approver", scope="*", delegate="qian", days=1, reason="leave")
    no(two, 403, "one_seat", QIAN, key)
    no(two, 409, "decided_already", SUN, key)
    assert two.world.state("AP-1") == "held"


def test_a_delegation_that_ended_counts_no_more(two: Operator) -> None:
    """A delegate approves while the delegation holds. It has ended when the other approver approves."""
    let_in(two, ZHOU, "viewer@*")
    sign_in(two, SUN)
    two.ask(
        "POST",
        "delegations",
        peer=SUN.peer,
        roles="approver",
        scope="*",
        delegate="zhou",
        days=LATER_S / 86_400,
        reason="leave",
    )
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    approve(two, ZHOU, key)
    two.world.run(LATER_S)
    assert approve(two, QIAN, key)["missing"] == "1 of any approver"
    assert "zhou is no approver" in str(two.ask("GET", "approvals", key)["void"])
    assert two.world.state("AP-1") == "held"


def test_who_lost_the_role_before_the_second_signed_does_not_count(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    approve(two, SUN, key)
    decide(two, "roles", "sun", "viewer@*")
    assert approve(two, QIAN, key)["missing"] == "1 of any approver"
    assert two.ask("GET", "approvals", key)["void"] == {"sun": "sun is no approver"}
    assert (two.world.state("AP-1"), executions(two)) == ("held", 0)


def test_scope_and_role_are_needed(four_eyes: Operator) -> None:
    elsewhere = next(
        account for account in sorted(four_eyes.gateway.registry.routes) if account != four_eyes.world.bank.account
    )
    decide(four_eyes, "roles", "sun", f"approver@account:{elsewhere}")
    decide(four_eyes, "roles", "qian", "viewer@*")
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    key = key_of(four_eyes, "AP-1")
    assert f"only at account:{elsewhere}" in no(four_eyes, 403, "not_allowed", SUN, key)
    assert "no approver" in no(four_eyes, 403, "not_allowed", QIAN, key)
    assert four_eyes.ask("GET", "approvals", peer=SUN.peer)["approvals"] == []
    decide(four_eyes, "roles", "sun", f"approver@account:{four_eyes.world.bank.account}")
    assert approve(four_eyes, SUN, key)["state"] == "approved"


def test_words_that_were_not_signed_do_not_count(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    submit(four_eyes, "AP-2", OVER, maker="zhao")
    key, other = key_of(four_eyes, "AP-1"), key_of(four_eyes, "AP-2")
    no(four_eyes, 409, "changed", SUN, key, digest="0" * 64)
    no(four_eyes, 403, "wrong_signature", SUN, key, signature=said(four_eyes, SUN, other)["signature"])
    no(four_eyes, 403, "wrong_signature", SUN, key, signature=said(four_eyes, QIAN, key)["signature"])
    no(
        four_eyes,
        403,
        "wrong_signature",
        SUN,
        key,
        signature=said(four_eyes, SUN, key, ApprovalDecision.REJECT)["signature"],
    )
    four_eyes.no(
        404, "no_such_request", "POST", "approvals", "0" * 26, "approve", peer=SUN.peer, **said(four_eyes, SUN, key)
    )
    assert four_eyes.world.state("AP-1") == "held"


def test_a_request_expires_and_is_asked_anew(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    key = key_of(four_eyes, "AP-1")
    four_eyes.world.run(601)
    assert four_eyes.ask("GET", "approvals")["approvals"][0]["state"] == "late"
    four_eyes.world.run(1_200)
    assert "renew" in no(four_eyes, 409, "expired", SUN, key)
    renewed = four_eyes.ask("POST", "approvals", key, "renew", peer=ZHAO.peer)["request"]
    no(four_eyes, 409, "closed", SUN, key)
    assert approve(four_eyes, SUN, renewed)["state"] == "approved"
    assert four_eyes.world.state("AP-1") == "settled"


def test_nothing_is_rejected_while_its_lane_may_lack_sends(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    two.gateway.safe_mode.unread = True
    words = said(two, QIAN, key, ApprovalDecision.REJECT, reason="not ours")
    why = two.no(409, "too_late", "POST", "approvals", key, "reject", peer=QIAN.peer, **words)
    assert "SAFE MODE" in why and two.world.state("AP-1") == "held"
    assert "approval.refused" in [entry for _actor, entry in two.trail("kingdee/AP-1")]
    assert approve(two, SUN, key)["missing"] == "1 of any approver", "an approval sends nothing, so it counts"
    two.gateway.safe_mode.unread = False
    two.ask("POST", "approvals", key, "reject", peer=QIAN.peer, **words)
    assert two.world.state("AP-1") == "cancelled"


def test_one_rejection_cancels_it(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    approve(two, SUN, key)
    done = two.ask(
        "POST",
        "approvals",
        key,
        "reject",
        peer=QIAN.peer,
        reason="not our supplier",
        **said(two, QIAN, key, ApprovalDecision.REJECT),
    )
    two.world.run(2)
    assert (done["state"], two.world.state("AP-1"), two.world.last("AP-1")["event"]) == (
        "rejected",
        "cancelled",
        "payment.cancelled",
    )
    no(two, 409, "closed", QIAN, key)


def test_a_deactivated_person_voids_what_was_not_sent(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    approve(two, SUN, key)
    decide(two, "deactivate", "sun", "deactivated")
    assert approve(two, QIAN, key)["missing"] == "1 of any approver"
    assert "not enrolled" in str(two.ask("GET", "approvals", key)["void"])
    assert two.world.state("AP-1") == "held"


def test_a_reset_key_voids_what_was_not_sent_and_approves_nothing_for_a_day(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    key = key_of(two, "AP-1")
    approve(two, SUN, key)
    new = Hand("sun", SUN.uid, hand("sun again", SUN.uid).key)
    assert ask_in(two, new) == "enrolled"
    decide(two, "reset", "sun", "new-key")
    for one in (new, SUN):
        assert "less than 24 hours" in no(two, 403, "cool_down", one, key)
    assert approve(two, QIAN, key)["missing"] == "1 of any approver"
    assert "the key of sun was reset" in str(two.ask("GET", "approvals", key)["void"])
    assert two.world.state("AP-1") == "held" and executions(two) == 0


def test_approvals_that_void_before_the_send_hold_it_again(four_eyes: Operator) -> None:
    """The order is approved for a later time. The approver is deactivated before that."""
    at = four_eyes.world.moment(LATER_S)
    submit(four_eyes, "AP-1", OVER, maker="zhao", not_before=at)
    key = key_of(four_eyes, "AP-1")
    assert approve(four_eyes, SUN, key)["state"] == "approved"
    assert four_eyes.world.state("AP-1") == "ready"
    decide(four_eyes, "deactivate", "sun", "deactivated")
    four_eyes.world.run(LATER_S + 60)
    assert four_eyes.world.state("AP-1") == "held" and executions(four_eyes) == 0
    again = key_of(four_eyes, "AP-1")
    assert again != key and approve(four_eyes, QIAN, again)["state"] == "approved"
    assert four_eyes.world.state("AP-1") == "settled" and executions(four_eyes) == 1
    assert four_eyes.world.last("AP-1")["state"] == "settled"


def test_a_policy_that_becomes_stricter_before_the_send_holds_it(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", 100, maker="zhao", not_before=four_eyes.world.moment(LATER_S), creditor=PAYEE)
    assert four_eyes.world.state("AP-1") == "ready"
    decide(four_eyes, "policy", "approvals", "CNY 0.. 1; makers kingdee")
    four_eyes.world.run(LATER_S + 60)
    assert four_eyes.world.state("AP-1") == "held" and executions(four_eyes) == 0
    approve(four_eyes, SUN, key_of(four_eyes, "AP-1"))
    assert four_eyes.world.state("AP-1") == "settled"


def test_a_policy_that_becomes_looser_frees_nothing(two: Operator) -> None:
    submit(two, "AP-1", OVER, maker="zhao")
    decide(two, "policy", "approvals", "none")
    key = key_of(two, "AP-1")
    assert approve(two, SUN, key)["missing"] == "1 of any approver"
    assert approve(two, QIAN, key)["state"] == "approved" and two.world.state("AP-1") == "settled"


def test_groups_are_filled_by_different_persons(four_eyes: Operator) -> None:
    let_in(four_eyes, ZHOU, "approver@*")
    decide(
        four_eyes,
        "policy",
        "approvals",
        "CNY 0.. 0; CNY 0..1000 0 group=board; CNY 1000.. 1 group=board; CNY 0..1000 0 group=desk; "
        "CNY 1000.. 1 group=desk; group board=sun; group desk=sun,qian; makers kingdee",
    )
    submit(four_eyes, "AP-1", 200_000, maker="zhao")
    key = key_of(four_eyes, "AP-1")
    assert approve(four_eyes, ZHOU, key)["missing"] == "1 of group board and 1 of group desk"
    assert approve(four_eyes, SUN, key)["missing"] == "1 of group desk"
    assert approve(four_eyes, QIAN, key)["state"] == "approved"


def test_an_approval_clears_the_band_and_no_suspicion(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", OVER, maker="zhao", creditor=PAYEE)
    approve(four_eyes, SUN, key_of(four_eyes, "AP-1"))
    told = submit(four_eyes, "AP-2", OVER, maker="zhao", creditor=PAYEE)
    assert told["hold_reasons"] == ["suspected_duplicate", "approval"]
    key = key_of(four_eyes, "AP-2")
    approve(four_eyes, SUN, key)
    assert four_eyes.world.last("AP-2")["hold_reasons"] == ["suspected_duplicate"]
    decide(four_eyes, "roles", "sun", "viewer@*")
    release(four_eyes, "kingdee:AP-2")
    done = four_eyes.world.last("AP-2")
    assert (done["state"], done["hold_reasons"]) == ("held", ["approval"])
    assert key_of(four_eyes, "AP-2") != key and executions(four_eyes) == 1


def test_what_is_released_waits_for_its_time(four_eyes: Operator) -> None:
    submit(four_eyes, "AP-1", 1, maker="zhao", creditor=PAYEE)
    submit(four_eyes, "AP-2", 1, maker="zhao", creditor=PAYEE, not_before=four_eyes.world.moment(LATER_S))
    release(four_eyes, "kingdee:AP-2")
    assert four_eyes.world.state("AP-2") == "ready"
    four_eyes.world.run(5)
    assert executions(four_eyes) == 1
    four_eyes.world.run(LATER_S)
    assert executions(four_eyes) == 2


def test_what_was_written_down_and_never_left_can_be_approved_anew(four_eyes: Operator) -> None:
    """The permit is refused at each write, and the approver is deactivated meanwhile. Nothing was sent, so another
    person may approve."""
    gate = four_eyes.gateway.lanes["sample.main"].gate
    permits = gate.permits
    gate.permits = lambda epoch, committed_s: False  # type: ignore[method-assign]
    submit(four_eyes, "AP-1", OVER, maker="zhao")
    key = key_of(four_eyes, "AP-1")
    approve(four_eyes, SUN, key)
    assert four_eyes.world.state("AP-1") == "ready" and "payment.not_sent" in str(four_eyes.trail(_payment(four_eyes)))
    decide(four_eyes, "deactivate", "sun", "deactivated")
    four_eyes.world.run(10)
    assert four_eyes.world.state("AP-1") == "held"
    gate.permits = permits  # type: ignore[method-assign]
    assert approve(four_eyes, QIAN, key_of(four_eyes, "AP-1"))["state"] == "approved"
    assert four_eyes.world.state("AP-1") == "settled" and executions(four_eyes) == 1


def _payment(operator: Operator) -> str:
    return str(operator.world.last("AP-1")["payment"])
