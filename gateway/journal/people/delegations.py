"""Delegations in the journal: made by the delegator, ended by either of the two, never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, select, update

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.people import persons
from gateway.journal.people.persons import No
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of
from gateway.people import delegations as rules
from gateway.people import scopes
from gateway.people.delegations import Delegation
from gateway.people.roles import PersonRole

_C = schema.delegations.c


@dataclass(frozen=True, slots=True)
class DelegationRow:
    """A delegation with its key and its reason. One that was ended has the moment as its `until_ms`."""

    delegation: str
    given: Delegation
    reason: str


def in_force(conn: Connection, now_ms: int) -> list[DelegationRow]:
    """Those that have not ended, also if they begin later. VaultError if a row was altered."""
    found = conn.execute(select(schema.delegations).where(_C.until_ms > now_ms).order_by(_C.delegation))
    return [_read(conn, row) for row in found]


def listing(conn: Connection, limit: int = 200) -> list[DelegationRow]:
    """The newest first, also those that have ended."""
    found = conn.execute(select(schema.delegations).order_by(_C.delegation.desc()).limit(limit))
    return [_read(conn, row) for row in found]


def delegate(tx: Tx, wanted: Delegation, reason: str, actor: str) -> DelegationRow | No:
    """Write a delegation down, if the rules allow it (`gateway.people.delegations`)."""
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
    insert_new(tx.fresh, schema.delegations, _columns(tx, row))
    audit.append(tx, actor, "delegation.made", f"person:{wanted.delegator}", {
        "delegation": row.delegation, "reason": reason, **_words(wanted)})  # fmt: skip
    return row


def end(tx: Tx, delegation: str, person: str, reason: str, actor: str) -> DelegationRow | No:
    """End a delegation now. Either of the two may."""
    found = tx.fresh.execute(select(schema.delegations).where(_C.delegation == delegation)).first()
    row = None if found is None else _read(tx.fresh, found)
    if row is None or row.given.until_ms <= tx.now_ms:
        return No("no_such_delegation", f"there is no delegation {delegation} in force; `bankgw delegations list` "
                  f"shows them")  # fmt: skip
    if person not in (row.given.delegator, row.given.delegate):
        return No("not_allowed", f"delegation {delegation} is between {row.given.delegator} and {row.given.delegate}; "
                  f"one of them can end it")  # fmt: skip
    ended = replace(row, given=replace(row.given, until_ms=tx.now_ms))
    columns = _columns(tx, ended)
    values = {name: columns[name] for name in ("until_ms", "body")}
    tx.fresh.execute(update(schema.delegations).where(_C.delegation == delegation).values(values))
    audit.append(tx, actor, "delegation.ended", f"person:{row.given.delegator}", {
        "delegation": delegation, "reason": reason, "by": person})  # fmt: skip
    return ended


def _words(given: Delegation) -> dict[str, Any]:
    return {
        "delegate": given.delegate, "roles": sorted(given.roles), "scope": given.scope.text(), "from_ms": given.from_ms,
        "until_ms": given.until_ms,
    }  # fmt: skip


def _columns(tx: Tx, row: DelegationRow) -> dict[str, Any]:
    body = json.dumps({"delegator": row.given.delegator, "reason": row.reason, **_words(row.given)},
                      ensure_ascii=False).encode()  # fmt: skip
    return {
        "delegation": row.delegation, "delegator": row.given.delegator, "delegate": row.given.delegate,
        "until_ms": row.given.until_ms, "body": tx.vault.seal(body, _aad(row.delegation)),
    }  # fmt: skip


def _read(conn: Connection, row: Any) -> DelegationRow:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.delegation)))
    roles: Sequence[str] = said["roles"]
    given = Delegation(said["delegator"], said["delegate"], frozenset(PersonRole(one) for one in roles),
                       scopes.parse(said["scope"]), said["from_ms"], said["until_ms"])  # fmt: skip
    # The sealed delegation is authentic; the clear columns beside it must agree with it.
    same = (given.delegator, given.delegate, given.until_ms) == (row.delegator, row.delegate, row.until_ms)
    assert same, f"delegation {row.delegation}: columns were altered"
    return DelegationRow(row.delegation, given, said["reason"])


def _aad(delegation: str) -> bytes:
    return f"delegations/body/{delegation}".encode()
