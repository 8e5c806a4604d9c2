"""Approvals and rejections in the journal: the person, the request and the signature. Rows never change."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select

from gateway.kernel.commit import registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import VaultError
from gateway.kernel.sql.vaults import vault_of

_DOMAIN = b"bankgw approvals 1"
_C = schema.approvals.c
_SEAL = row_seal(schema.approvals)


class ApprovalDecision(StrEnum):
    """An approver's decision. It is part of the signed bytes, so that a signature to approve cannot serve to reject, or
    the reverse."""

    APPROVE = "approve"
    REJECT = "reject"


def to_sign(digest: str, decision: ApprovalDecision) -> bytes:
    """The bytes that an approver signs for a request's digest."""
    return b"\n".join((_DOMAIN, decision.value.encode(), digest.encode()))


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One decision about a request. `key` is the fingerprint of the key that signed; `by_way_of` is `control`, or
    `sender:NAME` for a decision that an ERP sent."""

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
    """Store a decision. False if this person has decided this request already."""
    body = json.dumps(
        {
            "decision": row.decision.value,
            "maker": row.maker,
            "digest": row.digest,
            "key": row.key,
            "signature": b64encode(row.signature).decode(),
            "by_way_of": row.by_way_of,
            "reason": row.reason,
        },
        ensure_ascii=False,
    ).encode()
    return insert_new(
        tx.fresh,
        schema.approvals,
        _SEAL.with_seal(
            tx.vault,
            {
                "request": row.request,
                "person": row.person,
                "maker": row.maker,
                "decision": row.decision.value,
                "digest": row.digest,
                "at_ms": row.at_ms,
                "body": tx.vault.seal(body, _aad(row.request, row.person)),
            },
        ),
    )


def of_request(conn: Connection, request: str) -> list[ApprovalRow]:
    """All decisions about a request, the oldest first. A row that was altered by SQL does not count."""
    found = conn.execute(select(schema.approvals).where(_C.request == request).order_by(_C.at_ms, _C.person)).all()
    read = []
    for row in found:
        try:
            _SEAL.check(vault_of(conn), row)
            read.append(_read(conn, row))
        except (SealBroken, VaultError) as error:
            broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, f"{row.request}/{row.person}")
            registers.report(vault_of(conn), broken, "this approval does not count; see the audit trail")
    return read


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a decision's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    _read(tx.fresh, row)
    return {"seal": _SEAL.over(tx.vault, dict(row._mapping))}


def _read(conn: Connection, row: Any) -> ApprovalRow:
    said = json.loads(vault_of(conn).open(row.body, _aad(row.request, row.person)))
    made = ApprovalRow(
        row.request,
        row.person,
        said["maker"],
        ApprovalDecision(said["decision"]),
        said["digest"],
        row.at_ms,
        said["key"],
        b64decode(said["signature"]),
        said["by_way_of"],
        said["reason"],
    )
    # A row from before schema 17 has no seal: its clear columns must agree with the sealed body.
    there = (row.maker, row.decision, row.digest)
    if there != (made.maker, made.decision.value, made.digest):
        raise SealBroken(_SEAL.table, f"{row.request}/{row.person}")
    return made


def _aad(request: str, person: str) -> bytes:
    return f"approvals/body/{request}/{person}".encode()
