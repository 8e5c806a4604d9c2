"""Sessions in browsers that their persons ended: kept until they would have ended by themselves, over any restart."""

from __future__ import annotations

from sqlalchemy import Connection, select

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new

_C = schema.sign_outs.c


def end(tx: Tx, nonce: str, until_ms: int) -> None:
    """End the session with this nonce. Those that would have ended by now anyway are forgotten."""
    tx.fresh.execute(schema.sign_outs.delete().where(_C.until_ms < tx.now_ms))
    insert_new(tx.fresh, schema.sign_outs, {"nonce": nonce, "until_ms": until_ms})


def ended(conn: Connection, nonce: str) -> bool:
    """Whether the person of this session signed out."""
    return conn.execute(select(_C.nonce).where(_C.nonce == nonce)).first() is not None
