"""A hostile console: forged, replayed and cross-origin assertions. Nothing is released, and each try is in the audit
trail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from gateway.approvals.rows.approvals import ApprovalDecision, to_sign
from gateway.control.client import Refused
from gateway.people.rows.person_signatures import challenge
from gateway.people.rules.passkeys import RelyingParty
from tests.console.approver import Approver
from tests.console.conftest import House
from tests.console.world_gateway import APPROVAL, CONSOLE
from tests.gateway.approvals.test_approval_acts import executions, key_of
from tests.gateway.approvals.test_approval_holds import OVER, submit
from tests.gateway.people.test_people_acts import QIAN, SUN

FAKES = {
    "the console's own relying party": RelyingParty("console.example", CONSOLE),
    "the approval page's id at the console's origin": RelyingParty("approve.example", CONSOLE),
    "a page below the approval page's host": RelyingParty("approve.example", "https://evil.approve.example"),
    "without TLS": RelyingParty("approve.example", "http://approve.example"),
    "another id at the right origin": RelyingParty("example", APPROVAL),
}


def digest_of(house: House, key: str) -> str:
    return str(house.operator.ask("GET", "approvals", key)["digest"])


def send(house: House, key: str, answer: str, digest: str, decision: str = "approve", **more: Any) -> Mapping[str, Any]:
    """Send the daemon a request that a hostile console makes up."""
    said: Mapping[str, Any] = house.gateway.daemon("").post(
        "web", "approvals", key, decision, digest=digest, answer=answer, **more
    )
    return said


def refused(house: House, key: str, *given: Any, subject: str, **more: Any) -> str:
    """Checks the daemon's refusal and its entry in the trail; the payment still waits."""
    before = len(house.operator.trail(f"kingdee/{subject}"))
    with pytest.raises(Refused) as caught:
        send(house, key, *given, **more)
    house.operator.world.run(5)
    assert house.operator.world.state(subject) == "held" and executions(house.operator) == 0
    trail = house.operator.trail(f"kingdee/{subject}")
    assert len(trail) > before and trail[-1][1] == "approval.refused"
    return caught.value.code


@pytest.fixture
def sun(house: House) -> Approver:
    submit(house.operator, "AP-X", OVER, maker="zhao")
    submit(house.operator, "AP-Y", OVER + 100, maker="zhao")
    return house.approver(SUN)


def test_an_assertion_for_x_is_none_for_y(house: House, sun: Approver) -> None:
    """The person saw request X at the approval page. The console keeps the passkey's answer and sends it for request
    Y."""
    x, y = key_of(house.operator, "AP-X"), key_of(house.operator, "AP-Y")
    answer = sun.answer(challenge(to_sign(digest_of(house, x), ApprovalDecision.APPROVE)))
    assert refused(house, y, answer, digest_of(house, y), subject="AP-Y") == "wrong_signature"
    assert refused(house, y, answer, digest_of(house, x), subject="AP-Y") == "changed"


@pytest.mark.parametrize("fake", FAKES, ids=str)
def test_the_console_shows_x_and_asks_for_ys_challenge(house: House, sun: Approver, fake: str) -> None:
    """A challenge of the approval page is answered on a page of the console: the browser records that page's origin."""
    y = key_of(house.operator, "AP-Y")
    sun.authenticator = replace(sun.authenticator, party=FAKES[fake])
    answer = sun.answer(challenge(to_sign(digest_of(house, y), ApprovalDecision.APPROVE)))
    assert refused(house, y, answer, digest_of(house, y), subject="AP-Y") == "wrong_signature"


def test_a_no_is_not_a_yes(house: House, sun: Approver) -> None:
    x = key_of(house.operator, "AP-X")
    answer = sun.answer(challenge(to_sign(digest_of(house, x), ApprovalDecision.REJECT)))
    assert refused(house, x, answer, digest_of(house, x), subject="AP-X") == "wrong_signature"


def test_a_challenge_of_signing_in_approves_nothing(house: House, sun: Approver) -> None:
    x = key_of(house.operator, "AP-X")
    said = house.gateway.daemon("").post("web", "challenge", page="approval", purpose="sign_in")
    answer = sun.answer(said["challenge"].encode())
    assert refused(house, x, answer, digest_of(house, x), subject="AP-X") == "wrong_signature"


