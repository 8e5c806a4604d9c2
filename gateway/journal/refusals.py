"""Commands we said no to: the refusal, the reply and the parked copy are one unit, then the command is acknowledged."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from gateway.journal import audit, schema
from gateway.journal.databases import insert_new
from gateway.journal.rows import OutboxRow
from gateway.journal.store import Tx
from gateway.journal.vaults import vault_of
from protocols.canon.errors import Code


@dataclass(frozen=True, slots=True)
class RefusalRow:
    """A refused command: `body` is the command as it came."""

    refusal: str
    sender: str | None
    code: Code
    at_ms: int
    body: bytes


def refuse(
    tx: Tx, key: str, sender: str | None, code: Code, body: bytes, reply: OutboxRow | None, parked: OutboxRow | None
) -> bool:
    """Write down that a command was refused, with what is to be published about it.

    `key` identifies the delivery (at most 255 characters). False when it was refused before: the command came again
    because its acknowledgement was lost, its reply is on its way already, and nothing is written.
    """
    row = {"refusal": key, "sender": sender, "code": code.value, "at_ms": tx.now_ms,
           "body": tx.vault.seal(body, _aad(key))}  # fmt: skip
    if not insert_new(tx.bare, schema.refusals, row):
        return False
    for mail in (reply, parked):
        if mail is not None:
            tx.mail(mail)
    detail = {"code": code.value, "replied": reply is not None, "parked": parked is not None}
    audit.append(tx, f"sender:{sender}" if sender else "sender:", "command.refused", key, detail)
    return True


def fetch(conn: Connection, key: str) -> RefusalRow | None:
    """The refusal of this delivery."""
    row = conn.execute(select(schema.refusals).where(schema.refusals.c.refusal == key)).first()
    if row is None:
        return None
    return RefusalRow(key, row.sender, Code(row.code), row.at_ms, vault_of(conn).open(row.body, _aad(key)))


def _aad(key: str) -> bytes:
    return b"refusals/body/" + key.encode()
