"""A person's password and one-time codes for signing in, sealed; and the count of failures that locks out.

They only open a session: no decision is ever signed with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import upsert
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rules.lockouts import SignInAttempts

_C = schema.password_factors.c
_F = schema.sign_in_failures.c
_SEAL, _FAILURES_SEAL = row_seal(schema.password_factors), row_seal(schema.sign_in_failures)
LOCKED_MS = 2**52
"""The end of the lock-out of a person whose failures were altered by SQL: two administrators must reset the person
first."""


@dataclass(frozen=True, slots=True)
class PasswordFactor:
    """A person's password and one-time codes. `hashed` is argon2id's, `secret` the base32 secret of the codes, of which
    `used_step` was the last one accepted. `confirmed`: the person has shown a code, so that the telephone has the
    secret."""

    person: str
    hashed: str
    secret: str
    used_step: int = 0
    confirmed: bool = False


def fetch(conn: Connection, person: str) -> PasswordFactor | None:
    """The person's password factor. None if there is none, or if its row was altered by SQL."""
    row = conn.execute(select(schema.password_factors).where(_C.person == person)).first()
    if row is None:
        return None
    try:
        _SEAL.check(vault_of(conn), row)
        said = json.loads(vault_of(conn).open(row.body, _aad(person)))
    except (SealBroken, VaultError) as error:
        broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, person)
        registers.report(vault_of(conn), broken, "the password is not taken; the person sets it up again")
        return None
    return PasswordFactor(person, said["hashed"], said["secret"], said["used_step"], said["confirmed"])


def store_factor(tx: Tx, factor: PasswordFactor, entry: str, actor: str) -> None:
    """Store a person's password factor, with an entry in the audit trail that has no secret in it."""
    _put(tx, factor)
    audit.append(tx, actor, entry, f"person:{factor.person}", {"confirmed": factor.confirmed})


def used(tx: Tx, factor: PasswordFactor, step: int) -> None:
    """Mark a code's step as used: neither this nor an earlier step is accepted again."""
    _put(tx, replace(factor, used_step=step))


def remove(tx: Tx, person: str) -> None:
    """Delete a person's password factor and failures."""
    tx.fresh.execute(schema.password_factors.delete().where(_C.person == person))
    tx.fresh.execute(schema.sign_in_failures.delete().where(_F.person == person))


def attempts(conn: Connection, person: str) -> SignInAttempts:
    """The recorded failed sign-ins of a person."""
    row = conn.execute(select(schema.sign_in_failures).where(_F.person == person)).first()
    if row is None:
        return SignInAttempts()
    try:
        _FAILURES_SEAL.check(vault_of(conn), row)
    except SealBroken as error:
        registers.report(vault_of(conn), error, "the person is locked out until the person's key is reset")
        return SignInAttempts(row.failures, LOCKED_MS)
    return SignInAttempts(row.failures, row.locked_until_ms)


def note_attempts(tx: Tx, person: str, found: SignInAttempts) -> None:
    """Store a person's failed sign-ins; if there are none, the row is removed."""
    if found == SignInAttempts():
        tx.fresh.execute(schema.sign_in_failures.delete().where(_F.person == person))
        return
    row = {"person": person, "failures": found.failures, "locked_until_ms": found.locked_until_ms}
    upsert(tx.fresh, schema.sign_in_failures, [_FAILURES_SEAL.with_seal(tx.vault, row)])


def _put(tx: Tx, factor: PasswordFactor) -> None:
    body = json.dumps(
        {"hashed": factor.hashed, "secret": factor.secret, "used_step": factor.used_step, "confirmed": factor.confirmed}
    ).encode()
    row = {"person": factor.person, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(factor.person))}
    upsert(tx.fresh, schema.password_factors, [_SEAL.with_seal(tx.vault, row)])


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a password factor's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    tx.vault.open(row.body, _aad(row.person))
    return {"seal": _SEAL.over(tx.vault, dict(row._mapping))}


def _aad(person: str) -> bytes:
    return f"password_factors/body/{person}".encode()
