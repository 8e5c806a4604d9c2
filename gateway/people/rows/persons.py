"""Persons: a name, a UNIX user, an Ed25519 key, and the roles that two administrators gave.

A person enrols from the person's own UNIX user. Two administrators admit the person; before there are any, root does,
by the key's fingerprint, which the person reads out. Rows are sealed, so that nobody can add a signer, or a role, by
writing to the database alone.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.payment_cache import Outdated
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rules import grants as grants_text
from gateway.people.rules.grants import SUPERVISOR_EVERYWHERE, Grants
from gateway.people.rules.passkeys import Passkey, RegisteredPasskey, RelyingParty
from gateway.people.rules.roles import PersonRole
from gateway.people.rules.web_tokens import WebPage

KEY_BYTES = 32
COOL_DOWN_MS = 24 * 3_600_000
"""How long after a reset the new key is refused, so that its owner hears of the reset and can object."""
_C = schema.persons.c
_SEAL = row_seal(schema.persons)
_NOW = "this person cannot act; have two administrators remove the person, who enrols again"


@dataclass(frozen=True, slots=True)
class No:
    """A refusal that changed nothing: a slug, and a sentence that says what was refused and what to do."""

    code: str
    why: str


@dataclass(frozen=True, slots=True)
class Person:
    """A person who may act at the gateway. `key` is the raw public key; `enrolled` is False until somebody let the
    person in, and after deactivation.

    `next_key` waits for a reset by two administrators; the key of a reset is accepted from `usable_from_ms` on.
    `passkeys` are those that the person bound with the key; a reset and a deactivation forget them. `altered`: the row
    in the journal is not the last one that the gateway wrote. Such a person can do nothing, and has no role. `seal` is
    that of the row that was read: a change replaces this row only.
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
    altered: bool = False
    seal: str | None = field(default=None, compare=False, repr=False)

    @property
    def state(self) -> str:
        """The person's state: `waiting`, `enrolled`, `deactivated` or `altered`."""
        if self.altered:
            return "altered"
        return "deactivated" if self.deactivated else "enrolled" if self.enrolled else "waiting"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the person's public key, hex."""
        return fingerprint(self.key)

    def signed(self, signature: bytes, octets: bytes) -> bool:
        """True if this person's key made the signature."""
        if self.altered:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.key).verify(signature, octets)
        except InvalidSignature:
            return False
        return True


def fingerprint(key: bytes) -> str:
    """The SHA-256 of a raw public key, hex."""
    return hashlib.sha256(key).hexdigest()


def everyone(conn: Connection) -> list[Person]:
    """All persons by name, including those not confirmed yet, and those whose row was altered or deleted by SQL."""
    found = {row.person: _read(conn, row) for row in conn.execute(select(schema.persons))}
    for name in [*registers.lacking(conn, _SEAL.table, found)]:
        found[name] = _altered(conn, name, -1, SealBroken(_SEAL.table, name, "was deleted"))
    return [found[name] for name in sorted(found)]


def of_uid(conn: Connection, uid: int) -> Person | None:
    """The person of a UNIX user, enrolled or waiting."""
    row = conn.execute(select(schema.persons).where(_C.uid == uid)).first()
    return None if row is None else _read(conn, row)


