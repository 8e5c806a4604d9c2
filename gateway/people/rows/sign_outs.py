"""Browser sessions that their persons ended, stored until they would have ended by themselves, over any restart."""

from __future__ import annotations

from sqlalchemy import Connection, select

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new

_C = schema.sign_outs.c


def end(tx: Tx, nonce: str, until_ms: int) -> None:
    """End the browser session with this nonce. Deletes sign-outs of sessions that would have ended by themselves by
    now."""
    tx.fresh.execute(schema.sign_outs.delete().where(_C.until_ms < tx.now_ms))
    insert_new(tx.fresh, schema.sign_outs, {"nonce": nonce, "until_ms": until_ms})


def ended(conn: Connection, nonce: str) -> bool:
    """True if the person of this browser session signed out."""
    return conn.execute(select(_C.nonce).where(_C.nonce == nonce)).first() is not None
