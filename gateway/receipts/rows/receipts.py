"""Electronic receipts: the bank's ticket for asking again, and files too large for one message, kept for a day."""

from __future__ import annotations

from hashlib import sha256

from sqlalchemy import Connection, delete, select

from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.columns import fitting
from gateway.kernel.sql.databases import upsert
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.statement import Receipt

KEPT_MS = 86_400_000
BEGUN_MS = KEPT_MS // 2
"""A kept file stays at least this long after its first page was given out."""
_T = schema.tickets.c
_R = schema.receipts.c


def later(tx: Tx, question: str, ticket: str, due_ms: int) -> None:
    """Store the bank's `ticket` for asking again, not before `due_ms`."""
    sealed = tx.vault.seal(ticket.encode(), _aad("ticket", question))
    upsert(tx.fresh, schema.tickets, [{"question": question, "due_ms": due_ms, "ticket": sealed}])


def ticket_of(conn: Connection, question: str) -> tuple[str, int] | None:
    """The ticket of a question and the earliest time for its use; None if the bank gave none."""
    row = conn.execute(select(schema.tickets).where(_T.question == question)).first()
    if row is None:
        return None
    return vault_of(conn).open(row.ticket, _aad("ticket", question)).decode(), row.due_ms


def forget(tx: Tx, question: str) -> None:
    """Delete the ticket of an answered question."""
    tx.fresh.execute(delete(schema.tickets).where(_T.question == question))


def keep(tx: Tx, key: str, receipt: Receipt) -> Receipt:
    """Store a receipt's file for a day, so that all pages of an answer come from the same file. Delete older files.

    Returns the kept file, which is another one if another question stored it just before.
    """
    tx.fresh.execute(delete(schema.receipts).where(_R.expires_ms <= tx.now_ms))
    begun = kept(tx.fresh, key, tx.now_ms + BEGUN_MS)
    if begun is not None:
        return begun
    _write(tx, key, receipt)
    return receipt


def replace(tx: Tx, key: str, receipt: Receipt) -> None:
    """Store this file for a day in place of any other file under the key. Delete older files."""
    tx.fresh.execute(delete(schema.receipts).where(_R.expires_ms <= tx.now_ms))
    _write(tx, key, receipt)


def digest(*parts: str) -> str:
    """A key for a file: the digest of the values that identify it."""
    return sha256("\x1f".join(parts).encode()).hexdigest()[:56]


def _write(tx: Tx, key: str, receipt: Receipt) -> None:
    upsert(
        tx.fresh,
        schema.receipts,
        [
            {
                "receipt": key,
                "media_type": fitting(receipt.media_type, _R.media_type),
                "at_ms": tx.now_ms,
                "expires_ms": tx.now_ms + KEPT_MS,
                "name": tx.vault.seal(receipt.name.encode(), _aad("name", key)),
                "body": tx.vault.seal(receipt.data, _aad("body", key)),
            }
        ],
    )


def kept(conn: Connection, key: str, until_ms: int) -> Receipt | None:
    """The file stored under this key; None if there is none, or if it will be deleted before `until_ms`."""
    row = conn.execute(select(schema.receipts).where(_R.receipt == key, _R.expires_ms > until_ms)).first()
    if row is None:
        return None
    vault = vault_of(conn)
    return Receipt(
        vault.open(row.body, _aad("body", key)), row.media_type, vault.open(row.name, _aad("name", key)).decode()
    )


def _aad(column: str, key: str) -> bytes:
    return f"receipts/{column}/{key}".encode()