def of_name(conn: Connection, name: str) -> Person | None:
    """The person of that name, enrolled or waiting. A person whose row was deleted by SQL is returned as altered."""
    row = conn.execute(select(schema.persons).where(_C.person == name)).first()
    if row is not None:
        return _read(conn, row)
    there = not registers.newest(conn, registers.names(_SEAL.table, (name,))).deleted
    return _altered(conn, name, -1, SealBroken(_SEAL.table, name, "was deleted")) if there else None


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
        if other.altered and other.name == name:
            return No(
                "altered",
                f"the row of {name} in the journal was altered; have two administrators remove the "
                f"person first: bankgw persons remove {name}",
            )
        if administered and other.enrolled and (other.name, other.uid) == (name, uid) and _is_free(key, there):
            return change(
                tx,
                replace(other, next_key=key),
                "person.key_offered",
                actor,
                {"key": other.fingerprint, "next_key": fingerprint(key)},
            )
        taken = "name" if other.name == name else "user" if other.uid == uid else "key" if other.key == key else None
        if taken is not None:
            return No(
                "enrolled_already",
                f"this {taken} belongs to person {other.name} (uid {other.uid}) already; "
                f"have root remove that person first: bankgw persons remove {other.name}",
            )
    columns = _columns(tx, wanted)
    if insert_new(tx.fresh, schema.persons, columns):
        _noted(tx, columns)
    audit.append(tx, actor, "person.enrolled", f"person:{name}", {"uid": uid, "key": wanted.fingerprint})
    return replace(wanted, seal=columns["seal"])


def confirm(tx: Tx, name: str, said: str, actor: str) -> Person | No:
    """Confirm a person. `said` is the key's fingerprint as the person read it out: at least its first 16 digits."""
    person = of_name(tx.fresh, name)
    if person is None:
        return No("no_such_person", f"nobody enrolled as {name}; `bankgw persons list` shows who did")
    if len(said) < 16 or not person.fingerprint.startswith(said.lower()):
        return No(
            "wrong_fingerprint",
            f"the key of {name} does not begin with {said!r}; have {name} read out what "
            f"`bankgw persons enrol` printed, at least 16 digits. If it differs, remove the person",
        )
    if person.enrolled:
        return person
    if person.altered:
        return No(
            "altered", f"the row of {name} in the journal was altered; remove the person: bankgw persons remove {name}"
        )
    if person.deactivated:
        return No("deactivated", f"{name} was deactivated by two administrators, and stays so")
    return change(
        tx, replace(person, enrolled=True), "person.confirmed", actor, {"uid": person.uid, "key": person.fingerprint}
    )


def ceremony_open(there: Iterable[Person]) -> bool:
    """True while root may let persons in and appoint them. That ends once there are a security administrator and a
    second administrator to approve, and begins again if they are gone."""
    known = list(there)
    if any(one.altered for one in known):
        return False
    roles = [one.grants.roles for one in known if one.enrolled]
    security = sum(PersonRole.SECURITY_ADMIN in one for one in roles)
    both = sum(bool(one & {PersonRole.SECURITY_ADMIN, PersonRole.SYSTEM_ADMIN}) for one in roles)
    return security < 1 or both < 2  # noqa: PLR2004


def change(tx: Tx, person: Person, entry: str, actor: str, detail: dict[str, Any]) -> Person:
    """Store a changed person, with an entry in the audit trail; returns the person as stored.

    Raises Outdated if another node has changed the person since it was read; the unit is then run again."""
    stored = _store(tx, person)
    audit.append(tx, actor, entry, f"person:{person.name}", detail)
    return stored


def passkey_used(tx: Tx, person: Person, used: RegisteredPasskey) -> None:
    """Store the counter of a passkey that answered. A later answer whose counter has not grown comes from a copy.

    Raises Outdated as `change` does: the person may have been deactivated since."""
    kept = tuple(used if one.fingerprint == used.fingerprint else one for one in person.passkeys)
    _store(tx, replace(person, passkeys=kept))


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
    registers.note(tx, registers.names(_SEAL.table, (name,)), registers.DELETED)
    detail = {"uid": person.uid, "key": person.fingerprint, "reason": reason}
    audit.append(tx, actor, "person.removed", f"person:{name}", detail)
    return person


def _aad(name: str) -> bytes:
    return f"persons/body/{name}".encode()


