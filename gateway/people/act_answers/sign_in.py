"""Handlers of the acts to sign in and out, and to set a password with one-time codes.

A key signs a challenge, or a password is given together with a one-time code. Ten failures in a row lock the person out
for thirty minutes. Password hashes are computed on a reading thread, never on the journal's writer.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, replace
from typing import Any

from gateway.act_ports import NodePort
from gateway.call import Call, Denied, answers
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store, Tx
from gateway.people.act_answers import sign_in_attempts
from gateway.people.act_answers.pending_passkeys import PendingPasskeys
from gateway.people.act_answers.person_sessions import CHALLENGE_MS, PersonSessions
from gateway.people.act_answers.sign_in_attempts import Fits, secret
from gateway.people.refusals import refused
from gateway.people.rows import entitlements, password_factors, persons
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rows.persons import No, Person
from gateway.people.rules import one_time_codes, passwords, sign_in_text

_CHALLENGE_BYTES = 32
_SALT_BYTES = 16
_MOST_PASSKEYS = 10


@dataclass(frozen=True, slots=True)
class SignInAnswers:
    """Answers the control API's acts about signing in."""

    store: Store
    clock: Clock
    node: NodePort
    pending: PendingPasskeys
    sessions: PersonSessions

    @answers("sign_in.show")
    async def show(self, call: Call) -> Any:
        """The caller's name and roles, and how long the session lasts without use."""
        found = await self._entitled(call)
        session = self.sessions.of(call.peer.uid, found.person.name)
        left_ms = None if session is None else session.ends_ms(self.sessions.limits) - self.sessions.now_ms()
        return {
            "person": found.person.name,
            "uid": call.peer.uid,
            "roles": found.grants.text(),
            "signed_in": session is not None,
            "factor": None if session is None else session.factor,
            "ends_in_s": None if left_ms is None else left_ms // 1000,
        }

    @answers("sign_in.challenge")
    async def challenge(self, call: Call) -> Any:
        """A new text that the caller's key must sign. It is valid once and for two minutes."""
        found = await self._entitled(call)
        challenge = (await self.store.write(lambda tx: tx.entropy.bytes(_CHALLENGE_BYTES))).hex()
        self.sessions.offer(call.peer.uid, challenge)
        return {"text": self._text(found.person.name, call.peer.uid, challenge), "valid_s": CHALLENGE_MS // 1000}

    def _text(self, person: str, uid: int, challenge: str) -> str:
        return sign_in_text.text(self.node.identity["node"], person, uid, challenge)

    @answers("sign_in.sign_in")
    async def sign_in(self, call: Call) -> Any:
        """Open a session with a signed challenge (`signature`), or with `password` and `one_time_code`."""
        if "signature" in call.body:
            return await self._by_key(call, call.text("signature"))
        return await self._by_password(call, secret(call, "password"), secret(call, "one_time_code"))

    async def _by_key(self, call: Call, given: str) -> Any:
        challenge = self.sessions.take_challenge(call.peer.uid)
        if challenge is None:
            raise Denied(
                403,
                "no_challenge",
                "there is no open challenge: each can be used once, within two minutes; run `bankgw login` again",
            )
        try:
            signature = b64decode(given, validate=True)
        except ValueError:
            raise Denied(400, "not_base64", "`signature` must be base64") from None

        def fits(tx: Tx, found: EntitledPerson) -> bool:
            words = self._text(found.person.name, call.peer.uid, challenge)
            return found.person.signed(signature, sign_in_text.to_sign(words))

        return await self._attempt(call, "key", fits)

    async def _by_password(self, call: Call, password: str, code: str) -> Any:
        person = (await self._entitled(call)).person.name
        now_ms = self.clock.now_ms()
        checked = await self.store.read(lambda conn: sign_in_attempts.password_checked(conn, person, password, now_ms))
        return await self._attempt(call, "password", sign_in_attempts.code_fits(checked, code))

    async def _attempt(self, call: Call, factor: str, fits: Fits) -> Any:
        peer = call.peer

        def attempt_factor(tx: Tx) -> EntitledPerson | No:
            found = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
            if isinstance(found, No):
                return found
            return sign_in_attempts.try_in(tx, found, factor, fits, peer.actor)

        said = await self.store.write(attempt_factor)
        if isinstance(said, No):
            raise refused(said, actor=peer.actor)
        session = self.sessions.begin(said.person.name, peer.uid, factor)
        left_ms = session.ends_ms(self.sessions.limits) - self.sessions.now_ms()
        return {"person": said.person.name, "roles": said.grants.text(), "factor": factor, "ends_in_s": left_ms // 1000}

    @answers("sign_in.sign_out")
    async def sign_out(self, call: Call) -> Any:
        """End the caller's session."""
        self.sessions.end(call.peer.uid)
        return {"signed_in": False}

    # ---- password and codes ----

    @answers("factors.password")
    async def set_password(self, call: Call) -> Any:
        """Set the caller's password and a new secret for codes. They count after `confirm` has received a code of the
        secret."""
        person, password = self._by_own_key(call), secret(call, "password")
        why = passwords.why_weak(password, person)
        if why:
            raise Denied(400, "weak_password", f"{why}; nothing was changed")
        salt, octets = await self.store.write(
            lambda tx: (tx.entropy.bytes(_SALT_BYTES), tx.entropy.bytes(one_time_codes.SECRET_BYTES))
        )
        hashed = await self.store.read(lambda _conn: passwords.hashed(password, salt))
        made = PasswordFactor(person, hashed, one_time_codes.secret_of(octets))
        await self.store.write(
            lambda tx: password_factors.store_factor(tx, made, "person.password_set", call.peer.actor)
        )
        node = self.node.identity["node"]
        return {"secret": made.secret, "address": one_time_codes.address(made.secret, person, node), "confirmed": False}

    @answers("factors.password_confirm")
    async def confirm_password(self, call: Call) -> Any:
        """Check a code of the new secret. From then on, the password and a code open a session."""
        person, code = self._by_own_key(call), secret(call, "one_time_code")

        def confirm_code(tx: Tx) -> PasswordFactor | No:
            found = password_factors.fetch(tx.fresh, person)
            step = None if found is None else one_time_codes.step_of(found.secret, code, tx.now_ms, found.used_step)
            if found is None or step is None:
                return No(
                    "wrong_code",
                    "this is not the present code; look at the telephone's clock, and run "
                    "`bankgw login --set-password` again",
                )
            made = replace(found, used_step=step, confirmed=True)
            password_factors.store_factor(tx, made, "person.password_confirmed", call.peer.actor)
            return made

        said = await self.store.write(confirm_code)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"person": person, "confirmed": True}

    @answers("factors.passkey")
    async def bind_passkey(self, call: Call) -> Any:
        """Bind to the caller the passkey whose `code` a page shows, for the page that the caller names."""
        name, code, page = self._by_own_key(call), call.text("code"), call.text("page")
        found = self.pending.claim(code, self.sessions.now_ms())
        if found is None:
            raise Denied(
                404,
                "no_such_passkey",
                "no page shows this code now: a code can be used once, within ten minutes; make the passkey again",
            )
        if found.page.value != page:
            raise Denied(
                409,
                "other_page",
                f"this passkey is for the {found.page.value} page, and you said {page}; "
                f"nothing was changed. If a page showed you another text, tell the auditor",
            )

        def bind_to_person(tx: Tx) -> Person | No:
            person = persons.of_name(tx.fresh, name)
            if person is None or len(person.passkeys) >= _MOST_PASSKEYS:
                return No("not_now", f"a person has at most {_MOST_PASSKEYS} passkeys; nothing was changed")
            if persons.of_credential(tx.fresh, found.passkey.credential_id, found.page) is not None:
                return No("not_now", "this passkey is bound to a person already; nothing was changed")
            after = replace(person, passkeys=(*person.passkeys, found))
            detail = {
                "passkey": found.fingerprint,
                "page": page,
                "origin": found.party.origin,
                "synced": found.passkey.synced,
            }
            return persons.change(tx, after, "person.passkey_bound", call.peer.actor, detail)

        said = await self.store.write(bind_to_person)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"person": name, "page": page, "origin": found.party.origin, "synced": found.passkey.synced}

    def _by_own_key(self, call: Call) -> str:
        session = None if call.person is None else self.sessions.of(call.peer.uid, call.person)
        if session is None or session.factor != "key":
            raise Denied(
                403,
                "sign_in",
                "setting a password or binding a passkey needs a session that your key opened; run bankgw login",
            )
        return session.person

    async def _entitled(self, call: Call) -> EntitledPerson:
        uid, actor, now_ms = call.peer.uid, call.peer.actor, self.clock.now_ms()
        found = await self.store.read(lambda conn: entitlements.of_uid(conn, uid, now_ms, actor))
        if isinstance(found, No):
            raise refused(found, actor=actor)
        return found
