"""Table `questions`: the ERP's questions to banks. Stored before the acknowledgement, deleted when answered."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, select

from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import OutboxRow, QuestionRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import rows, run_write
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

_C = schema.questions.c
_OPEN = select(schema.questions).order_by(_C.received_ms, _C.question)
_FORGET = delete(schema.questions).where(_C.question == bindparam("b_question"))


def ask(tx: Tx, row: QuestionRow) -> bool:
    """Store a question. False if it is stored already, because it was delivered twice."""
    reply = row.reply
    new = insert_new(
        tx.raw,
        schema.questions,
        {
            "question": row.question,
            "sender": row.sender,
            "operation": row.operation,
            "reply_to": reply.reply_to,
            "correlation_id": reply.correlation_id,
            "traceparent": reply.traceparent,
            "content_type": reply.content_type,
            "received_ms": row.received_ms,
            "expires_ms": row.expires_ms,
            "body": tx.vault.seal(row.body, _aad(row.question)),
        },
    )
    if new:
        audit.append(tx, f"sender:{row.sender}", "question.asked", row.question, {"operation": row.operation})
    return new


def answer(tx: Tx, question: str, reply: OutboxRow | None) -> bool:
    """Delete the question and enqueue its reply. False, and no message, if it was answered before."""
    if run_write(tx.raw, _FORGET, {"b_question": question}) != 1:
        return False
    if reply is not None:
        tx.enqueue(reply)
    audit.append(tx, f"node:{tx.node}", "question.answered", question, {"mailed": reply is not None})
    return True


def waiting(conn: Connection) -> tuple[list[QuestionRow], dict[str, str]]:
    """Every unanswered question that can be read, the oldest first; and separately the unreadable ones with their
    reasons. An unreadable question must not keep the others from an answer."""
    vault, found, sealed = vault_of(conn), list[QuestionRow](), dict[str, str]()
    for row in rows(conn, _OPEN, {}):
        try:
            found.append(_read(row, vault))
        except VaultError as error:
            sealed[row.question] = str(error)
    return found, sealed


def _aad(question: str) -> bytes:
    return b"questions/body/" + question.encode()


def _read(row: Any, vault: Vault) -> QuestionRow:
    return QuestionRow(
        question=row.question,
        sender=row.sender,
        operation=row.operation,
        body=vault.open(row.body, _aad(row.question)),
        reply=Reply(row.reply_to, row.correlation_id, row.traceparent, row.content_type),
        received_ms=row.received_ms,
        expires_ms=row.expires_ms,
    )
