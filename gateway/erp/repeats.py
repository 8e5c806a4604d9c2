"""Commands that come again: was this very delivery answered before, and only its acknowledgement lost?"""

from __future__ import annotations

from sqlalchemy import select

from gateway.journal import schema
from gateway.journal.store import Tx

_A = schema.audit.c


def noted(tx: Tx, key: str, entry: str) -> bool:
    """Whether the audit trail says this of the delivery `key`, the group under way included.

    To be asked in the unit that would answer it, and only for what the broker marks as redelivered.
    """
    if any(note.object_id == key and note.entry == entry for note in tx.notes):
        return True
    found = select(_A.seq).where(_A.object_id == key, _A.entry == entry).limit(1)
    return tx.conn.execute(found).first() is not None
