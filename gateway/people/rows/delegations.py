"""Delegations in the journal: made by the delegator, ended by either of the two, never changed.

If the row of a delegation was altered, or deleted by SQL, it gives no right. The two persons still count as one where
two are needed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.registers import RegisterNote
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of
from gateway.people.rows import persons
from gateway.people.rows.persons import No
from gateway.people.rules import delegations as rules
from gateway.people.rules import scopes
from gateway.people.rules.delegations import Delegation
from gateway.people.rules.roles import PersonRole

_C = schema.delegations.c
_SEAL = row_seal(schema.delegations)
_NOW = "it lets nobody act, and its two persons count as one; one of them ends it: bankgw delegations end"


@dataclass(frozen=True, slots=True)
class DelegationRow:
    """A stored delegation with its key and reason. If it was ended, `until_ms` is the moment of its end."""

    delegation: str
    given: Delegation
    reason: str


def in_force(conn: Connection, now_ms: int) -> list[DelegationRow]:
    """The delegations that have not ended, including those that begin later, and those whose row was altered or deleted
    by SQL."""
    found = conn.execute(select(schema.delegations).where(_C.until_ms > now_ms).order_by(_C.delegation)).all()
    there = [row for row in (_read(conn, row) for row in found) if row.given.until_ms > now_ms]
    keys = {row.delegation for row in there}
    for key, said in registers.listed(conn, _SEAL.table).items():
        # No version of a delegation ends later than an earlier version.
        if key not in keys and said.words["until_ms"] > now_ms and (now := _fetch(conn, key)).given.until_ms > now_ms:
            there.append(now)
    return sorted(there, key=lambda row: row.delegation)


def listing(conn: Connection, limit: int = 200) -> list[DelegationRow]:
    """All delegations, the newest first, including those that have ended."""
    found = conn.execute(select(schema.delegations).order_by(_C.delegation.desc()).limit(limit))
    return [_read(conn, row) for row in found]


def delegate(tx: Tx, wanted: Delegation, reason: str, actor: str) -> DelegationRow | No:
    """Store a delegation, if the rules allow it (`gateway.people.rules.delegations`)."""
    giver, taker = persons.of_name(tx.fresh, wanted.delegator), persons.of_name(tx.fresh, wanted.delegate)
    if giver is None or not giver.enrolled:
        return No("not_enrolled", f"{wanted.delegator} is not enrolled; nothing was changed")
    if taker is None or not taker.enrolled:
        return No("no_such_person", f"{wanted.delegate} is not enrolled; nothing was changed")
    others = [row.given for row in in_force(tx.fresh, tx.now_ms)]
    why = rules.why_not(wanted, giver.grants, taker.grants, others, tx.now_ms)
    if why:
        audit.append(tx, actor, "delegation.refused", f"person:{wanted.delegator}", {"why": why, **_words(wanted)})
        return No("not_allowed", f"{why}; nothing was changed")
    row = DelegationRow(tx.entropy.ulid(tx.now_ms), wanted, reason)
    columns = _columns(tx, row)
    insert_new(tx.fresh, schema.delegations, columns)
    _noted(tx, row, columns)
    audit.append(
        tx,
        actor,
        "delegation.made",
        f"person:{wanted.delegator}",
        {"delegation": row.delegation, "reason": reason, **_words(wanted)},
    )
    return row


def end(tx: Tx, delegation: str, person: str, reason: str, actor: str) -> DelegationRow | No:
    """End a delegation now. Either of the two persons may."""
    row = _fetch(tx.fresh, delegation)
    if row.given.until_ms <= tx.now_ms:
        return No(
            "no_such_delegation", f"there is no delegation {delegation} in force; `bankgw delegations list` shows them"
        )
    if person not in (row.given.delegator, row.given.delegate):
        return No(
            "not_allowed",
            f"delegation {delegation} is between {row.given.delegator} and {row.given.delegate}; "
            f"one of them can end it",
        )
    ended = replace(row, given=replace(row.given, until_ms=tx.now_ms))
    columns = _columns(tx, ended)
    if not insert_new(tx.fresh, schema.delegations, columns):
        values = {name: columns[name] for name in columns if name != "delegation"}
        tx.fresh.execute(update(schema.delegations).where(_C.delegation == delegation).values(values))
    _noted(tx, ended, columns)
    audit.append(
        tx,
        actor,
        "delegation.ended",
        f"person:{row.given.delegator}",
        {"delegation": delegation, "reason": reason, "by": person},
    )
    return ended


def _words(given: Delegation) -> dict[str, Any]:
    return {
        "delegate": given.delegate,
        "roles": sorted(given.roles),
        "scope": given.scope.text(),
        "from_ms": given.from_ms,
        "until_ms": given.until_ms,
    }


def _columns(tx: Tx, row: DelegationRow) -> dict[str, Any]:
    body = json.dumps(
        {"delegator": row.given.delegator, "reason": row.reason, **_words(row.given)}, ensure_ascii=False
    ).encode()
    return _SEAL.with_seal(
        tx.vault,
        {
            "delegation": row.delegation,
            "delegator": row.given.delegator,
            "delegate": row.given.delegate,
            "until_ms": row.given.until_ms,
            "body": tx.vault.seal(body, _aad(row.delegation)),
        },
    )


def _noted(tx: Tx, row: DelegationRow, columns: dict[str, Any]) -> None:
    given = row.given
    registers.note(
        tx,
        registers.names(_SEAL.table, (row.delegation,)),
        columns["seal"],
        {
            "delegator": given.delegator,
            "delegate": given.delegate,
            "from_ms": given.from_ms,
            "until_ms": given.until_ms,
        },
    )


def _fetch(conn: Connection, delegation: str) -> DelegationRow:
    """The delegation with this key; if there never was one, a delegation that ended at time 0."""
    found = conn.execute(select(schema.delegations).where(_C.delegation == delegation)).first()
    if found is not None:
        return _read(conn, found)
    said = registers.newest(conn, registers.names(_SEAL.table, (delegation,)))
    return _altered(conn, delegation, said, SealBroken(_SEAL.table, delegation, "was deleted"))


def _altered(conn: Connection, delegation: str, said: RegisterNote, error: SealBroken) -> DelegationRow:
    """The substitute for a delegation whose row cannot be trusted: the two persons count as one, as the audit trail
    says."""
    words = said.words or {"delegator": "", "delegate": "", "from_ms": 0, "until_ms": 0}
    if said.count:
        registers.report(vault_of(conn), error, _NOW)
    given = Delegation(
        words["delegator"], words["delegate"], frozenset(), scopes.NOWHERE, words["from_ms"], words["until_ms"]
    )
    return DelegationRow(delegation, given, "its row was altered")


def _read(conn: Connection, row: Any) -> DelegationRow:
    name = registers.names(_SEAL.table, (row.delegation,))
    try:
        _SEAL.check(vault_of(conn), row)
        registers.check(conn, name, row.seal)
        return _delegation(conn, row)
    except SealBroken as error:
        return _altered(conn, row.delegation, registers.newest(conn, name), error)
    except VaultError:
        broken = SealBroken(_SEAL.table, row.delegation)
        return _altered(conn, row.delegation, registers.newest(conn, name), broken)


def _delegation(conn: Connection, row: Any) -> DelegationRow:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.delegation)))
    roles: Sequence[str] = said["roles"]
    given = Delegation(
        said["delegator"],
        said["delegate"],
        frozenset(PersonRole(one) for one in roles),
        scopes.parse(said["scope"]),
        said["from_ms"],
        said["until_ms"],
    )
    # A row from before schema 17 has no seal: its clear columns must agree with the sealed body.
    same = (given.delegator, given.delegate, given.until_ms) == (row.delegator, row.delegate, row.until_ms)
    if not same:
        raise SealBroken(_SEAL.table, row.delegation)
    return DelegationRow(row.delegation, given, said["reason"])


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a delegation's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    given, columns = _delegation(tx.fresh, row), _SEAL.with_seal(tx.vault, dict(row._mapping))
    _noted(tx, given, columns)
    return {"seal": columns["seal"]}


def _aad(delegation: str) -> bytes:
    return f"delegations/body/{delegation}".encode()
