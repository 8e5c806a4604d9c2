"""Persons who may sign decisions that need two people: a name, a UNIX user and an Ed25519 key.

A person enrols from their own UNIX user; root then confirms the key's fingerprint, which the person reads out. Rows are
sealed, so that nobody can add a signer by writing to the database alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
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

KEY_BYTES = 32
_C = schema.persons.c


@dataclass(frozen=True, slots=True)
class No:
    """A refusal that changed nothing: a slug, and a sentence that says what was refused and what to do."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Person:
    """`key` is the raw public key; `enrolled` is False until root confirms."""

    name: str
    uid: int
    key: bytes
    enrolled: bool
    at_ms: int

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
    for other in everyone(tx.fresh):
        if other == replace(wanted, enrolled=other.enrolled, at_ms=other.at_ms):
            return other
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
    confirmed = replace(person, enrolled=True)
    tx.fresh.execute(update(schema.persons).where(_C.person == name).values(body=_columns(tx, confirmed)["body"]))
    audit.append(tx, actor, "person.confirmed", f"person:{name}", {"uid": person.uid, "key": person.fingerprint})
    return confirmed


def remove(tx: Tx, name: str, reason: str, actor: str) -> Person | No:
    """Remove a person. Their open proposals can no longer be approved."""
    person = of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    tx.fresh.execute(schema.persons.delete().where(_C.person == name))
    detail = {"uid": person.uid, "key": person.fingerprint, "reason": reason}
    audit.append(tx, actor, "person.removed", f"person:{name}", detail)
    return person


def _aad(name: str) -> bytes:
    return f"persons/body/{name}".encode()


def _columns(tx: Tx, person: Person) -> dict[str, Any]:
    body = json.dumps({"uid": person.uid, "key": b64encode(person.key).decode(), "enrolled": person.enrolled}).encode()
    return {
        "person": person.name, "uid": person.uid, "fingerprint": person.fingerprint, "at_ms": person.at_ms,
        "body": tx.vault.seal(body, _aad(person.name)),
    }  # fmt: skip


def _read(conn: Connection, row: Any) -> Person:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.person)))
    person = Person(row.person, said["uid"], b64decode(said["key"]), said["enrolled"], row.at_ms)
    # The sealed person is authentic; the clear columns beside it must agree with it.
    assert (person.uid, person.fingerprint) == (row.uid, row.fingerprint), f"person {row.person}: columns were altered"
    return person
