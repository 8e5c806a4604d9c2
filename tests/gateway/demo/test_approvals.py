"""The demo's approver signs only the shown text, and the judge finds every payment that left without enough approvals."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.approvals.rows.approval_requests import RequestState
from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.approvals.rules import approval_digest, approval_policy, approval_text
from gateway.approvals.rules.approval_bands import ApprovalFacts
from gateway.approvals.rules.approval_digest import ApprovalLine, ApprovalSubject
from gateway.demo import approvals
from gateway.demo.approvals import APPROVERS, FREE_MINOR, MAKER, ONE_MINOR, SignedRequest, TextDiffers
from gateway.demo.orders import DemoOrder
from gateway.demo.verdict import Journalled
from protocols.canon.outcome import State

KEYS = {name: Ed25519PrivateKey.generate() for name in (MAKER, *APPROVERS)}
PAYEE, OURS = "0000000000000000041", "00001000000001"
QIAN, SUN = APPROVERS


def line(minor: int = ONE_MINOR + 1, payee: str = PAYEE) -> ApprovalLine:
    return ApprovalLine("AP-1", OURS, "示例丙", payee, "", "", minor, "CNY", "货款")


def form() -> bytes:
    return approval_digest.canonical(
        ApprovalSubject(
            "test", "J", approval_digest.PAY, "R", "kingdee", "payment", "auto", "", MAKER, None, None, 1, (line(),)
        )
    )


def shown(**changed: Any) -> dict[str, Any]:
    words = {"en": approval_text.signed_text(form(), "en"), "zh": approval_text.signed_text(form(), "zh")}
    return {
        "request": "R",
        "subject": "AP-1",
        "form": form().decode(),
        "words": words,
        "digest": approval_digest.digest(form()),
        **changed,
    }


def request(*signers: str, state: RequestState = RequestState.APPROVED, need: int = 2, **of: Any) -> SignedRequest:
    return SignedRequest(state, need, {"AP-1": line(**of)}, frozenset(signers))


def count(
    *requests: SignedRequest,
    minor: int = ONE_MINOR + 1,
    sends: int = 1,
    at_bank: bool = False,
    ended: State = State.SETTLED,
) -> tuple[int, int, int]:
    order = DemoOrder("AP-1", "sample", OURS, PAYEE, "示例丙", (minor,), "货款", "plain")
    row = Journalled("P1", "AP-1", ended, 1, "sample", "R1", sends, minor=minor)
    found = approvals.count([order], [row], {PAYEE} if at_bank else (), requests)
    return len(found.approved), len(found.without), len(found.waiting)


def test_it_signs_the_digest_of_the_form() -> None:
    said = json.loads(approvals.signed(shown(), QIAN, KEYS[QIAN]))
    assert (said["id"], said["person"], said["digest"]) == ("AP-1", QIAN, approval_digest.digest(form()))
    KEYS[QIAN].public_key().verify(b64decode(said["signature"]), to_sign(said["digest"], ApprovalDecision.APPROVE))


@pytest.mark.parametrize(
    "changed",
    [{"digest": "0" * 64}, {"words": {"en": approval_text.signed_text(form(), "en").replace("800", "100"), "zh": ""}}],
)
def test_it_does_not_sign_what_differs_from_its_words(changed: dict[str, Any]) -> None:
    with pytest.raises(TextDiffers):
        approvals.signed(shown(**changed), QIAN, KEYS[QIAN])


def test_as_many_sign_as_are_needed_and_have_not() -> None:
    waiting = {"need": [{"group": "*", "approvers": 2}], "decided": []}
    assert approvals.due(waiting) == [QIAN, SUN]
    assert approvals.due({**waiting, "decided": [{"person": QIAN}]}) == [SUN]
    assert approvals.due({**waiting, "need": [{"group": "*", "approvers": 1}]}) == [QIAN]


@pytest.mark.parametrize("minor", [1, FREE_MINOR, FREE_MINOR + 1, ONE_MINOR, ONE_MINOR + 1])
def test_the_bands_of_the_count_are_those_of_the_policy(minor: int) -> None:
    facts = ApprovalFacts("CNY", minor, "payment", "new", "kingdee", maker=MAKER)
    assert approvals.needed(minor) == approval_policy.parse(approvals.POLICY).needed(facts).approvers


def test_a_signature_counts_by_the_approvers_own_key() -> None:
    digest = approval_digest.digest(form())
    octets = to_sign(digest, ApprovalDecision.APPROVE)
    of = {name: key.sign(octets) for name, key in KEYS.items()}
    assert approvals.signers([(QIAN, of[QIAN]), (SUN, of[SUN])], digest, MAKER, KEYS) == {QIAN, SUN}
    rejected = KEYS[SUN].sign(to_sign(digest, ApprovalDecision.REJECT))
    assert not approvals.signers([(QIAN, of[SUN]), (SUN, rejected), (MAKER, of[MAKER])], digest, MAKER, KEYS)
    assert not approvals.signers([(QIAN, of[QIAN])], digest, QIAN, KEYS)


def test_what_left_with_enough_signatures_is_approved() -> None:
    assert count(request(QIAN, SUN)) == (1, 0, 0)
    assert count(minor=FREE_MINOR) == (0, 0, 0)
    assert count(request(QIAN, state=RequestState.OPEN), sends=0, ended=State.HELD) == (0, 0, 1)
    assert count(request(QIAN, state=RequestState.OPEN), sends=0, ended=State.CANCELLED) == (0, 0, 0)


@pytest.mark.parametrize(
    "requests",
    [
        (),
        (request(QIAN),),
        (request(QIAN, need=1),),
        (request(QIAN, SUN, state=RequestState.OPEN),),
        (request(QIAN, SUN, state=RequestState.VOID),),
        (request(QIAN, SUN, minor=ONE_MINOR),),
        (request(QIAN, SUN, payee="0000000000000000042"),),
    ],
)
def test_what_left_otherwise_is_without_approval(requests: tuple[SignedRequest, ...]) -> None:
    assert count(*requests) == (0, 1, 0)
    assert count(*requests, sends=0, at_bank=True) == (0, 1, 0)


def test_the_check_fails_for_each_thing_that_is_wrong() -> None:
    clean = approvals.ApprovalCount(frozenset({"AP-1"}), frozenset(), frozenset())
    assert clean.check((), "").holds and clean.last_words() == ", 1 approved, 0 without approval"
    wrong = replace(clean, without=frozenset({"AP-2"}))
    assert wrong.last_words() == ", 1 approved, 1 without approval"
    assert not any(one.holds for one in (wrong.check((), ""), clean.check({"R"}, ""), clean.check((), "ended")))
