"""The emergency stop: one person stops everything that moves money, on every node; two persons start it again.

Each stop or restart gets the next number, and the highest number holds. Its content is sealed, so that nobody can end a
stop by writing to the database alone. A row that was altered, or deleted by SQL, counts as a stop; two persons who
start the gateway again write the next one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, insert, select

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

STOPPED = "stopped"
"""The reason why a lane is paused while a stop is in force."""
SUBJECT = "gateway"
"""The subject of a stop in the audit trail and in proposals."""
_C = schema.stops.c
_SEAL = row_seal(schema.stops)
_NOW = "counts as a stop: nothing that moves money is sent; two persons start it: bankgw restart-all"
_LAST = select(schema.stops).order_by(_C.number.desc()).limit(1)


@dataclass(frozen=True, slots=True)
class Stop:
    """The state of the emergency stop: whether everything is stopped, and by whom. `number` 0: there was never a stop.

    `altered` are the rows of registers that this process found to be altered; the receiver of the stop's state raises
    the alarm.
    """

    number: int = 0
    stopped: bool = False
    at_ms: int = 0
    by: str = ""
    reason: str = ""
    altered: tuple[str, ...] = field(default=(), compare=False)


def say(tx: Tx, actor: str, reason: str, *, stopped: bool, detail: Mapping[str, Any] | None = None) -> Stop:
    """Record an emergency stop or its end. A second stop changes nothing and returns the first one."""
    before = last(tx.raw)
    if before.stopped and stopped:
        return before
    word = Stop(before.number + 1, stopped, tx.now_ms, actor, reason)
    body = json.dumps({"by": actor, "reason": reason}, ensure_ascii=False).encode()
    # If two nodes write at once, one fails on the key and is run again.
    columns = _SEAL.with_seal(
        tx.vault,
        {
            "number": word.number,
            "stopped": int(stopped),
            "at_ms": word.at_ms,
            "body": tx.vault.seal(body, _aad(word.number, stopped)),
        },
    )
    tx.fresh.execute(insert(schema.stops), columns)
    registers.note(tx, _SEAL.table, columns["seal"], {"number": word.number})
    entry = "gateway.stopped" if stopped else "gateway.restarted"
    audit.append(tx, actor, entry, SUBJECT, {"reason": reason, "number": word.number, **(detail or {})})
    return word


def last(conn: Connection) -> Stop:
    """The committed state of the emergency stop."""
    found = _last(conn)
    return replace(found, altered=registers.altered(vault_of(conn)))


def _last(conn: Connection) -> Stop:
    row: Any = first_row(conn, _LAST, {})
    vault = vault_of(conn)
    try:
        if row is not None:
            _SEAL.check(vault, row)
            registers.check(conn, _SEAL.table, row.seal)
            return _read(row, vault)
        registers.check_absent(conn, _SEAL.table, "the last stop")
        return Stop()
    except (SealBroken, VaultError) as error:
        broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, str(row.number))
        registers.report(vault, broken, _NOW)
        said = registers.newest(conn, _SEAL.table).words.get("number", 0)
        number = max(said, 0 if row is None else row.number)
        return Stop(number, True, 0, "unknown", "the stop's row in the journal was altered; see the audit trail")


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a row of an emergency stop from before schema 17, and return the values that seal it. See unsealed_rows."""
    _read(row, tx.vault)
    seal = _SEAL.over(tx.vault, dict(row._mapping))
    registers.note(tx, _SEAL.table, seal, {"number": row.number})
    return {"seal": seal}


def _read(row: Any, vault: Vault) -> Stop:
    said = json.loads(vault.open(row.body, _aad(row.number, bool(row.stopped))))
    return Stop(row.number, bool(row.stopped), row.at_ms, said["by"], said["reason"])


def _aad(number: int, stopped: bool) -> bytes:
    return f"stops/body/{number}/{int(stopped)}".encode()
