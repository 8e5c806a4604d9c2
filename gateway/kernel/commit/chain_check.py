"""Compares a payment's row with the audit chain's entries about it, before a decision is based on the row.

The seal of a row does not detect an older row of the same payment, nor a deleted attempt. The chain does: each change
of a payment is an entry with its version, and each send one with its number.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import rows
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from protocols.kit.json_writer import json_writer

SENDS = frozenset({"payment.send", "payment.replay"})
"""The entries about a send."""
ToldStep = tuple[str, Mapping[str, Any]]
"""An entry about a payment and its detail, which has the payment's version."""
_A, _S = schema.audit.c, schema.attempts.c
_ENTRIES = select(schema.audit).where(_A.object_id == bindparam("b_payment"))
_ATTEMPTS = select(_S.attempt).where(_S.payment == bindparam("b_payment"))
_encode = json_writer(sort_keys=True)


def header(node: str, seq: int, at_ms: int, actor: str, entry: str, object_id: str, prev_hash: str) -> bytes:
    """The header of an audit entry. The entry's seal and hash cover the header and the detail."""
    return _encode([node, seq, at_ms, actor, entry, object_id, prev_hash]).encode()


def check(conn: Connection, vault: Vault, row: Any) -> None:
    """Raise SealBroken unless a payment's row has the version, the state and the number of sends that are in the audit
    chain.

    No change of the payment may be pending, because changes of the present group are not in the chain yet.
    """
    asked = {"b_payment": row.payment}
    written = [one.attempt for one in rows(conn, _ATTEMPTS, asked)]
    if sorted(written) != list(range(1, row.attempt + 1)):
        raise SealBroken("payments", row.payment, f"names {row.attempt} sends, and table attempts has {len(written)}")
    steps = _steps(vault, row.payment, rows(conn, _ENTRIES, asked))
    if not steps:
        raise SealBroken("payments", row.payment, "has no entry in the audit chain")
    last = max((detail for _entry, detail in steps), key=lambda detail: int(detail["version"]))
    if (last["version"], last["after"], last["seq"]) != (row.version, row.state, row.seq):
        raise SealBroken(
            "payments",
            row.payment,
            f"has version {row.version} ({row.state}), and the audit chain has version "
            f"{last['version']} ({last['after']})",
        )
    sends = sends_of(steps)
    if sends != list(range(1, row.attempt + 1)):
        raise SealBroken("payments", row.payment, f"names {row.attempt} sends, and the audit chain has sends {sends}")


def sends_of(steps: Sequence[ToldStep]) -> list[int]:
    """The attempt numbers of the sends in these entries. A send that has two entries is listed twice."""
    return sorted(int(detail["attempt"]) for entry, detail in steps if entry in SENDS)


def _steps(vault: Vault, payment: str, entries: Sequence[Any]) -> list[ToldStep]:
    found = list[ToldStep]()
    for one in entries:
        if not one.entry.startswith("payment."):
            continue
        said = header(one.node, one.seq, one.at_ms, one.actor, one.entry, one.object_id, one.prev_hash)
        try:
            detail = json.loads(vault.open(one.detail, said))
        except VaultError:
            raise SealBroken("audit", f"{one.node}/{one.seq} about payment {payment}") from None
        if "version" in detail:
            found.append((one.entry, detail))
    return found
