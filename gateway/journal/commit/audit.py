"""The audit trail: who did what to which object, as a hash chain in which any change is detected.

Each node has its own chain. An entry's hash covers its position, its fields and its sealed detail. The seal's
associated data is the same header, so without the vault's key the chain cannot be rebuilt from the middle. The head of
each chain is also kept in `units`, so that removing entries from the end is detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, inspect, select

from gateway.journal.commit.rows import Head, Noted
from gateway.journal.commit.store import Tx
from gateway.journal.sql import schema
from gateway.journal.sql.driver import first_row, write_many
from gateway.journal.sql.vault import Vault, VaultError
from protocols.kit.json_writer import json_writer

GENESIS = "0" * 64
_BASE = "audit-base:"
_encode = json_writer(sort_keys=True)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit entry, opened."""

    node: str
    seq: int
    at_ms: int
    actor: str
    entry: str
    object_id: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditBase:
    """Where a chain begins whose first entries were deleted: how many they were, the hash of the last, the range of
    their Merkle tree, and the signed checkpoint that stands for them."""

    size: int = 0
    hash: str = GENESIS
    tree: tuple[tuple[int, bytes], ...] = ()
    note: str = ""

    def value(self, vault: Vault, node: str) -> str:
        """As a row of `meta`, with a MAC: only a holder of the vault's key can move the beginning."""
        said = {"size": self.size, "hash": self.hash, "note": self.note,
                "tree": [[level, hashed.hex()] for level, hashed in self.tree]}  # fmt: skip
        return _encode({**said, "mac": _base_mac(vault, node, said)})


def _base_mac(vault: Vault, node: str, said: Mapping[str, Any]) -> str:
    return vault.mac(b"audit base\n" + _encode([node, said]).encode()).hex()


def bases(conn: Connection) -> dict[str, AuditBase]:
    """Each node's beginning, for nodes whose first entries were deleted."""
    return {node: base for node, base, _said in _bases(conn)}


def begin_after(tx: Tx, base: AuditBase) -> None:
    """From now on this node's chain begins after `base`; the entries before it may be deleted."""
    name = f"{_BASE}{tx.node}"
    tx.fresh.execute(delete(schema.meta).where(schema.meta.c.name == name))
    tx.fresh.execute(insert(schema.meta), {"name": name, "value": base.value(tx.vault, tx.node)})
    append(tx, f"node:{tx.node}", "audit.purged", f"node:{tx.node}", {"entries": base.size, "hash": base.hash})


def _bases(conn: Connection) -> Iterator[tuple[str, AuditBase, dict[str, Any]]]:
    for row in conn.execute(select(schema.meta).where(schema.meta.c.name.startswith(_BASE))):
        said = json.loads(row.value)
        tree = tuple((int(level), bytes.fromhex(hashed)) for level, hashed in said["tree"])
        yield row.name.removeprefix(_BASE), AuditBase(said["size"], said["hash"], tree, said["note"]), said


def _forged_bases(conn: Connection, vault: Vault) -> Iterator[str]:
    for node, _base, said in _bases(conn):
        mac = said.pop("mac", "")
        if mac != _base_mac(vault, node, said):
            yield f"audit of {node}: its beginning (table meta) was not written by a holder of the vault's key"


def append(tx: Tx, actor: str, entry_kind: str, object_id: str, detail: Mapping[str, Any] | None = None) -> None:
    """Record that `actor` did `entry_kind` to `object_id`. Every unit that changes anything calls this."""
    tx.notes.append(Noted(tx.now_ms, actor, entry_kind, object_id, _encode(detail or {}).encode()))


def chain(tx: Tx) -> list[dict[str, Any]]:
    """Chain the group's audit entries; returns their rows and moves the chain's head to the last of them."""
    node, head, rows = tx.chain.node, tx.chain.head, []
    for note in tx.notes:
        seq = head.seq + 1
        header = _header(node, seq, note.at_ms, note.actor, note.entry, note.object_id, head.hash)
        detail = tx.vault.seal(note.detail, header)
        digest = _digest(header, detail)
        rows.append({
            "node": node, "seq": seq, "at_ms": note.at_ms, "actor": note.actor, "entry": note.entry,
            "object_id": note.object_id, "detail": detail, "prev_hash": head.hash, "hash": digest,
        })  # fmt: skip
        head = Head(seq, digest)
    tx.chain.head = head
    return rows


def flush(tx: Tx, rows: list[dict[str, Any]]) -> None:
    """Write the chained rows."""
    if rows:
        write_many(tx.raw, _INSERT, rows)


# After a loss, acts of the node itself can be repeated or enquired about; so can questions and refused commands.
_OWN = ("node:", "lane:", "watch:")
_HARMLESS = ("question.", "command.refused", "order.repeated", "directory.", "accounts.shown", "access.",
             "sign_in.")  # fmt: skip


def others(notes: Sequence[Noted]) -> int:
    """How many of these entries came from outside the node: orders, cancellations, decisions of persons."""
    return sum(not note.actor.startswith(_OWN) and not note.entry.startswith(_HARMLESS) for note in notes)


def head_seal(vault: Vault, node: str, unit: str, at_ms: int, head: Head, before_seq: int) -> str:
    """A MAC over a row of `units`, so that nobody can move a head without the vault's key."""
    return vault.mac(b"units\n" + _encode([node, unit, at_ms, head.seq, head.hash, before_seq]).encode()).hex()


