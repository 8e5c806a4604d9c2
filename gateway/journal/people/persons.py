"""Persons: a name, a UNIX user, an Ed25519 key, and the roles that two administrators gave.

A person enrols from their own UNIX user. Two administrators let the person in; before there are any, root does, by the
key's fingerprint, which the person reads out. Rows are sealed, so that nobody can add a signer, or a role, by writing
to the database alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select, update

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of
from gateway.people import grants as grants_text
from gateway.people.grants import SUPERVISOR_EVERYWHERE, Grants
from gateway.people.passkeys import Passkey, RegisteredPasskey, RelyingParty
from gateway.people.roles import PersonRole
from gateway.people.web_tokens import WebPage

KEY_BYTES = 32
COOL_DOWN_MS = 24 * 3_600_000
"""For so long after a reset the new key is not taken: its owner hears of it, and can object."""
_C = schema.persons.c


@dataclass(frozen=True, slots=True)
class No:
    """A refusal that changed nothing: a slug, and a sentence that says what was refused and what to do."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Person:
    """`key` is the raw public key; `enrolled` is False until somebody let the person in, and after deactivation.

    `next_key` waits for a reset by two administrators; the key of a reset is taken from `usable_from_ms` on.
    `passkeys` are those that the person bound with the key; a reset and a deactivation forget them.
    """

    name: str
    uid: int
    key: bytes
    enrolled: bool
    at_ms: int
    grants: Grants = SUPERVISOR_EVERYWHERE
    deactivated: bool = False
    next_key: bytes = b""
    usable_from_ms: int = 0
    passkeys: tuple[RegisteredPasskey, ...] = ()

    @property
    def state(self) -> str:
        """`waiting`, `enrolled` or `deactivated`."""
        return "deactivated" if self.deactivated else "enrolled" if self.enrolled else "waiting"

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key, hex."""
        return fingerprint(self.key)

    def signed(self, signature: bytes, octets: bytes) -> bool:
        """True if this person's key made the signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, octets)
        except InvalidSignature:
            return False
        return True


def fingerprint(key: bytes) -> str:
    """SHA-256 of a raw public key, hex."""
    return hashlib.sha256(key).hexdigest()


def everyone(conn: Connection) -> list[Person]:
    """All persons by name, including those not confirmed yet. VaultError if a row was altered."""
    return [_read(conn, row) for row in conn.execute(select(schema.persons).order_by(_C.person))]


def of_uid(conn: Connection, uid: int) -> Person | None:
    """The person of a UNIX user, enrolled or waiting."""
    row = conn.execute(select(schema.persons).where(_C.uid == uid)).first()
    return None if row is None else _read(conn, row)


def of_name(conn: Connection, name: str) -> Person | None:
    """The person of that name, enrolled or waiting."""
    row = conn.execute(select(schema.persons).where(_C.person == name)).first()
    return None if row is None else _read(conn, row)


def enrol(tx: Tx, name: str, uid: int, key: bytes, actor: str) -> Person | No:
    """Record a person, to be confirmed by root. A name, a UNIX user and a key belong to one person only."""
    assert len(key) == KEY_BYTES, "the control API has checked the key"
    wanted = Person(name, uid, key, enrolled=False, at_ms=tx.now_ms)
    there = everyone(tx.fresh)
    administered = not ceremony_open(there)
    if administered:
        wanted = replace(wanted, grants=Grants())
    for other in there:
        if (other.name, other.uid, other.key) == (name, uid, key):
            return other
        if administered and other.enrolled and (other.name, other.uid) == (name, uid) and _is_free(key, there):
            return change(tx, replace(other, next_key=key), "person.key_offered", actor,
                          {"key": other.fingerprint, "next_key": fingerprint(key)})  # fmt: skip
        taken = "name" if other.name == name else "user" if other.uid == uid else "key" if other.key == key else None
        if taken is not None:
            return No("enrolled_already", f"this {taken} belongs to person {other.name} (uid {other.uid}) already; "
                      f"have root remove that person first: bankgw persons remove {other.name}")  # fmt: skip
    insert_new(tx.fresh, schema.persons, _columns(tx, wanted))
    audit.append(tx, actor, "person.enrolled", f"person:{name}", {"uid": uid, "key": wanted.fingerprint})
    return wanted


def confirm(tx: Tx, name: str, said: str, actor: str) -> Person | No:
    """Confirm a person. `said` is the fingerprint as the person read it out: at least its first 16 digits."""
    person = of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    if len(said) < 16 or not person.fingerprint.startswith(said.lower()):
        return No("wrong_fingerprint", f"the key of {name} does not begin with {said!r}; have {name} read out what "
                  f"`bankgw persons enrol` printed, at least 16 digits. If it differs, remove the person")  # fmt: skip
    if person.enrolled:
        return person
    if person.deactivated:
        return No("deactivated", f"{name} was deactivated by two administrators, and stays so")
    return change(tx, replace(person, enrolled=True), "person.confirmed", actor,
                  {"uid": person.uid, "key": person.fingerprint})  # fmt: skip


