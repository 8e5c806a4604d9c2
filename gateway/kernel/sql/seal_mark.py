"""The mark that a journal is sealed: from then on a row without a seal was not written by the gateway.

An empty journal is marked before its first row. A journal from before schema 17 is marked when two persons have
released it and all its rows have seals. A program from before schema 17 writes no seals, so the mark shuts it out.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, insert, select, update

from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault

_NAME = "sealed"
_BESIDE = "beside"
_FIRST = "0017"
"""The first revision whose programs write seals."""
_M = schema.meta.c


def is_there(conn: Connection) -> bool:
    """Whether the journal has a mark that it is sealed, forged or not: the writer refuses a forged one at its start
    (see `is_marked`).
    """
    return conn.execute(select(_M.value).where(_M.name == _NAME)).scalar() is not None


def is_marked(conn: Connection, vault: Vault) -> bool:
    """Whether the journal is sealed. Raises SealBroken if the mark was not written by a holder of the vault's key."""
    value = conn.execute(select(_M.value).where(_M.name == _NAME)).scalar()
    if value is None:
        return False
    said = json.loads(value)
    if said.pop("mac", "") != _mac(vault, said["at_ms"]):
        raise SealBroken("meta", _NAME)
    return True


def is_new(conn: Connection) -> bool:
    """Whether the journal is new: no entry in an audit chain, no payment, no node and no person."""
    tables = (schema.audit.c.node, schema.payments.c.payment, schema.units.c.node, schema.persons.c.person)
    return all(conn.execute(select(column).limit(1)).first() is None for column in tables)


def mark(conn: Connection, vault: Vault, at_ms: int) -> None:
    """Mark the journal as sealed, and shut out programs that write no seals."""
    value = json.dumps({"at_ms": at_ms, "mac": _mac(vault, at_ms)}, sort_keys=True)
    conn.execute(insert(schema.meta), {"name": _NAME, "value": value})
    older = (_M.name == _BESIDE) & (_M.value < _FIRST)
    conn.execute(update(schema.meta).where(older).values(value=_FIRST))


def _mac(vault: Vault, at_ms: int) -> str:
    return vault.mac(f"sealed journal\n{at_ms}".encode()).hex()