def head_of(conn: Connection, node: str) -> Head:
    """The last entry of a node's chain."""
    found = first_row(conn, _HEAD, {"b_node": node})
    return Head(found.seq, found.hash) if found else Head(0, GENESIS)


def verify(conn: Connection, vault: Vault | None = None, each: Callable[[Any], object] | None = None) -> list[str]:
    """All defects of the chains, as sentences; empty if the chains are intact.

    With the vault the details are opened too, which detects a chain rebuilt without the key. `each` is called with
    every row, node by node and in order.
    """
    problems: list[str] = []
    nodes = set(conn.execute(select(schema.audit.c.node).distinct()).scalars())
    heads, begins = ends(conn), bases(conn)
    for node in sorted(nodes | set(heads)):
        problems.extend(_verify_node(conn, node, begins.get(node, AuditBase()), heads.get(node), vault, each))
    if vault is not None:
        problems.extend(_forged_bases(conn, vault))
        problems.extend(_forged_ends(conn, vault))
    return problems


def ends(conn: Connection) -> dict[str, Head]:
    """Each node's head as its last commit recorded it."""
    # Only columns that every version has: a backup of an older version is verified before it is migrated.
    rows = conn.execute(select(_U.node, _U.audit_seq, _U.audit_hash))
    return {row.node: Head(row.audit_seq, row.audit_hash) for row in rows}


def unsealed(conn: Connection) -> list[str]:
    """Nodes whose head has no seal: only older versions wrote under their name, or somebody removed the seal."""
    return list(conn.execute(select(_U.node).where(_U.seal.is_(None)).order_by(_U.node)).scalars())


def _forged_ends(conn: Connection, vault: Vault) -> Iterator[str]:
    if "seal" not in {column["name"] for column in inspect(conn).get_columns(schema.units.name)}:
        return
    for row in conn.execute(select(schema.units).where(_U.seal.is_not(None)).order_by(_U.node)):
        head = Head(row.audit_seq, row.audit_hash)
        if row.before_seq is None or row.seal != head_seal(vault, row.node, row.unit, row.at_ms, head, row.before_seq):
            yield f"audit of {row.node}: its end (table units) was not written by a holder of the vault's key"


def _verify_node(
    conn: Connection, node: str, base: AuditBase, promised: Head | None, vault: Vault | None,
    each: Callable[[Any], object] | None,
) -> Iterator[str]:  # fmt: skip
    head = Head(base.size, base.hash)
    # Of what the checkpoint stands for, some entries may not be deleted yet.
    statement = select(schema.audit).where(schema.audit.c.node == node, schema.audit.c.seq > base.size)
    for row in conn.execute(statement.order_by(schema.audit.c.seq).execution_options(yield_per=1000)):
        if row.seq != head.seq + 1:
            yield f"audit of {node}: entry {head.seq + 1} is missing; {row.seq} follows {head.seq}"
        elif row.prev_hash != head.hash:
            yield f"audit of {node}: entry {row.seq} does not continue entry {head.seq}"
        if digest_of(row) != row.hash:
            yield f"audit of {node}: entry {row.seq} was altered"
        elif vault is not None and not authentic(row, vault):
            yield f"audit of {node}: entry {row.seq} was not written by a holder of the vault's key"
        head = Head(row.seq, row.hash)
        if each is not None:
            each(row)
    if promised is not None and head != promised:
        yield f"audit of {node}: it ends at entry {head.seq}, the last commit wrote entry {promised.seq}"


def entries_of(conn: Connection, vault: Vault, object_id: str) -> list[AuditEntry]:
    """All audit entries about one object, oldest first."""
    columns = schema.audit.c
    statement = select(schema.audit).where(columns.object_id == object_id)
    return opened(conn.execute(statement.order_by(columns.at_ms, columns.node, columns.seq)), vault)


def opened(rows: Iterable[Any], vault: Vault) -> list[AuditEntry]:
    """Rows of the table as entries, their details opened. VaultError if one was altered."""
    return [_entry(row, vault) for row in rows]


def _entry(row: Any, vault: Vault) -> AuditEntry:
    detail = json.loads(vault.open(row.detail, header_of(row)))
    return AuditEntry(row.node, row.seq, row.at_ms, row.actor, row.entry, row.object_id, detail)


def authentic(row: Any, vault: Vault) -> bool:
    """True if this row was written by a holder of the vault's key and not changed since."""
    try:
        vault.open(row.detail, header_of(row))
    except VaultError:
        return False
    return True


def header_of(row: Any) -> bytes:
    """The header of a row, which its seal and its hash cover besides the detail."""
    return _header(row.node, row.seq, row.at_ms, row.actor, row.entry, row.object_id, row.prev_hash)


def _header(node: str, seq: int, at_ms: int, actor: str, entry: str, object_id: str, prev_hash: str) -> bytes:
    return _encode([node, seq, at_ms, actor, entry, object_id, prev_hash]).encode()


def digest_of(row: Any) -> str:
    """The hash that this row must have."""
    return _digest(header_of(row), row.detail)


def _digest(header: bytes, detail: bytes) -> str:
    return hashlib.sha256(header + b"\n" + detail).hexdigest()


_A, _U = schema.audit.c, schema.units.c
_INSERT = insert(schema.audit)
_HEAD = select(_A.seq, _A.hash).where(_A.node == bindparam("b_node")).order_by(_A.seq.desc()).limit(1)
