"""Former names of senders. Entries of the audit trail keep the name that a sender had when they were written."""

from __future__ import annotations

import sys

from sqlalchemy import Connection, bindparam, select

from gateway.kernel.commit import audit
from gateway.kernel.sql import schema
from gateway.kernel.sql.vaults import vault_of

RENAMED = "sender.renamed"
"""The audit entry about a sender's new name; its detail has the `old` one."""
_A = schema.audit.c
_TOLD = select(schema.audit).where(_A.object_id == bindparam("b_sender"), _A.entry == RENAMED)


def former_senders(conn: Connection, sender: str) -> dict[str, int]:
    """The former names of this sender according to the audit trail, each with the time until which it had that name.
    Raises VaultError if such an entry was altered."""
    found: dict[str, int] = {}
    names = [(sender, sys.maxsize)]
    for name, until_ms in names:
        for one in audit.opened(conn.execute(_TOLD, {"b_sender": name}), vault_of(conn)):
            old = one.detail["old"]
            # Later entries are about another sender, which got the name when it was free.
            if found.get(old, -1) < one.at_ms <= until_ms:
                found[old] = one.at_ms
                names.append((old, one.at_ms))
    return found
