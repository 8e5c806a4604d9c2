"""Passkeys at the daemon's socket for web pages: made by a browser, used to sign in, and used to decide about payments.

The daemon checks origin, relying party and challenge. Only the page for which a passkey was made can use it, and an
assertion for one decision about one request is not valid for any other.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import Connection

from gateway.act_ports import Accounts
from gateway.approvals.rows import approval_decisions
from gateway.approvals.rows.approval_decisions import DecidedRequest, GivenDecision
from gateway.approvals.rows.approvals import ApprovalDecision
from gateway.call import Call, Denied, answers
from gateway.control.web_access import actor_of
from gateway.kernel.clock import Clock
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store, Tx
from gateway.people.act_answers.pending_passkeys import CHALLENGE_MS, PendingPasskeys, grouped
from gateway.people.act_answers.sign_in_attempts import Fits
from gateway.people.refusals import refused
from gateway.people.rows import entitlements, persons
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.persons import No
from gateway.people.rules import passkeys
from gateway.people.rules.passkeys import PasskeyRefused, RegisteredPasskey, RelyingParty
from gateway.people.rules.web_tokens import WebPage

_CHALLENGE_BYTES = 32
_MOST_ANSWER = 16_384
_PURPOSES = ("create", "sign_in", "step_up")
BY_WAY_OF = "approval_page"


class SessionOpener(Protocol):
    """Opens a session for a valid factor."""

    def __call__(self, person: str, page: WebPage, factor: str, fits: Fits) -> Awaitable[Any]:
        """Open a session of `page` if `fits` accepts the person's factor. Raises Denied."""


class SessionProver(Protocol):
    """Marks the session of a call as proven, for a valid factor."""

    def __call__(self, call: Call, factor: str, fits: Fits) -> Awaitable[Any]:
        """Mark the call's session as proven if `fits` accepts the person's factor. Raises Denied."""


