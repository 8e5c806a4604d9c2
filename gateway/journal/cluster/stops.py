"""The emergency stop: one person stops everything that moves money, on every node; two persons start it again.

Each stop or restart gets the next number, and the highest number holds. Its content is sealed, so that nobody can end a
stop by writing to the database alone. A row that cannot be opened counts as a stop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row
from gateway.journal.sql.vault import Vault, VaultError
from gateway.journal.sql.vaults import vault_of

STOPPED = "stopped"
"""The reason why a lane is paused while a stop is in force."""
SUBJECT = "gateway"
"""The subject of a stop in the audit trail and in proposals."""
_C = schema.stops.c
_LAST = select(schema.stops).order_by(_C.number.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Stop:
    """The present state: whether everything is stopped, and by whom. `number` 0: there was never a stop."""

    number: int = 0
    stopped: bool = False
    at_ms: int = 0
    by: str = ""
    reason: str = ""


def say(tx: Tx, actor: str, reason: str, *, stopped: bool, detail: Mapping[str, Any] | None = None) -> Stop:
    """Record a stop or a restart. A second stop changes nothing and returns the first one."""
    before = last(tx.raw)
    if before.stopped and stopped:
        return before
    word = Stop(before.number + 1, stopped, tx.now_ms, actor, reason)
    body = json.dumps({"by": actor, "reason": reason}, ensure_ascii=False).encode()
    # If two nodes write at once, one fails on the key and is run again.
    tx.fresh.execute(insert(schema.stops), {
        "number": word.number, "stopped": int(stopped), "at_ms": word.at_ms,
        "body": tx.vault.seal(body, _aad(word.number, stopped)),
    })  # fmt: skip
    entry = "gateway.stopped" if stopped else "gateway.restarted"
    audit.append(tx, actor, entry, SUBJECT, {"reason": reason, "number": word.number, **(detail or {})})
    return word


def last(conn: Connection) -> Stop:
    """The committed state."""
    row = first_row(conn, _LAST, {})
    return Stop() if row is None else _read(row, vault_of(conn))


def _read(row: Any, vault: Vault) -> Stop:
    try:
        said = json.loads(vault.open(row.body, _aad(row.number, bool(row.stopped))))
    except VaultError:
        return Stop(row.number, True, row.at_ms, "unknown", "this word in the journal was altered; see the audit trail")
    return Stop(row.number, bool(row.stopped), row.at_ms, said["by"], said["reason"])


def _aad(number: int, stopped: bool) -> bytes:
    return f"stops/body/{number}/{int(stopped)}".encode()
