"""The control API's verbs to sign in and out, and to set a password with one-time codes.

A key signs a challenge, or a password goes with a one-time code; ten failures in a row lock the person out for thirty
minutes. Password hashes are computed on a reading thread, never on the journal's writer.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gateway.control import sign_in_attempts
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.person_sessions import CHALLENGE_MS, PersonSessions
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.control.sign_in_attempts import Fits, secret
from gateway.journal.commit.store import Tx
from gateway.journal.people import entitlements, password_factors, persons
from gateway.journal.people.entitlements import EntitledPerson
from gateway.journal.people.password_factors import PasswordFactor
from gateway.journal.people.persons import No, Person
from gateway.people import one_time_codes, passwords, sign_in_text

_CHALLENGE_BYTES = 32
_SALT_BYTES = 16
_MOST_PASSKEYS = 10


def verbs(daemon_handle: DaemonHandle, sessions: PersonSessions) -> Sequence[Verb]:
    """What can be asked about sessions and factors."""
    acts = _Acts(daemon_handle, sessions)
    return (
        Verb("GET", "/sign-in", acts.show),
        Verb("POST", "/sign-in/challenge", acts.challenge),
        Verb("POST", "/sign-in", acts.sign_in),
        Verb("POST", "/sign-out", acts.sign_out),
        Verb("POST", "/factors/password", acts.set_password),
        Verb("POST", "/factors/password/confirm", acts.confirm_password),
        Verb("POST", "/factors/passkey", acts.bind_passkey),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle, sessions: PersonSessions) -> None:
        self._daemon_handle = daemon_handle
        self._sessions = sessions

    async def show(self, call: Call) -> Any:
        """Who the caller is, with which roles, and how long the session lasts without use."""
        found = await self._entitled(call)
        session = self._sessions.of(call.peer.uid, found.person.name)
        left_ms = None if session is None else session.ends_ms(self._sessions.limits) - self._sessions.now_ms()
        return {
            "person": found.person.name, "uid": call.peer.uid, "roles": found.grants.text(),
            "signed_in": session is not None, "factor": None if session is None else session.factor,
            "ends_in_s": None if left_ms is None else left_ms // 1000,
        }  # fmt: skip

    async def challenge(self, call: Call) -> Any:
        """A text for the caller's key to sign, good once and for two minutes."""
        found = await self._entitled(call)
        challenge = (await self._daemon_handle.store.write(lambda tx: tx.entropy.bytes(_CHALLENGE_BYTES))).hex()
        self._sessions.offer(call.peer.uid, challenge)
        return {"text": self._text(found.person.name, call.peer.uid, challenge), "valid_s": CHALLENGE_MS // 1000}

    def _text(self, person: str, uid: int, challenge: str) -> str:
        return sign_in_text.text(self._daemon_handle.identity["node"], person, uid, challenge)

    async def sign_in(self, call: Call) -> Any:
        """Open a session with a signed challenge (`signature`), or with `password` and `one_time_code`."""
        if "signature" in call.body:
            return await self._by_key(call, call.text("signature"))
        return await self._by_password(call, secret(call, "password"), secret(call, "one_time_code"))

    async def _by_key(self, call: Call, given: str) -> Any:
        challenge = self._sessions.take_challenge(call.peer.uid)
        if challenge is None:
            raise Denied(403, "no_challenge", "there is no open challenge: each is taken once, within two minutes; "
                         "run `bankgw login` again")  # fmt: skip
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
        now_ms = self._daemon_handle.clock.now_ms()
        checked = await self._daemon_handle.store.read(
            lambda conn: sign_in_attempts.password_checked(conn, person, password, now_ms)
        )
        return await self._attempt(call, "password", sign_in_attempts.code_fits(checked, code))

    async def _attempt(self, call: Call, factor: str, fits: Fits) -> Any:
        peer = call.peer

        def unit(tx: Tx) -> EntitledPerson | No:
            found = entitlements.of_uid(tx.fresh, peer.uid, tx.now_ms, peer.actor)
            if isinstance(found, No):
                return found
            return sign_in_attempts.try_in(tx, found, factor, fits, peer.actor)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=peer.actor)
        session = self._sessions.begin(said.person.name, peer.uid, factor)
        left_ms = session.ends_ms(self._sessions.limits) - self._sessions.now_ms()
        return {"person": said.person.name, "roles": said.grants.text(), "factor": factor, "ends_in_s": left_ms // 1000}

    async def sign_out(self, call: Call) -> Any:
        """End the caller's session."""
        self._sessions.end(call.peer.uid)
        return {"signed_in": False}

    # ---- password and codes ----

    async def set_password(self, call: Call) -> Any:
        """Set the caller's password and a new secret for codes; taken once `confirm` has shown a code of it."""
        person, password = self._by_own_key(call), secret(call, "password")
        why = passwords.why_weak(password, person)
        if why:
            raise Denied(400, "weak_password", f"{why}; nothing was changed")
        salt, octets = await self._daemon_handle.store.write(
            lambda tx: (tx.entropy.bytes(_SALT_BYTES), tx.entropy.bytes(one_time_codes.SECRET_BYTES))
        )
        hashed = await self._daemon_handle.store.read(lambda _conn: passwords.hashed(password, salt))
        made = PasswordFactor(person, hashed, one_time_codes.secret_of(octets))
        await self._daemon_handle.store.write(
            lambda tx: password_factors.write(tx, made, "person.password_set", call.peer.actor)
        )
        node = self._daemon_handle.identity["node"]
        return {"secret": made.secret, "address": one_time_codes.address(made.secret, person, node), "confirmed": False}

    async def confirm_password(self, call: Call) -> Any:
        """Show a code of the new secret; from then on password and codes open a session."""
        person, code = self._by_own_key(call), secret(call, "one_time_code")

        def unit(tx: Tx) -> PasswordFactor | No:
            found = password_factors.fetch(tx.fresh, person)
            step = None if found is None else one_time_codes.step_of(found.secret, code, tx.now_ms, found.used_step)
            if found is None or step is None:
                return No("wrong_code", "this is not the present code; look at the telephone's clock, and run "
                          "`bankgw login --set-password` again")  # fmt: skip
            made = replace(found, used_step=step, confirmed=True)
            password_factors.write(tx, made, "person.password_confirmed", call.peer.actor)
            return made

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"person": person, "confirmed": True}

    async def bind_passkey(self, call: Call) -> Any:
        """Bind the passkey whose `code` a page shows to the caller, for the page that the caller means."""
        name, code, page = self._by_own_key(call), call.text("code"), call.text("page")
        found = self._daemon_handle.pending_passkeys.claim(code, self._sessions.now_ms())
        if found is None:
            raise Denied(404, "no_such_passkey", "no page shows this code now: a code is taken once, within ten "
                         "minutes; make the passkey again")  # fmt: skip
        if found.page.value != page:
            raise Denied(409, "other_page", f"this passkey is for the {found.page.value} page, and you said {page}; "
                         f"nothing was changed. If a page told you otherwise, tell the auditor")  # fmt: skip

        def unit(tx: Tx) -> Person | No:
            person = persons.of_name(tx.fresh, name)
            if person is None or len(person.passkeys) >= _MOST_PASSKEYS:
                return No("not_now", f"a person has at most {_MOST_PASSKEYS} passkeys; nothing was changed")
            if persons.of_credential(tx.fresh, found.passkey.credential_id, found.page) is not None:
                return No("not_now", "this passkey is bound to a person already; nothing was changed")
            after = replace(person, passkeys=(*person.passkeys, found))
            detail = {"passkey": found.fingerprint, "page": page, "origin": found.party.origin,
                      "synced": found.passkey.synced}  # fmt: skip
            return persons.change(tx, after, "person.passkey_bound", call.peer.actor, detail)

        said = await self._daemon_handle.store.write(unit)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return {"person": name, "page": page, "origin": found.party.origin, "synced": found.passkey.synced}

    def _by_own_key(self, call: Call) -> str:
        session = None if call.person is None else self._sessions.of(call.peer.uid, call.person)
        if session is None or session.factor != "key":
            raise Denied(403, "sign_in", "a password is set and a passkey bound in a session that your key opened: "
                         "bankgw login")  # fmt: skip
        return session.person

    async def _entitled(self, call: Call) -> EntitledPerson:
        uid, actor, now_ms = call.peer.uid, call.peer.actor, self._daemon_handle.clock.now_ms()
        found = await self._daemon_handle.store.read(lambda conn: entitlements.of_uid(conn, uid, now_ms, actor))
        if isinstance(found, No):
            raise refused(found, actor=actor)
        return found