@dataclass(frozen=True, slots=True)
class PasskeyPorts:
    """The ports of the passkey handlers: the pages' relying parties, signing in, proving a session again, and a rate
    limit.
    """

    party: Callable[[WebPage], RelyingParty]
    sign_in: SessionOpener
    prove: SessionProver
    slow_down: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PasskeyAnswers:
    """Answers the acts of web pages about passkeys."""

    store: Store
    clock: Clock
    accounts: Accounts
    pending: PendingPasskeys
    door: PasskeyPorts

    def _now_ms(self) -> int:
        return int(self.clock.monotonic_s() * 1000)

    @answers("web.challenge")
    async def challenge(self, call: Call) -> Any:
        """A challenge for `purpose` (`create`, `sign_in`, `step_up`) at `page`, valid once and for two minutes."""
        page, purpose = _page(call), call.text("purpose")
        if purpose not in _PURPOSES:
            raise Denied(400, "bad_purpose", f"`purpose` is {' or '.join(_PURPOSES)}")
        self.door.slow_down()
        octets = await self.store.write(lambda tx: tx.entropy.bytes(_CHALLENGE_BYTES))
        self.pending.offer(octets, f"{purpose} {page.value}", self._now_ms())
        return {"challenge": _text(octets), "rp_id": self.door.party(page).id, "valid_s": CHALLENGE_MS // 1000}

    def _taken(self, call: Call, page: WebPage, purpose: str) -> bytes:
        try:
            octets = urlsafe_b64decode(call.text("challenge") + "==")
        except ValueError:
            octets = b""
        if not self.pending.use_once(octets, f"{purpose} {page.value}", self._now_ms()):
            raise Denied(403, "no_challenge", "this challenge is not open: each can be used once, within two minutes")
        return octets

    @answers("web.passkeys")
    async def register(self, call: Call) -> Any:
        """Store a new passkey in memory; its person binds it with the code: `bankgw login --passkey CODE`."""
        page = _page(call)
        challenge, party = self._taken(call, page, "create"), self.door.party(page)
        try:
            made = passkeys.registered(_answer(call), challenge, party)
        except PasskeyRefused as error:
            raise Denied(403, "passkey_refused", str(error)) from None
        kept = RegisteredPasskey(made, page, party, self.clock.now_ms())
        return {"code": grouped(self.pending.keep(kept, self._now_ms())), "synced": made.synced}

    @answers("web.sign_in_passkey")
    async def sign_in(self, call: Call) -> Any:
        """Open a session of `page` with a passkey made for it."""
        page = _page(call)
        challenge, answer = self._taken(call, page, "sign_in"), _answer(call)
        credential = passkeys.credential_of(answer)
        person = await self.store.read(lambda conn: _owner(conn, credential, page))
        return await self.door.sign_in(person, page, "passkey", _answered(page, challenge, answer))

    @answers("web.step_up_passkey")
    async def step_up(self, call: Call) -> Any:
        """The call's session, proven again with a passkey that its own person made for this page."""
        page = _page(call)
        challenge = self._taken(call, page, "step_up")
        return await self.door.prove(call, "passkey", _answered(page, challenge, _answer(call)))

    # ---- decisions ----

    @answers("web.approve")
    async def approve(self, call: Call) -> Any:
        """Record an approval that a passkey for the approval page signed."""
        return await self._decide(call, ApprovalDecision.APPROVE, "")

    @answers("web.reject")
    async def reject(self, call: Call) -> Any:
        """Record a rejection that a passkey for the approval page signed."""
        return await self._decide(call, ApprovalDecision.REJECT, call.text("reason"))

    async def _decide(self, call: Call, decision: ApprovalDecision, reason: str) -> Any:
        answer, digest, key = _answer(call), call.text("digest"), call.parts[0]
        registry, credential = self.accounts(), passkeys.credential_of(answer)

        def decide_by_passkey(tx: Tx) -> DecidedRequest | No:
            person = persons.of_credential(tx.fresh, credential, WebPage.APPROVAL)
            if person is None:
                audit.append(tx, actor_of("?"), "approval.refused", f"approval:{key[:26]}", {"code": "no_such_passkey"})
                return No("wrong_signature", "no person has this passkey for the approval page; nothing was changed")
            actor = actor_of(person.name)
            entitled = entitlements.of_name(tx.fresh, person.name, tx.now_ms)
            given = GivenDecision(key, decision, digest, answer.encode(), reason, BY_WAY_OF, actor)
            return approval_decisions.decide(tx, given, entitled, registry)

        said = await self.store.write(decide_by_passkey)
        if isinstance(said, No):
            raise refused(said, actor="web", request=key)
        states = sorted({row.life.state.value for row in said.changed})
        return {
            "request": key,
            "state": said.request.state.value,
            "missing": said.missing or None,
            "changed": len(said.changed),
            "states": states,
        }


def _answered(page: WebPage, challenge: bytes, answer: str) -> Fits:
    """Whether a passkey of the person, made for this page, answered the challenge."""
    credential = passkeys.credential_of(answer)

    def fits(tx: Tx, found: EntitledPerson) -> bool:
        for one in found.person.passkeys:
            if one.page is page and one.passkey.credential_id == credential:
                try:
                    after = passkeys.asserted(answer, challenge, one.party, one.passkey)
                except PasskeyRefused:
                    return False
                persons.passkey_used(tx, found.person, replace(one, passkey=after))
                return True
        return False

    return fits


def _owner(conn: Connection, credential: bytes, page: WebPage) -> str:
    person = persons.of_credential(conn, credential, page)
    return "" if person is None else person.name


def _page(call: Call) -> WebPage:
    try:
        return WebPage(call.text("page"))
    except ValueError:
        raise Denied(400, "bad_page", f"`page` is {' or '.join(WebPage)}") from None


def _answer(call: Call) -> str:
    value = call.body.get("answer")
    if not isinstance(value, str) or not 0 < len(value) <= _MOST_ANSWER:
        raise Denied(400, "missing", "give `answer`: what the browser's passkey said, as JSON")
    return value


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()
