"""Persons about whom the database may have lost decisions: they may neither sign nor approve until others decide again.

A node that finds at its start that decisions about a person are missing (a deactivation, a change of roles, a new key)
writes the person's name here, with a MAC of the vault's key. The next decision of two administrators about the person
ends this, and so does the restored right database.

Each node's row is a register. If the row is missing or altered, the names in the audit trail count. Rows of older
versions are in no audit entry; if such a row was altered, everybody is barred.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault
from gateway.kernel.sql.vaults import vault_of

_M, _A = schema.meta.c, schema.audit.c
_NAME, _REGISTER = "barred.", "barred"
_BY_THE_TRAIL = "the persons whom the audit trail names are barred, and not those of this row"
_DECIDED = ("person.admitted", "person.roles_changed", "person.deactivated", "person.key_reset", "person.removed")


def row_name(node: str) -> str:
    """The name of the node's row in `meta`."""
    return _NAME + node


def bar(tx: Tx, names: Iterable[str]) -> None:
    """Bar exactly these persons from signing and approving. A person who was barred before stays barred since then."""
    value = _values(tx.fresh, tx.node).get(tx.node)
    before = _of_node(tx.fresh, tx.node, value) or {}
    since = {name: before.get(name, tx.now_ms) for name in sorted(names)}
    mac = _mac(tx.vault, tx.node, since)
    wanted, seal = (json.dumps([since, mac]), mac) if since else (None, registers.DELETED)
    name = registers.names(_REGISTER, (tx.node,))
    said = registers.newest(tx.raw, name)
    if value == wanted and (seal in said.seals or not (said.count or since)):
        return
    tx.fresh.execute(delete(schema.meta).where(_M.name == row_name(tx.node)))
    if wanted is not None:
        tx.fresh.execute(insert(schema.meta), {"name": row_name(tx.node), "value": wanted})
    registers.note(tx, name, seal, {"since": since})


def barred(conn: Connection) -> frozenset[str]:
    """The persons who may neither sign nor approve at present."""
    values = _values(conn)
    missing = {node for node, said in registers.listed(conn, _REGISTER).items() if not said.deleted} - values.keys()
    since: dict[str, int] = {}
    for node, value in {**values, **dict.fromkeys(missing)}.items():
        found = _of_node(conn, node, value)
        if found is None:
            return frozenset(conn.execute(select(schema.persons.c.person)).scalars())
        for person, at_ms in found.items():
            since[person] = max(at_ms, since.get(person, 0))
    return frozenset(person for person, at_ms in since.items() if not _decided_after(conn, person, at_ms))


def _values(conn: Connection, node: str = "") -> dict[str, str]:
    """The values of all rows by node; of one node's row if it is named."""
    which = _M.name == row_name(node) if node else _M.name.startswith(_NAME, autoescape=True)
    return {row.name.removeprefix(_NAME): row.value for row in conn.execute(select(schema.meta).where(which))}


def _of_node(conn: Connection, node: str, value: str | None) -> Mapping[str, int] | None:
    """The persons whom this node barred, and since when. None if its row was altered and the audit trail, which has no
    version of it, does not name the persons.
    """
    vault, said = vault_of(conn), registers.newest(conn, registers.names(_REGISTER, (node,)))
    if value is None and said.deleted:
        return {}
    since, mac = _read(value)
    if mac == _mac(vault, node, since) and (mac in said.seals or not said.count):
        return since
    if said.count:
        registers.report(vault, SealBroken(_REGISTER, node, "is not the last one"), _BY_THE_TRAIL)
        noted: Mapping[str, int] = said.words["since"]
        return noted
    registers.report(
        vault, SealBroken(_REGISTER, node), f"nobody signs or approves: row {row_name(node)} of table meta"
    )
    return None


def _read(value: str | None) -> tuple[dict[str, int], str]:
    """A row's persons and MAC; both empty if the row has anything else."""
    try:
        since, mac = json.loads(value or "")
    except (ValueError, TypeError, RecursionError):
        return {}, ""
    fits = isinstance(since, dict) and all(isinstance(at_ms, int) for at_ms in since.values())
    return (since, str(mac)) if fits else ({}, "")


def _mac(vault: Vault, node: str, since: Mapping[str, int]) -> str:
    return vault.mac(b"barred persons\n" + json.dumps([node, since], sort_keys=True).encode()).hex()


def _decided_after(conn: Connection, person: str, at_ms: int) -> bool:
    about = (_A.object_id == f"person:{person}") & (_A.at_ms > at_ms) & _A.entry.in_(_DECIDED)
    vault = vault_of(conn)
    return any(audit.authentic(row, vault) for row in conn.execute(select(schema.audit).where(about)))
