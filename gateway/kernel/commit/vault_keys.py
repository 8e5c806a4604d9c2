"""The vault key in use: the journal says with which key new values are sealed, so that all nodes change it at once.

Each activation of a key is a row with the next number, and the highest number counts. A journal without such a row uses
the key that the key file names. The row is a register (see `registers`): an older row that somebody put back, or the
newest one that somebody deleted, is noticed, and cannot make the gateway seal with a key that is known to strangers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from gateway.kernel.commit import audit, registers
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

RECENTLY_MS = 60_000
"""A node that has committed in this time counts as running."""
FIRST = "0018"
"""The first schema whose programs can read a journal in which a key was activated."""
_SEAL = row_seal(schema.vault_keys)
_K, _N, _U, _M = schema.vault_keys.c, schema.vault_nodes.c, schema.units.c, schema.meta.c
_LAST = select(schema.vault_keys).order_by(_K.number.desc()).limit(1)


class CannotActivate(Exception):  # noqa: N818 - an answer, not a fault
    """The key cannot be activated now; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation: from `at_ms` on new values are sealed with `key`, until then they were with `before`."""

    number: int
    key: str
    before: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class NodeKeys:
    """What a node's vault has, as the node told it last: the names of its keys, and the key that it seals with."""

    keys: tuple[str, ...]
    uses: str


def in_use(conn: Connection) -> Activation | None:
    """The last activation; None if no key was ever activated. Raises SealBroken if somebody altered the table."""
    row: Any = first_row(conn, _LAST, {})
    if row is None:
        registers.check_absent(conn, _SEAL.table, "the last activation")
        return None
    _SEAL.check(vault_of(conn), row)
    registers.check(conn, _SEAL.table, row.seal)
    return Activation(row.number, row.name, row.earlier, row.at_ms)


def activations(conn: Connection) -> list[Activation]:
    """All activations, the first one first."""
    rows = conn.execute(select(schema.vault_keys).order_by(_K.number))
    return [Activation(row.number, row.name, row.earlier, row.at_ms) for row in rows]


def take_up(conn: Connection, vault: Vault) -> None:
    """Let the vault of a process that is about to write seal with the key in use. Raises SealBroken, VaultError.

    A vault with one key has no choice, so an altered audit entry, which might be about a key, does not keep it away.
    """
    try:
        found = in_use(conn)
    except SealBroken:
        if len(vault.names) == 1:
            return
        raise
    if found is not None:
        vault.use(found.key)


def tell(tx: Tx) -> NodeKeys:
    """Write down what this node's vault has. Its earlier transactions are committed before: what they sealed with
    another key is in the tables when others read this row."""
    found = NodeKeys(tx.vault.names, tx.vault.current)
    tx.raw.execute(delete(schema.vault_nodes).where(_N.node == tx.node))
    tx.raw.execute(
        insert(schema.vault_nodes),
        {"node": tx.node, "vault_keys": json.dumps(found.keys), "uses": found.uses, "at_ms": tx.now_ms},
    )
    return found


def told(conn: Connection) -> Mapping[str, NodeKeys]:
    """What each node's vault has, by node."""
    return {
        row.node: NodeKeys(tuple(json.loads(row.vault_keys)), row.uses)
        for row in conn.execute(select(schema.vault_nodes).order_by(_N.node))
    }


def behind(conn: Connection, activation: Activation) -> tuple[list[str], list[str]]:
    """The nodes that do not seal with the activated key as far as the journal tells: those that have committed since
    the activation, and those that have not."""
    nodes = told(conn)
    active, silent = list[str](), list[str]()
    for row in conn.execute(select(_U.node, _U.at_ms).order_by(_U.node)):
        if row.node in nodes and nodes[row.node].uses == activation.key:
            continue
        (active if row.at_ms >= activation.at_ms else silent).append(row.node)
    return active, silent


def activate(tx: Tx, name: str, actor: str, reason: str) -> Activation:
    """Seal new values with this key from now on, on every node. Raises CannotActivate.

    Every running node must have the key already, and a program that can read what is sealed with it. Programs of
    before schema 18 are refused from now on. The key in use may be activated again: then what is under another key, as
    after a restored database, is sealed anew once more.
    """
    try:
        tx.vault.refresh()
        before = in_use(tx.fresh)
    except (SealBroken, VaultError) as error:
        raise CannotActivate(str(error)) from None
    if name not in tx.vault.names:
        raise CannotActivate(f"node {tx.node!r} does not have vault key {name!r}: run `bankgw keys prepare vault`")
    if not tx.vault.rows_sealed:
        raise CannotActivate("the journal's rows are not sealed yet (see `bankgw status`); activate the key after that")
    used = tx.vault.current if before is None else before.key
    _refuse_nodes_without(tx, name)
    made = Activation(1 if before is None else before.number + 1, name, used, tx.now_ms)
    # If two nodes write at once, one fails on the number and is run again.
    columns = _SEAL.with_seal(tx.vault, {"number": made.number, "name": name, "earlier": used, "at_ms": tx.now_ms})
    tx.fresh.execute(insert(schema.vault_keys), columns)
    registers.note(tx, _SEAL.table, columns["seal"], {"number": made.number})
    older = (_M.name == "beside") & (_M.value < FIRST)
    tx.fresh.execute(update(schema.meta).where(older).values(value=FIRST))
    audit.append(
        tx, actor, "vault.key_activated", f"vault:{name}", {"before": used, "number": made.number, "reason": reason}
    )
    return made


def _refuse_nodes_without(tx: Tx, name: str) -> None:
    """Raise CannotActivate if a running node has not told that it has the key."""
    nodes = told(tx.fresh)
    running = tx.fresh.execute(select(_U.node).where(_U.at_ms > tx.now_ms - RECENTLY_MS, _U.node != tx.node))
    lacking = sorted(node for node in running.scalars() if node not in nodes or name not in nodes[node].keys)
    if lacking:
        raise CannotActivate(
            f"vault key {name!r} is missing on {', '.join(lacking)}: copy the key file there; a node notices it within "
            f"10 seconds, and one of an older version must be updated first"
        )
