"""Cash pools in the journal: one sealed row a version, never changed. The last version of a pool is in force."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vaults import vault_of
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules.pool import Pool

_A, _C = schema.audit.c, schema.pools.c
_SEAL = row_seal(schema.pools)
IN_FORCE = "pool.in_force"
"""The audit entry of each version."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A version of a pool, when it came into force, and the proposal by which two persons signed it. `pool` None: the
    version that closed it."""

    name: str
    version: int
    pool: Pool | None
    at_ms: int
    proposal: str

    @property
    def text(self) -> str:
        """The text of the version that both persons signed."""
        return pool_text.NONE if self.pool is None else self.pool.text()


def last(conn: Connection, name: str) -> PoolRow | None:
    """The version in force; None if there never was one. Raises VaultError if the row was altered."""
    found = conn.execute(select(schema.pools).where(_C.pool == name).order_by(_C.version.desc()).limit(1)).first()
    return None if found is None else _last(conn, found)


def _last(conn: Connection, row: Any) -> PoolRow:
    """The row, if it is the newest version that two persons put in force. The audit trail is asked, because a MAC does
    not show that an older row was put back, or that the newest was deleted."""
    found, newest = of_row(conn, row), _newest(conn, row.pool)
    if newest > found.version:
        raise SealBroken(schema.pools.name, f"{found.name}/{newest}", "is missing")
    return found


def in_force(conn: Connection) -> dict[str, Pool]:
    """Every pool that is not closed, by name."""
    newest = select(_C.pool, func.max(_C.version).label("version")).group_by(_C.pool).subquery()
    found = conn.execute(
        select(schema.pools)
        .join(newest, (newest.c.pool == _C.pool) & (newest.c.version == _C.version))
        .order_by(_C.pool)
    )
    rows = [_last(conn, row) for row in found]
    return {row.name: row.pool for row in rows if row.pool is not None}


def versions(conn: Connection, name: str) -> list[PoolRow]:
    """All versions of a pool, the newest first."""
    found = conn.execute(select(schema.pools).where(_C.pool == name).order_by(_C.version.desc()))
    return [of_row(conn, row) for row in found]


def of_version(conn: Connection, name: str, version: int) -> Pool | None:
    """The pool in this version; None if that version closed it."""
    found = conn.execute(select(schema.pools).where(_C.pool == name, _C.version == version)).first()
    return None if found is None else of_row(conn, found).pool


def put_in_force(
    tx: Tx, name: str, text: str, proposal: str, actor: str = "", detail: Mapping[str, Any] | None = None
) -> PoolRow | None:
    """Put the next version in force, and record it in the audit trail. None if another node put one in force at the
    same moment."""
    before = last(tx.fresh, name)
    version = 1 if before is None else before.version + 1
    body = json.dumps({"text": text, "proposal": proposal}, ensure_ascii=False).encode()
    new = insert_new(
        tx.fresh,
        schema.pools,
        _SEAL.with_seal(
            tx.vault,
            {"pool": name, "version": version, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(name, version))},
        ),
    )
    if not new:
        return None
    # The list of registers cannot be cut, as single entries of the audit trail can.
    registers.note(tx, _name(name), str(version), {"version": version})
    audit.append(
        tx,
        actor or f"node:{tx.node}",
        IN_FORCE,
        name,
        {**(detail or {}), "version": version, "text": text, "proposal": proposal},
    )
    return last(tx.raw, name)


def _newest(conn: Connection, name: str) -> int:
    """The newest version of the pool in the audit trail; 0 if the trail has none any more. Versions from before the
    register of pools have an entry of their own alone."""
    entries = conn.execute(select(schema.audit).where(_A.object_id == name, _A.entry == IN_FORCE))
    versions = [int(one.detail["version"]) for one in audit.opened(entries, vault_of(conn))]
    registers.check_whole(conn, schema.pools.name, name)
    return max((*versions, int(registers.newest(conn, _name(name)).words.get("version", 0))), default=0)


def _name(pool: str) -> str:
    return registers.names(schema.pools.name, (pool,))


def _aad(name: str, version: int) -> bytes:
    return f"pools/body/{name}/{version}".encode()


def of_row(conn: Connection, row: Any) -> PoolRow:
    """A row of the pools' table as a value. Raises SealBroken if the row was altered."""
    _SEAL.check(vault_of(conn), row)
    said = json.loads(vault_of(conn).open(row.body, _aad(row.pool, row.version)))
    made = pool_text.parse(said["text"])
    return PoolRow(
        row.pool, row.version, None if made is None else replace(made, version=row.version), row.at_ms, said["proposal"]
    )
