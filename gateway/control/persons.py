"""The control API's verbs about persons: enrol oneself, be confirmed by root, be removed."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from gateway import log
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.peer_credentials import NOBODY
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit.store import Tx
from gateway.journal.people import persons
from gateway.journal.people.persons import KEY_BYTES, No, Person
from protocols.erp.news import instant

ROOT = 0
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,30}")
_STATUS = {"no_such_order": 404, "no_such_person": 404, "no_such_proposal": 404, "no_such_lane": 404, "missing": 400,
           "not_enrolled": 403, "wrong_signature": 403, "wrong_fingerprint": 403, "not_allowed": 403, "cool_down": 403,
           "out_of_scope": 403, "one_seat": 403, "locked": 403, "sign_in_failed": 403, "wrong_code": 403,
           "no_such_delegation": 404, "no_such_request": 404, "no_such_account": 404}  # fmt: skip
_log = log.get("control.persons")


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about persons."""
    acts = _Acts(daemon_handle)
    one = "([^/]+)"
    return (
        Verb("GET", "/persons", acts.everyone, group=True),
        Verb("POST", "/persons", acts.enrol, group=True),
        Verb("POST", f"/persons/{one}/confirm", acts.confirm, group=True),
        Verb("POST", f"/persons/{one}/remove", acts.remove, group=True),
    )


def refused(no: No, **about: Any) -> Denied:
    """The journal's no as an answer, and a line in the log."""
    _log.warning("control.refused", code=no.code, **about)
    return Denied(_STATUS.get(no.code, 409), no.code, no.why)


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def everyone(self, call: Call) -> Any:
        there = await self._daemon_handle.store.read(persons.everyone)
        return {"persons": [_shown(one) for one in there], "ceremony_open": persons.ceremony_open(there)}

    async def enrol(self, call: Call) -> Any:
        """Write the caller down under a name, with the caller's own user and the key given. Root confirms it."""
        name, key = call.text("name"), _key(call.text("public_key"))
        if not _NAME.fullmatch(name):
            raise Denied(400, "bad_name", f"{name!r}: a name is lower-case letters, digits, `_`, `.`, `-`, at most 31")
        if call.peer.uid in (ROOT, call.owner, NOBODY):
            raise Denied(403, "not_a_person", f"{call.peer.actor} cannot be enrolled: root and the daemon's own user "
                         f"are not persons. Enrol from the person's own user, without sudo")  # fmt: skip
        uid, actor = call.peer.uid, call.peer.actor
        said = await self._daemon_handle.store.write(lambda tx: persons.enrol(tx, name, uid, key, actor))
        return self._said(call, name, said)

    async def confirm(self, call: Call) -> Any:
        """Root says that this key belongs to this person."""
        name, fingerprint = call.parts[0], call.text("fingerprint").replace(":", "").replace(" ", "")
        if call.peer.uid != ROOT:
            raise Denied(403, "not_allowed", f"{call.peer.actor} cannot confirm person {name}; only root can: "
                         f"sudo bankgw persons confirm {name} FINGERPRINT")  # fmt: skip
        def unit(tx: Tx) -> Person | No:
            if not persons.ceremony_open(persons.everyone(tx.fresh)):
                return No("ceremony_over", f"there are administrators, and two of them let {name} in: bankgw persons "
                          f"admit {name} --roles …; root lets nobody in any more")  # fmt: skip
            return persons.confirm(tx, name, fingerprint, call.peer.actor)

        said = await self._daemon_handle.store.write(unit)
        return self._said(call, name, said)

    async def remove(self, call: Call) -> Any:
        """Root, or the person, lets the person sign no more."""
        name, reason = call.parts[0], call.text("reason")
        own = await self._daemon_handle.store.read(lambda conn: persons.of_uid(conn, call.peer.uid))
        if call.peer.uid != ROOT and (own is None or own.name != name):
            raise Denied(403, "not_allowed", f"{call.peer.actor} cannot remove person {name}; only root or {name} can")

        def unit(tx: Tx) -> Person | No:
            there = persons.everyone(tx.fresh)
            left = [one for one in there if one.name != name]
            if call.peer.uid != ROOT and not persons.ceremony_open(there) and persons.ceremony_open(left):
                return No("not_now", f"without {name} there would be no security administrator, or no second "
                          f"administrator to approve; have another one appointed first")  # fmt: skip
            return persons.remove(tx, name, reason, call.peer.actor)

        said = await self._daemon_handle.store.write(unit)
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
        "person": person.name, "uid": person.uid, "fingerprint": person.fingerprint,
        "state": person.state, "roles": person.grants.text(), "since": instant(person.at_ms),
    }  # fmt: skip
