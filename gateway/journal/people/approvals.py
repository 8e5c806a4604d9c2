"""Approvals and rejections in the journal: who said so about which request, with the signature. Rows never change."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of

_DOMAIN = b"bankgw approvals 1"
_C = schema.approvals.c


class ApprovalDecision(StrEnum):
    """What an approver says. It is part of the signed bytes, so that one signature cannot serve as the other."""

    APPROVE = "approve"
    REJECT = "reject"


def to_sign(digest: str, decision: ApprovalDecision) -> bytes:
    """The bytes that an approver signs for a request's digest."""
    return b"\n".join((_DOMAIN, decision.value.encode(), digest.encode()))


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """`key` is the fingerprint of the key that signed; `by_way_of` is `control`, or `sender:NAME` for an ERP's word."""

    request: str
    person: str
    maker: str | None
    decision: ApprovalDecision
    digest: str
    at_ms: int
    key: str
    signature: bytes
    by_way_of: str
    reason: str = ""


def record(tx: Tx, row: ApprovalRow) -> bool:
    """Write it down. False if this person has decided this request already."""
    body = json.dumps({
        "decision": row.decision.value, "maker": row.maker, "digest": row.digest, "key": row.key,
        "signature": b64encode(row.signature).decode(), "by_way_of": row.by_way_of, "reason": row.reason,
    }, ensure_ascii=False).encode()  # fmt: skip
    return insert_new(tx.fresh, schema.approvals, {
        "request": row.request, "person": row.person, "maker": row.maker, "decision": row.decision.value,
        "digest": row.digest, "at_ms": row.at_ms, "body": tx.vault.seal(body, _aad(row.request, row.person)),
    })  # fmt: skip


def of_request(conn: Connection, request: str) -> list[ApprovalRow]:
    """All that was said about a request, the first first. VaultError if a row was altered."""
    found = conn.execute(select(schema.approvals).where(_C.request == request).order_by(_C.at_ms, _C.person))
    return [_read(conn, row) for row in found]


def _read(conn: Connection, row: Any) -> ApprovalRow:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.request, row.person)))
    made = ApprovalRow(
        row.request, row.person, said["maker"], ApprovalDecision(said["decision"]), said["digest"], row.at_ms,
        said["key"], b64decode(said["signature"]), said["by_way_of"], said["reason"],
    )  # fmt: skip
    # The sealed approval is authentic; the clear columns beside it must agree with it.
    there = (row.maker, row.decision, row.digest)
    assert there == (made.maker, made.decision.value, made.digest), f"approval of {row.request}: columns were altered"
    return made


def _aad(request: str, person: str) -> bytes:
    return f"approvals/body/{request}/{person}".encode()