def ceremony_open(there: Iterable[Person]) -> bool:
    """True while root may let persons in and appoint: until there is a security administrator and a second
    administrator to approve, and again if that is so no more."""
    roles = [one.grants.roles for one in there if one.enrolled]
    security = sum(PersonRole.SECURITY_ADMIN in one for one in roles)
    both = sum(bool(one & {PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN}) for one in roles)
    return security < 1 or both < 2  # noqa: PLR2004


def change(tx: Tx, person: Person, entry: str, actor: str, detail: dict[str, Any]) -> Person:
    """Write a person's row anew, with an entry in the audit trail."""
    columns = _columns(tx, person)
    values = {name: columns[name] for name in ("fingerprint", "body")}
    tx.fresh.execute(update(schema.persons).where(_C.person == person.name).values(values))
    audit.append(tx, actor, entry, f"person:{person.name}", detail)
    return person


def passkey_used(tx: Tx, person: Person, used: RegisteredPasskey) -> None:
    """Keep the counter of a passkey that answered: one that does not grow later is a copy."""
    kept = tuple(used if one.fingerprint == used.fingerprint else one for one in person.passkeys)
    columns = _columns(tx, replace(person, passkeys=kept))
    tx.fresh.execute(update(schema.persons).where(_C.person == person.name).values(body=columns["body"]))


def of_credential(conn: Connection, credential: bytes, page: WebPage) -> Person | None:
    """The person whose passkey for this page has this credential id."""
    for person in everyone(conn):
        if any(one.page is page and one.passkey.credential_id == credential for one in person.passkeys):
            return person
    return None


def _is_free(key: bytes, there: Iterable[Person]) -> bool:
    return all(key not in (one.key, one.next_key) for one in there)


def remove(tx: Tx, name: str, reason: str, actor: str) -> Person | No:
    """Remove a person. Their open proposals can no longer be approved."""
    person = of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    tx.fresh.execute(schema.persons.delete().where(_C.person == name))
    tx.fresh.execute(schema.password_factors.delete().where(schema.password_factors.c.person == name))
    detail = {"uid": person.uid, "key": person.fingerprint, "reason": reason}
    audit.append(tx, actor, "person.removed", f"person:{name}", detail)
    return person


def _aad(name: str) -> bytes:
    return f"persons/body/{name}".encode()


def _columns(tx: Tx, person: Person) -> dict[str, Any]:
    body = json.dumps({
        "uid": person.uid, "key": b64encode(person.key).decode(), "enrolled": person.enrolled,
        "grants": person.grants.text(), "deactivated": person.deactivated,
        "next_key": b64encode(person.next_key).decode(), "usable_from_ms": person.usable_from_ms,
        "passkeys": [_written(one) for one in person.passkeys],
    }).encode()  # fmt: skip
    return {
        "person": person.name, "uid": person.uid, "fingerprint": person.fingerprint, "at_ms": person.at_ms,
        "body": tx.vault.seal(body, _aad(person.name)),
    }  # fmt: skip


def _written(one: RegisteredPasskey) -> dict[str, Any]:
    key = one.passkey
    return {
        "id": b64encode(key.credential_id).decode(), "public_key": b64encode(key.public_key).decode(),
        "sign_count": key.sign_count, "synced": key.synced, "page": one.page.value, "party": one.party.id,
        "origin": one.party.origin, "at_ms": one.at_ms,
    }  # fmt: skip


def _passkey(said: dict[str, Any]) -> RegisteredPasskey:
    key = Passkey(b64decode(said["id"]), b64decode(said["public_key"]), said["sign_count"], said["synced"])
    party = RelyingParty(said["party"], said["origin"])
    return RegisteredPasskey(key, WebPage(said["page"]), party, said["at_ms"])


def _read(conn: Connection, row: Any) -> Person:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.person)))
    # A person enrolled by a version before roles has none written; what was allowed then is allowed now.
    grants = grants_text.parse(said["grants"]) if "grants" in said else SUPERVISOR_EVERYWHERE
    person = Person(
        row.person, said["uid"], b64decode(said["key"]), said["enrolled"], row.at_ms, grants,
        said.get("deactivated", False), b64decode(said.get("next_key", "")),
        said.get("usable_from_ms", 0), tuple(_passkey(one) for one in said.get("passkeys", ())),
    )  # fmt: skip
    # The sealed person is authentic; the clear columns beside it must agree with it.
    assert (person.uid, person.fingerprint) == (row.uid, row.fingerprint), f"person {row.person}: columns were altered"
    return person
