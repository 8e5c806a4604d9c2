"""Persons about whom the database may have lost decisions: they may neither sign nor approve until others decide again.

A node that finds at its start that words about a person are missing (a deactivation, a change of roles, a new key)
writes the person's name here, with a MAC of the vault's key. Two administrators' next decision about the person ends
it, and so does the right database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

_M, _A = schema.meta.c, schema.audit.c
_NAME = "barred."
_DECIDED = ("person.admitted", "person.roles_changed", "person.deactivated", "person.key_reset", "person.removed")


def bar(tx: Tx, names: Iterable[str]) -> None:
    """Bar exactly these persons from signing and approving. A person who was barred before stays barred since then."""
    before = _of_node(tx.fresh, tx.node)
    since = {name: before.get(name, tx.now_ms) for name in sorted(names)}
    if since == before:
        return
    tx.fresh.execute(delete(schema.meta).where(_M.name == _NAME + tx.node))
    if since:
        value = json.dumps([since, _mac(tx.vault, tx.node, since)])
        tx.fresh.execute(insert(schema.meta), {"name": _NAME + tx.node, "value": value})


def barred(conn: Connection) -> frozenset[str]:
    """The persons who may neither sign nor approve at present."""
    rows = conn.execute(select(_M.name).where(_M.name.startswith(_NAME, autoescape=True))).scalars().all()
    since: dict[str, int] = {}
    for name in rows:
        for person, at_ms in _of_node(conn, name.removeprefix(_NAME)).items():
            since[person] = max(at_ms, since.get(person, 0))
    return frozenset(person for person, at_ms in since.items() if not _decided_after(conn, person, at_ms))


def _of_node(conn: Connection, node: str) -> dict[str, int]:
    value = conn.execute(select(_M.value).where(_M.name == _NAME + node)).scalar()
    if value is None:
        return {}
    since, mac = json.loads(value)
    return since if mac == _mac(vault_of(conn), node, since) else {}


def _mac(vault: Vault, node: str, since: Mapping[str, int]) -> str:
    return vault.mac(b"barred persons\n" + json.dumps([node, since], sort_keys=True).encode()).hex()


def _decided_after(conn: Connection, person: str, at_ms: int) -> bool:
    about = (_A.object_id == f"person:{person}") & (_A.at_ms > at_ms) & _A.entry.in_(_DECIDED)
    vault = vault_of(conn)
    return any(audit.authentic(row, vault) for row in conn.execute(select(schema.audit).where(about)))
