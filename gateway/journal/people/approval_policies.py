"""Approval policies in the journal: one sealed row a version, never changed. The last one is in force."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.driver import first_row
from gateway.journal.sql.vault import Vault
from gateway.journal.sql.vaults import vault_of
from gateway.people import approval_policy
from gateway.people.approval_policy import ApprovalPolicy

SUBJECT = "approvals"
"""What a proposal for a new policy is about."""
_C = schema.approval_policies.c
_LAST = select(schema.approval_policies).order_by(_C.version.desc()).limit(1)
_MEMO = "approval_policy"
NO_POLICY = ApprovalPolicy()


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A version, when it came into force, and the proposal by which two persons signed it."""

    policy: ApprovalPolicy
    at_ms: int
    proposal: str


def last(conn: Connection) -> PolicyRow | None:
    """The policy in force; None if there never was one. VaultError if the row was altered."""
    row: Any = first_row(conn, _LAST, {})
    return None if row is None else _read(vault_of(conn), row.version, row.at_ms, row.body)


def in_force(tx: Tx) -> ApprovalPolicy:
    """The policy in force, read once in a transaction; without one, nothing needs an approval."""
    if _MEMO not in tx.memo:
        found = last(tx.raw)
        tx.memo[_MEMO] = NO_POLICY if found is None else found.policy
    policy: ApprovalPolicy = tx.memo[_MEMO]
    return policy


def of_version(conn: Connection, version: int) -> ApprovalPolicy | None:
    """The policy with this number."""
    row = conn.execute(select(schema.approval_policies).where(_C.version == version)).first()
    return None if row is None else _read(vault_of(conn), row.version, row.at_ms, row.body).policy


def listing(conn: Connection, limit: int = 50) -> list[PolicyRow]:
    """All versions, the newest first."""
    vault = vault_of(conn)
    found = conn.execute(select(schema.approval_policies).order_by(_C.version.desc()).limit(limit))
    return [_read(vault, row.version, row.at_ms, row.body) for row in found]


def write(tx: Tx, text: str, proposal: str) -> ApprovalPolicy | None:
    """Put the next version in force. None if another node put one in force in this moment."""
    before = last(tx.fresh)
    version = 1 if before is None else before.policy.version + 1
    policy = replace(approval_policy.parse(text), version=version)
    body = json.dumps({"text": policy.text(), "proposal": proposal}).encode()
    new = insert_new(tx.fresh, schema.approval_policies, {
        "version": version, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(version)),
    })  # fmt: skip
    tx.memo.pop(_MEMO, None)
    return policy if new else None


def _aad(version: int) -> bytes:
    return f"approval_policies/body/{version}".encode()


@lru_cache(maxsize=64)
def _read(vault: Vault, version: int, at_ms: int, sealed: bytes) -> PolicyRow:
    said = json.loads(vault.open(sealed, _aad(version)))
    return PolicyRow(replace(approval_policy.parse(said["text"]), version=version), at_ms, said["proposal"])
