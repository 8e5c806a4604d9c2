"""A person's password and one-time codes for signing in, sealed; and the count of failures that locks out.

They only open a session: no decision is ever signed with them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import upsert
from gateway.journal.sql.vaults import vault_of
from gateway.people.lockouts import SignInAttempts

_C = schema.password_factors.c
_F = schema.sign_in_failures.c


@dataclass(frozen=True, slots=True)
class PasswordFactor:
    """`hashed` is argon2id's, `secret` the base32 secret of the codes, of which `used_step` was the last one taken.
    `confirmed`: the person has shown a code, so that the telephone has the secret."""

    person: str
    hashed: str
    secret: str
    used_step: int = 0
    confirmed: bool = False


def fetch(conn: Connection, person: str) -> PasswordFactor | None:
    """The person's factor. VaultError if it was altered."""
    row = conn.execute(select(schema.password_factors).where(_C.person == person)).first()
    if row is None:
        return None
    said = json.loads(vault_of(conn).open(row.body, _aad(person)))
    return PasswordFactor(person, said["hashed"], said["secret"], said["used_step"], said["confirmed"])


def write(tx: Tx, factor: PasswordFactor, entry: str, actor: str) -> None:
    """Write a person's factor, with an entry in the audit trail that has no secret in it."""
    _put(tx, factor)
    audit.append(tx, actor, entry, f"person:{factor.person}", {"confirmed": factor.confirmed})


def used(tx: Tx, factor: PasswordFactor, step: int) -> None:
    """Take a code's step: neither it nor an earlier one is taken again."""
    _put(tx, replace(factor, used_step=step))


def remove(tx: Tx, person: str) -> None:
    """Forget a person's factor and failures."""
    tx.fresh.execute(schema.password_factors.delete().where(_C.person == person))
    tx.fresh.execute(schema.sign_in_failures.delete().where(_F.person == person))


def attempts(conn: Connection, person: str) -> SignInAttempts:
    """Failed sign-ins of a person."""
    row = conn.execute(select(schema.sign_in_failures).where(_F.person == person)).first()
    return SignInAttempts() if row is None else SignInAttempts(row.failures, row.locked_until_ms)


def note_attempts(tx: Tx, person: str, found: SignInAttempts) -> None:
    """Write the failures down; none removes the row."""
    if found == SignInAttempts():
        tx.fresh.execute(schema.sign_in_failures.delete().where(_F.person == person))
        return
    row = {"person": person, "failures": found.failures, "locked_until_ms": found.locked_until_ms}
    upsert(tx.fresh, schema.sign_in_failures, [row])


def _put(tx: Tx, factor: PasswordFactor) -> None:
    body = json.dumps({"hashed": factor.hashed, "secret": factor.secret, "used_step": factor.used_step,
                       "confirmed": factor.confirmed}).encode()  # fmt: skip
    row = {"person": factor.person, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(factor.person))}
    upsert(tx.fresh, schema.password_factors, [row])


def _aad(person: str) -> bytes:
    return f"password_factors/body/{person}".encode()
