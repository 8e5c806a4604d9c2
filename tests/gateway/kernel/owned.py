"""Rows that a test wrote by SQL, made as if the gateway had written them: sealed, and named by an audit chain."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, insert, select, update

from gateway.kernel.commit import audit, chain_check
from gateway.kernel.commit.rows import Head
from gateway.kernel.sql import schema
from gateway.kernel.sql.sealed import SEAL, SealBroken, row_seal
from gateway.kernel.sql.vault import Vault

NODE = "by-sql"
_P, _S, _A = schema.payments.c, schema.attempts.c, schema.audit.c


def own_up(conn: Connection, vault: Vault, *, sends: bool = True) -> None:
    """Seal each payment anew whose seal does not fit, and write the missing entries of its chain. `sends`: with
    attempts."""
    for row in conn.execute(select(schema.payments)).all():
        seal = row_seal(schema.payments)
        try:
            seal.check(vault, row)
        except SealBroken:
            fresh = seal.over(vault, dict(row._mapping))
            conn.execute(update(schema.payments).where(_P.payment == row.payment).values({SEAL: fresh}))
        else:
            if _is_told(conn, vault, row):
                continue
        if not _is_told(conn, vault, row):
            _tell(conn, vault, row, sends)


def _is_told(conn: Connection, vault: Vault, row: Any) -> bool:
    try:
        chain_check.check(conn, vault, row)
    except SealBroken:
        return False
    return True


def _tell(conn: Connection, vault: Vault, row: Any, sends: bool) -> None:
    said = {"version": row.version, "after": row.state, "seq": row.seq}
    there = set(conn.execute(select(_S.attempt).where(_S.payment == row.payment)).scalars())
    for attempt in sorted(set(range(1, row.attempt + 1)) - there) if sends else ():
        _attempt(conn, vault, row.payment, attempt)
        _entry(conn, vault, row.payment, "payment.send", {**said, "version": 0, "attempt": attempt})
    _entry(conn, vault, row.payment, "payment.by_sql", said)


def _attempt(conn: Connection, vault: Vault, payment: str, attempt: int) -> None:
    values = {
        "payment": payment,
        "attempt": attempt,
        "epoch": 1,
        "node": NODE,
        "bank_date": "2026-11-24",
        "serials": "[]",
        "port": "business",
        "wire": vault.seal(b"<pay/>", f"attempts/wire/{payment}/{attempt}".encode()),
        "key_id": None,
        "first_write_ms": 1,
        "replay_policy": "never",
        "at_ms": 1,
    }
    conn.execute(insert(schema.attempts), row_seal(schema.attempts).with_seal(vault, values))


def _entry(conn: Connection, vault: Vault, payment: str, entry: str, detail: dict[str, Any]) -> None:
    last = conn.execute(select(_A.seq, _A.hash).where(_A.node == NODE).order_by(_A.seq.desc()).limit(1)).first()
    head = Head(0, audit.GENESIS) if last is None else Head(last.seq, last.hash)
    header = chain_check.header(NODE, head.seq + 1, 1, "test", entry, payment, head.hash)
    sealed = vault.seal(json.dumps(detail).encode(), header)
    conn.execute(
        insert(schema.audit),
        {
            "node": NODE,
            "seq": head.seq + 1,
            "at_ms": 1,
            "actor": "test",
            "entry": entry,
            "object_id": payment,
            "detail": sealed,
            "prev_hash": head.hash,
            "hash": audit._digest(header, sealed),
        },
    )