def _columns(tx: Tx, person: Person) -> dict[str, Any]:
    body = json.dumps(
        {
            "uid": person.uid,
            "key": b64encode(person.key).decode(),
            "enrolled": person.enrolled,
            "grants": person.grants.text(),
            "deactivated": person.deactivated,
            "next_key": b64encode(person.next_key).decode(),
            "usable_from_ms": person.usable_from_ms,
            "passkeys": [_written(one) for one in person.passkeys],
        }
    ).encode()
    return _SEAL.with_seal(
        tx.vault,
        {
            "person": person.name,
            "uid": person.uid,
            "fingerprint": person.fingerprint,
            "at_ms": person.at_ms,
            "body": tx.vault.seal(body, _aad(person.name)),
        },
    )


def _store(tx: Tx, person: Person) -> Person:
    """Write the person over the row that was read. The whole body is written, so that an older reading would undo what
    another node wrote meanwhile."""
    columns = _columns(tx, person)
    values = {name: columns[name] for name in ("fingerprint", "body", "seal")}
    as_read = (_C.person == person.name, _C.seal == person.seal)
    if tx.fresh.execute(update(schema.persons).where(*as_read).values(values)).rowcount != 1:
        raise Outdated(f"person {person.name} was changed by another node")
    _noted(tx, columns)
    return replace(person, seal=columns["seal"])


def _noted(tx: Tx, columns: dict[str, Any]) -> None:
    registers.note(tx, registers.names(_SEAL.table, (columns["person"],)), columns["seal"])


def _written(one: RegisteredPasskey) -> dict[str, Any]:
    key = one.passkey
    return {
        "id": b64encode(key.credential_id).decode(),
        "public_key": b64encode(key.public_key).decode(),
        "sign_count": key.sign_count,
        "synced": key.synced,
        "page": one.page.value,
        "party": one.party.id,
        "origin": one.party.origin,
        "at_ms": one.at_ms,
    }


def _passkey(said: dict[str, Any]) -> RegisteredPasskey:
    key = Passkey(b64decode(said["id"]), b64decode(said["public_key"]), said["sign_count"], said["synced"])
    party = RelyingParty(said["party"], said["origin"])
    return RegisteredPasskey(key, WebPage(said["page"]), party, said["at_ms"])


def _read(conn: Connection, row: Any) -> Person:
    """A row of the persons' table as a value. If the row was altered, the person is marked so and has no rights."""
    try:
        _SEAL.check(vault_of(conn), row)
        registers.check(conn, registers.names(_SEAL.table, (row.person,)), row.seal)
        return _person(conn, row)
    except SealBroken as error:
        return _altered(conn, row.person, row.uid, error)
    except VaultError:
        return _altered(conn, row.person, row.uid, SealBroken(_SEAL.table, row.person))


def _altered(conn: Connection, name: str, uid: int, error: SealBroken) -> Person:
    registers.report(vault_of(conn), error, _NOW)
    return Person(name, uid, b"", enrolled=False, at_ms=0, grants=Grants(), altered=True)


def _person(conn: Connection, row: Any) -> Person:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.person)))
    # A person enrolled by a version before roles has none stored, and keeps the rights of that version.
    grants = grants_text.parse(said["grants"]) if "grants" in said else SUPERVISOR_EVERYWHERE
    person = Person(
        row.person,
        said["uid"],
        b64decode(said["key"]),
        said["enrolled"],
        row.at_ms,
        grants,
        said.get("deactivated", False),
        b64decode(said.get("next_key", "")),
        said.get("usable_from_ms", 0),
        tuple(_passkey(one) for one in said.get("passkeys", ())),
        seal=row.seal,
    )
    # A row from before schema 17 has no seal: its clear columns must agree with the sealed body.
    if (person.uid, person.fingerprint) != (row.uid, row.fingerprint):
        raise SealBroken(_SEAL.table, row.person)
    return person


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a person's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    _person(tx.fresh, row)
    columns = _SEAL.with_seal(tx.vault, dict(row._mapping))
    _noted(tx, columns)
    return {"seal": columns["seal"]}
