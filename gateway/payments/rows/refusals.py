"""Table `refusals`: refused commands. Refusal, reply and parked copy are one unit, before the acknowledgement."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import OutboxRow, OutboxState
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.errors import Code

_C, _O = schema.refusals.c, schema.outbox.c


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A refused command. `body` is the command, or only its beginning; then `size` and `sha256` describe the whole."""

    refusal: str
    sender: str | None
    code: Code
    at_ms: int
    body: bytes
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class KeptRefusals:
    """How many refusals and parked copies are kept, and how many are past their retention."""

    refusals: int
    parked: int
    over: int


def refuse(
    tx: Tx,
    key: str,
    sender: str | None,
    code: Code,
    body: bytes,
    reply: OutboxRow | None,
    parked: OutboxRow | None,
    *,
    size: int | None = None,
    sha256: str | None = None,
) -> bool:
    """Record a refused command and enqueue the messages about it.

    `key` identifies the delivery (at most 255 characters). `size` and `sha256` are those of the whole command if `body`
    is only its beginning. False if the delivery was refused before: it was repeated because its acknowledgement was
    lost, its reply exists already, and nothing is written.
    """
    row = {
        "refusal": key,
        "sender": sender,
        "code": code.value,
        "at_ms": tx.now_ms,
        "body": tx.vault.seal(body, _aad(key)),
        "size": size,
        "sha256": sha256,
        "parked": None if parked is None else parked.message_id,
    }
    if not insert_new(tx.raw, schema.refusals, row):
        return False
    for message in (reply, parked):
        if message is not None:
            tx.enqueue(message)
    detail: dict[str, object] = {"code": code.value, "replied": reply is not None, "parked": parked is not None}
    if size is not None:
        detail |= {"size": size, "sha256": sha256}
    audit.append(tx, f"sender:{sender}" if sender else "sender:", "command.refused", key, detail)
    return True


def fetch(conn: Connection, key: str) -> RefusalRow | None:
    """The refusal of this delivery."""
    row = conn.execute(select(schema.refusals).where(schema.refusals.c.refusal == key)).first()
    if row is None:
        return None
    return RefusalRow(
        key, row.sender, Code(row.code), row.at_ms, vault_of(conn).open(row.body, _aad(key)), row.size, row.sha256
    )


def held(conn: Connection, before_ms: int) -> KeptRefusals:
    """The number of kept rows, and how many are older than `before_ms`."""
    kept, parked = conn.execute(select(func.count(), func.count(_C.parked))).one()
    over = conn.execute(select(func.count()).where(_C.at_ms < before_ms)).scalar_one()
    return KeptRefusals(kept, parked, over)


def forget(tx: Tx, before_ms: int, most: int) -> int:
    """Delete up to `most` refusals older than `before_ms`, with their parked copies; returns how many.

    A copy that was not published yet stays. The audit trail keeps an entry of each refusal.
    """
    found = tx.raw.execute(
        select(_C.refusal, _C.parked).where(_C.at_ms < before_ms).order_by(_C.at_ms, _C.refusal).limit(most)
    ).all()
    if not found:
        return 0
    copies = [row.parked for row in found if row.parked is not None]
    if copies:
        tx.raw.execute(delete(schema.outbox).where(_O.message_id.in_(copies), _O.state != OutboxState.WAITING.value))
    tx.raw.execute(delete(schema.refusals).where(_C.refusal.in_([row.refusal for row in found])))
    audit.append(tx, f"node:{tx.node}", "refusals.forgotten", found[0].refusal, {"count": len(found)})
    return len(found)


def _aad(key: str) -> bytes:
    return b"refusals/body/" + key.encode()
