"""Approval policies in the journal: one sealed row a version, never changed. The last one is in force."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
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


def members(tx: Tx, group: str) -> frozenset[str]:
    """Who is of a group: by the policy in force, or the last one that had it. A request asks for groups of the policy
    of its time, and one that nobody is of any more could never be approved."""
    for one in _each(tx.raw):
        if group in one.policy.groups:
            return one.policy.groups[group]
    return frozenset()


def listing(conn: Connection, limit: int = 50) -> list[PolicyRow]:
    """All versions, the newest first."""
    return list(islice(_each(conn), limit))


def _each(conn: Connection) -> Iterator[PolicyRow]:
    vault = vault_of(conn)
    for row in conn.execute(select(schema.approval_policies).order_by(_C.version.desc())).all():
        yield _read(vault, row.version, row.at_ms, row.body)


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
