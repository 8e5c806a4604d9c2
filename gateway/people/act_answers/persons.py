"""Handlers of the acts about persons: enrol oneself, be confirmed by root, be removed."""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from gateway.call import NOBODY, Call, Denied, answers
from gateway.kernel.commit.store import Store, Tx
from gateway.people.acts import ChangePerson, ConfirmPerson, EnrolPerson
from gateway.people.refusals import refused
from gateway.people.rows import persons
from gateway.people.rows.persons import KEY_BYTES, No, Person
from protocols.erp.news import instant

ROOT = 0
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,30}")


async def administered(store: Store) -> bool:
    """True if there are administrators. Then persons must sign the decisions that let money move."""
    return not persons.ceremony_open(await store.read(persons.everyone))


@dataclass(frozen=True, slots=True)
class PersonAnswers:
    """Answers the control API's acts about persons."""

    store: Store

    @answers("persons.list")
    async def everyone(self, call: Call) -> Any:
        there = await self.store.read(persons.everyone)
        return {"persons": [_shown(one) for one in there], "ceremony_open": persons.ceremony_open(there)}

    @answers("persons.enrol")
    async def enrol(self, call: Call, params: EnrolPerson) -> Any:
        """Enrol the caller under a name, with the caller's own user and the given key. Root confirms it later."""
        name, key = params.name, _key(params.public_key)
        if not _NAME.fullmatch(name):
            raise Denied(400, "bad_name", f"{name!r}: a name is lower-case letters, digits, `_`, `.`, `-`, at most 31")
        if call.peer.uid in (ROOT, call.owner, NOBODY):
            raise Denied(
                403,
                "not_a_person",
                f"{call.peer.actor} cannot be enrolled: root and the daemon's own user "
                f"are not persons. Enrol from the person's own user, without sudo",
            )
        uid, actor = call.peer.uid, call.peer.actor
        said = await self.store.write(lambda tx: persons.enrol(tx, name, uid, key, actor))
        return self._said(call, name, said)

    @answers("persons.confirm")
    async def confirm(self, call: Call, params: ConfirmPerson) -> Any:
        """Confirm as root that this key belongs to this person."""
        name, fingerprint = params.name, params.fingerprint.replace(":", "").replace(" ", "")
        if call.peer.uid != ROOT:
            raise Denied(
                403,
                "not_allowed",
                f"{call.peer.actor} cannot confirm person {name}; only root can: "
                f"sudo bankgw persons confirm {name} FINGERPRINT",
            )

        def confirm_person(tx: Tx) -> Person | No:
            if not persons.ceremony_open(persons.everyone(tx.fresh)):
                return No(
                    "ceremony_over",
                    f"there are administrators, and two of them let {name} in: bankgw persons "
                    f"admit {name} --roles …; root lets nobody in any more",
                )
            return persons.confirm(tx, name, fingerprint, call.peer.actor)

        said = await self.store.write(confirm_person)
        return self._said(call, name, said)

    @answers("persons.remove")
    async def remove(self, call: Call, params: ChangePerson) -> Any:
        """End the person's right to sign, at the request of root or of the person."""
        name, reason = params.name, params.reason
        own = await self.store.read(lambda conn: persons.of_uid(conn, call.peer.uid))
        if call.peer.uid != ROOT and (own is None or own.name != name):
            raise Denied(403, "not_allowed", f"{call.peer.actor} cannot remove person {name}; only root or {name} can")

        def remove_person(tx: Tx) -> Person | No:
            there = persons.everyone(tx.fresh)
            left = [one for one in there if one.name != name]
            if call.peer.uid != ROOT and not persons.ceremony_open(there) and persons.ceremony_open(left):
                return No(
                    "not_now",
                    f"without {name} there would be no security administrator, or no second "
                    f"administrator to approve; have another one appointed first",
                )
            return persons.remove(tx, name, reason, call.peer.actor)

        said = await self.store.write(remove_person)
        return self._said(call, name, said, removed=True)

    def _said(self, call: Call, name: str, said: Person | No, *, removed: bool = False) -> Any:
        if isinstance(said, No):
            raise refused(said, person=name, actor=call.peer.actor)
        return {**_shown(said), **({"state": "removed"} if removed else {})}


def _key(text: str) -> bytes:
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Denied(400, "bad_key", f"`public_key` is not an Ed25519 public key: {KEY_BYTES} bytes in base64")
    return key


def _shown(person: Person) -> dict[str, Any]:
    return {
        "person": person.name,
        "uid": person.uid,
        "fingerprint": person.fingerprint,
        "state": person.state,
        "roles": person.grants.text(),
        "since": instant(person.at_ms),
    }