def test_an_old_counter_is_a_copy(house: House, sun: Approver) -> None:
    x = key_of(house.operator, "AP-X")
    sun.authenticator = replace(sun.authenticator, count=-1)
    answer = sun.answer(challenge(to_sign(digest_of(house, x), ApprovalDecision.APPROVE)))
    assert refused(house, x, answer, digest_of(house, x), subject="AP-X") == "wrong_signature"


def test_a_key_that_nobody_bound_approves_nothing(house: House, sun: Approver) -> None:
    """The refusal is recorded at the request that was asked for, because there is no person."""
    x = key_of(house.operator, "AP-X")
    stranger = house.approver(QIAN, bound=False)
    answer = stranger.answer(challenge(to_sign(digest_of(house, x), ApprovalDecision.APPROVE)))
    for given in (answer, "{}", "not JSON", '{"rawId": 5}'):
        with pytest.raises(Refused):
            send(house, x, given, digest_of(house, x))
    assert len([1 for _actor, entry in house.operator.trail(f"approval:{x}") if entry == "approval.refused"]) == 4
    assert house.operator.world.state("AP-X") == "held"


def test_a_replay_counts_once(house: House, sun: Approver) -> None:
    x = key_of(house.operator, "AP-X")
    answer = sun.answer(challenge(to_sign(digest_of(house, x), ApprovalDecision.APPROVE)))
    assert send(house, x, answer, digest_of(house, x))["state"] == "approved"
    for _ in range(3):
        with pytest.raises(Refused):
            send(house, x, answer, digest_of(house, x))
    house.operator.world.run(30)
    assert executions(house.operator) == 1


def test_a_passkey_of_the_console_approves_nothing(house: House, sun: Approver) -> None:
    """The passkey was bound for signing in to the console, in its own ceremony; device and origin are right."""
    y = key_of(house.operator, "AP-Y")
    person = sun.operator.ask("GET", "sign-in", peer=SUN.peer)
    assert person["person"] == "sun"
    qian = house.approver(QIAN, bound=False)
    qian.authenticator = replace(qian.authenticator, party=RelyingParty("console.example", CONSOLE))
    said = house.gateway.daemon("").post("web", "challenge", page="console", purpose="create")
    from base64 import urlsafe_b64decode

    octets = urlsafe_b64decode(said["challenge"] + "==")
    made = house.gateway.daemon("").post(
        "web", "passkeys", page="console", challenge=said["challenge"], answer=qian.authenticator.create(octets)
    )
    qian.code = made["code"]
    qian.bind("console")
    qian.authenticator = replace(qian.authenticator, party=RelyingParty("approve.example", APPROVAL))
    answer = qian.answer(challenge(to_sign(digest_of(house, y), ApprovalDecision.APPROVE)))
    with pytest.raises(Refused):
        send(house, y, answer, digest_of(house, y))
    assert house.operator.world.state("AP-Y") == "held"


def test_a_challenge_is_taken_once_and_for_its_purpose(house: House, sun: Approver) -> None:
    from base64 import urlsafe_b64decode

    daemon = house.gateway.daemon("")
    for purpose, page in (("create", "approval"), ("sign_in", "console")):
        said = daemon.post("web", "challenge", page=page, purpose=purpose)
        answer = sun.answer(urlsafe_b64decode(said["challenge"] + "=="))
        with pytest.raises(Refused, match="this challenge is not open"):
            daemon.post("web", "sign-in", "passkey", page="approval", challenge=said["challenge"], answer=answer)
    said = daemon.post("web", "challenge", page="approval", purpose="sign_in")
    answer = sun.answer(urlsafe_b64decode(said["challenge"] + "=="))
    given = {"page": "approval", "challenge": said["challenge"], "answer": answer}
    assert daemon.post("web", "sign-in", "passkey", **given)["person"] == "sun"
    with pytest.raises(Refused, match="this challenge is not open"):
        daemon.post("web", "sign-in", "passkey", **given)
