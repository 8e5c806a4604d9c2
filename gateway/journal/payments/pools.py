"""Cash pools in the journal: one sealed row a version, never changed. The last version of a pool is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, func, select

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of
from gateway.treasury.liquidity import pool as pool_text
from gateway.treasury.liquidity.pool import Pool

_C = schema.pools.c


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
        """The text that was signed."""
        return pool_text.NONE if self.pool is None else self.pool.text()


def last(conn: Connection, name: str) -> PoolRow | None:
    """The version in force; None if there never was one. VaultError if the row was altered."""
    found = conn.execute(select(schema.pools).where(_C.pool == name).order_by(_C.version.desc()).limit(1)).first()
    return None if found is None else _read(conn, found)


def in_force(conn: Connection) -> dict[str, Pool]:
    """Every pool that is not closed, by name."""
    newest = select(_C.pool, func.max(_C.version).label("version")).group_by(_C.pool).subquery()
    found = conn.execute(
        select(schema.pools).join(newest, (newest.c.pool == _C.pool) & (newest.c.version == _C.version))
        .order_by(_C.pool)
    )  # fmt: skip
    rows = [_read(conn, row) for row in found]
    return {row.name: row.pool for row in rows if row.pool is not None}


def versions(conn: Connection, name: str) -> list[PoolRow]:
    """All versions of a pool, the newest first."""
    found = conn.execute(select(schema.pools).where(_C.pool == name).order_by(_C.version.desc()))
    return [_read(conn, row) for row in found]


def of_version(conn: Connection, name: str, version: int) -> Pool | None:
    """The pool as a version has it."""
    found = conn.execute(select(schema.pools).where(_C.pool == name, _C.version == version)).first()
    return None if found is None else _read(conn, found).pool


def write(tx: Tx, name: str, text: str, proposal: str) -> PoolRow | None:
    """Put the next version in force. None if another node put one in force in this moment."""
    before = last(tx.fresh, name)
    version = 1 if before is None else before.version + 1
    body = json.dumps({"text": text, "proposal": proposal}, ensure_ascii=False).encode()
    new = insert_new(tx.fresh, schema.pools, {
        "pool": name, "version": version, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(name, version)),
    })  # fmt: skip
    return last(tx.raw, name) if new else None


def _aad(name: str, version: int) -> bytes:
    return f"pools/body/{name}/{version}".encode()


def _read(conn: Connection, row: Any) -> PoolRow:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.pool, row.version)))
    made = pool_text.parse(said["text"])
    return PoolRow(row.pool, row.version, None if made is None else replace(made, version=row.version), row.at_ms,
                   said["proposal"])  # fmt: skip
