"""Approval policies in the journal: one sealed row a version, never changed. The last one is in force.

The audit trail also names the last version. If the last row was altered or deleted by SQL, no policy can be trusted:
nothing is sent and no approval is complete until two persons have put another policy in force.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from sqlalchemy import Connection, select

from gateway.approvals.rules import approval_policy
from gateway.approvals.rules.approval_policy import ApprovalPolicy
from gateway.kernel.commit import registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

SUBJECT = "approvals"
"""The subject of a proposal for a new policy."""
_C = schema.approval_policies.c
_LAST = select(schema.approval_policies).order_by(_C.version.desc()).limit(1)
_MEMO = "approval_policy"
_SEAL = row_seal(schema.approval_policies)
_NOW = "nothing that moves money leaves; put a policy in force: bankgw policy propose"
NO_POLICY = ApprovalPolicy()


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A version of the approval policy, when it came into force, and the proposal by which two persons signed it."""

    policy: ApprovalPolicy
    at_ms: int
    proposal: str


def last(conn: Connection) -> PolicyRow | None:
    """The policy in force; None if there never was one. If its row was altered or deleted, a policy whose `altered`
    says so."""
    row: Any = first_row(conn, _LAST, {})
    vault = vault_of(conn)
    try:
        if row is None:
            registers.check_absent(conn, _SEAL.table, "the last version")
            return None
        _SEAL.check(vault, row)
        registers.check(conn, _SEAL.table, row.seal)
        return _read(vault, row.version, row.at_ms, row.body)
    except (SealBroken, VaultError) as error:
        broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, str(row.version))
        registers.report(vault, broken, _NOW)
        said = registers.newest(conn, _SEAL.table).words.get("version", 0)
        version = max(said, 0 if row is None else row.version)
        return PolicyRow(ApprovalPolicy(version=version, altered=str(broken)), 0, "")


def why_not_renamed(conn: Connection, old: str, new: str) -> str:
    """Why a sender cannot get another name: the policy in force has bands for it. "" if it can."""
    policy = last(conn)
    if policy is None or all(band.sender != old for band in policy.policy.bands):
        return ""
    return (
        f"the approval policy in force has bands for sender={old}, which would not hold for {new}; "
        f"have two persons put a policy in force that names {new} there, then rename"
    )


def in_force(tx: Tx) -> ApprovalPolicy:
    """The policy in force, read once in a transaction; without one, nothing needs an approval."""
    if _MEMO not in tx.memo:
        found = last(tx.raw)
        tx.memo[_MEMO] = NO_POLICY if found is None else found.policy
    policy: ApprovalPolicy = tx.memo[_MEMO]
    return policy


def members(tx: Tx, group: str) -> frozenset[str]:
    """The persons of a group by the policy in force; if that has no such group, by the last policy that had it. A
    request asks for groups of the policy of its time, and could never be approved if such a group were empty.
    """
    for one in _each(tx.raw):
        if group in one.policy.groups:
            return one.policy.groups[group]
    return frozenset()


def listing(conn: Connection, limit: int = 50) -> list[PolicyRow]:
    """All versions of the approval policy, the newest first."""
    return list(islice(_each(conn), limit))


def _each(conn: Connection) -> Iterator[PolicyRow]:
    vault = vault_of(conn)
    for row in conn.execute(select(schema.approval_policies).order_by(_C.version.desc())).all():
        try:
            _SEAL.check(vault, row)
            yield _read(vault, row.version, row.at_ms, row.body)
        except (SealBroken, VaultError) as error:
            broken = error if isinstance(error, SealBroken) else SealBroken(_SEAL.table, str(row.version))
            registers.report(vault, broken, "this version of the policy is ignored; see the audit trail")


def put_in_force(tx: Tx, text: str, proposal: str) -> ApprovalPolicy | None:
    """Put the next version of the policy in force. None if another node put one in force at the same moment."""
    before = last(tx.fresh)
    version = 1 if before is None else before.policy.version + 1
    policy = replace(approval_policy.parse(text), version=version)
    body = json.dumps({"text": policy.text(), "proposal": proposal}).encode()
    columns = _SEAL.with_seal(
        tx.vault, {"version": version, "at_ms": tx.now_ms, "body": tx.vault.seal(body, _aad(version))}
    )
    new = insert_new(tx.fresh, schema.approval_policies, columns)
    if new:
        registers.note(tx, _SEAL.table, columns["seal"], {"version": version})
    tx.memo.pop(_MEMO, None)
    return policy if new else None


def seal_old_row(tx: Tx, row: Any) -> dict[str, Any]:
    """Check a policy's row from before schema 17, and return the values that seal it. See unsealed_rows."""
    _read(tx.vault, row.version, row.at_ms, row.body)
    seal = _SEAL.over(tx.vault, dict(row._mapping))
    registers.note(tx, _SEAL.table, seal, {"version": row.version})
    return {"seal": seal}


def _aad(version: int) -> bytes:
    return f"approval_policies/body/{version}".encode()


@lru_cache(maxsize=64)
def _read(vault: Vault, version: int, at_ms: int, sealed: bytes) -> PolicyRow:
    said = json.loads(vault.open(sealed, _aad(version)))
    return PolicyRow(replace(approval_policy.parse(said["text"]), version=version), at_ms, said["proposal"])
