"""Judges an attempt to sign in from the command line or a browser, counts it and records it, in one unit of the
journal.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from gateway.call import Call, Denied
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.people.rows import password_factors
from gateway.people.rows.entitlements import EntitledPerson
from gateway.people.rows.password_factors import PasswordFactor
from gateway.people.rows.persons import No
from gateway.people.rules import one_time_codes, passwords
from gateway.people.rules.lockouts import SignInAttempts
from protocols.erp.news import instant

Fits = Callable[[Tx, EntitledPerson], bool]
"""Whether what a person showed is right."""


def try_in(tx: Tx, found: EntitledPerson, factor: str, fits: Fits, actor: str) -> EntitledPerson | No:
    """Judge the factor with which a person signs in. Ten failures in a row lock the person out; the audit trail has
    each one."""
    name = found.person.name
    before = password_factors.attempts(tx.fresh, name)
    if before.locked(tx.now_ms):
        return _locked(tx, name, factor, before, actor)
    if fits(tx, found):
        password_factors.note_attempts(tx, name, SignInAttempts())
        audit.append(tx, actor, "sign_in.done", f"person:{name}", {"factor": factor})
        return found
    after = before.failed(tx.now_ms)
    password_factors.note_attempts(tx, name, after)
    if after.locked(tx.now_ms):
        return _locked(tx, name, factor, after, actor)
    audit.append(tx, actor, "sign_in.failed", f"person:{name}", {"factor": factor, "failures": after.failures})
    return No(
        "sign_in_failed",
        f"{name}: password or code do not fit (failure {after.failures} of 10 in a row); you are "
        f"not signed in. A code is taken once: wait for the next one",
    )


def password_checked(conn: Connection, person: str, password: str, now_ms: int) -> PasswordFactor | None:
    """The person's password factor if the password is right. No hash is computed for a person who is locked out."""
    factor = password_factors.fetch(conn, person)
    if factor is None or password_factors.attempts(conn, person).locked(now_ms):
        return None
    return factor if factor.confirmed and passwords.fits(password, factor.hashed) else None


def code_fits(checked: PasswordFactor | None, code: str) -> Fits:
    """True if the code is the present one. The password must have been right, and must be the same still."""

    def fits(tx: Tx, found: EntitledPerson) -> bool:
        factor = password_factors.fetch(tx.fresh, found.person.name)
        if factor is None or checked is None or factor.hashed != checked.hashed:
            return False
        step = one_time_codes.step_of(factor.secret, code, tx.now_ms, factor.used_step)
        if step is None:
            return False
        password_factors.used(tx, factor, step)
        return True

    return fits


def secret(call: Call, name: str) -> str:
    """A text of the request's body that is never stored."""
    value = call.body.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= passwords.MOST_CHARACTERS:
        raise Denied(400, "missing", f"give `{name}`: at most {passwords.MOST_CHARACTERS} characters")
    return value


def _locked(tx: Tx, name: str, factor: str, found: SignInAttempts, actor: str) -> No:
    audit.append(tx, actor, "sign_in.locked", f"person:{name}", {"factor": factor})
    return No(
        "locked",
        f"{name} is locked out until {instant(found.locked_until_ms)} after ten failed sign-ins in a "
        f"row; if these were not yours, tell the auditor",
    )
