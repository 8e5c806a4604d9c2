"""A person at the approval page with a software passkey, who does each step that a browser would do."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from dataclasses import dataclass, field, replace
from html import unescape

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.people.rules.passkeys import RelyingParty
from tests.console.kit import Browser, PageAnswer
from tests.console.world_gateway import PLACE
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import Hand
from tests.gateway.people.test_passkeys import PRESENT, VERIFIED, Authenticator
from tests.gateway.people.test_people_acts import sign_in


def device(one: Hand, party: RelyingParty = PLACE.approval, flags: int = PRESENT | VERIFIED) -> Authenticator:
    """A software passkey device for a person."""
    return Authenticator(
        ec.derive_private_key(10_000 + one.uid, ec.SECP256R1()), flags, 0, f"key-of-{one.name}".encode(), party
    )


def challenges(answer: PageAnswer) -> list[bytes]:
    """The challenges of the forms on a page, in order."""
    found = re.findall(r'data-challenge="([^"]+)"', answer.body)
    return [urlsafe_b64decode(one + "==") for one in found]


def field_of(answer: PageAnswer, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(f'name="{name}" value="([^"]*)"', answer.body)
    assert found is not None, answer.body
    return unescape(found[1])


@dataclass
class Approver:
    """A person with a device at the approval page, or at the console's `door`."""

    browser: Browser
    operator: Operator
    one: Hand
    authenticator: Authenticator
    door: str = "/sign-in"
    code: str = field(default="", init=False)

    def answer(self, challenge: bytes) -> str:
        """The device's answer, with its counter increased."""
        self.authenticator = replace(self.authenticator, count=self.authenticator.count + 1)
        return self.authenticator.get(challenge)

    def make_passkey(self) -> PageAnswer:
        """Make a passkey at the page; its code is on the next page."""
        page = self.browser.get("/passkey")
        (challenge,) = challenges(page)
        made = self.browser.post(
            "/passkey",
            label=self.one.name,
            challenge=field_of(page, "challenge"),
            answer=self.authenticator.create(challenge),
        )
        found = re.search(r"--passkey ([A-Z2-7-]+)", made.body)
        self.code = "" if found is None else found[1]
        return made

    def bind(self, page: str = "approval") -> None:
        """Bind the passkey at the command line, with the person's own key."""
        sign_in(self.operator, self.one)
        self.operator.ask("POST", "factors", "passkey", peer=self.one.peer, code=self.code, page=page)

    def enter(self) -> PageAnswer:
        """Sign in."""
        page = self.browser.get(self.door)
        (challenge,) = challenges(page)
        return self.browser.post(self.door, challenge=field_of(page, "challenge"), answer=self.answer(challenge))

    def decide(self, key: str, decision: str = "approve", **changed: str) -> PageAnswer:
        """Open the page of a waiting request, and send the person's decision."""
        page = self.browser.get(f"/requests/{key}")
        approve, reject = challenges(page)
        given = {
            "digest": field_of(page, "digest"),
            "answer": self.answer(approve if decision == "approve" else reject),
        }
        if decision == "reject":
            given["reason"] = "not ours"
        return self.browser.post(f"/requests/{key}/{decision}", **{**given, **changed})
