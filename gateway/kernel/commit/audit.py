"""The audit trail: each act with its actor and its object, as a hash chain in which any change is detected.

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

from sqlalchemy import Connection, bindparam, delete, func, insert, inspect, or_, select

from gateway.kernel.commit import chain_check
from gateway.kernel.commit.permit_lines import RightsDecision
from gateway.kernel.commit.rows import Head, PendingEntry
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import driver, schema
from gateway.kernel.sql.driver import first_row, write_many
from gateway.kernel.sql.vault import Vault, VaultError
from protocols.kit.json_writer import json_writer

GENESIS = "0" * 64
REGISTER_ENTRY = "register.written"
"""An entry that names the newest version of a row, and the entry of this kind before it: see `registers`."""
COUNTED = 200_000
"""How many entries at the end of a chain are counted at a start: more would delay the start by a second or longer.
`bankgw audit verify` reads all of them."""
COMPARED = 20_000
"""How many entries at the end of each chain are compared with their hashes at a start: 0.13 s and 20 MB."""
_WORDS = ("policy.in_force", "pool.in_force", "company.paused", "company.resumed")
_BASE = "audit-base:"
_encode = json_writer(sort_keys=True)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit entry with its detail decrypted."""

    node: str
    seq: int
    at_ms: int
    actor: str
    entry: str
    object_id: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditBase:
    """Where a node's audit chain begins after its first entries were deleted: their number, the hash of the last one,
    the range of their Merkle tree, and the signed checkpoint that replaces them.
    """

    size: int = 0
    hash: str = GENESIS
    tree: tuple[tuple[int, bytes], ...] = ()
    note: str = ""

    def value(self, vault: Vault, node: str) -> str:
        """This base as the value of a row in `meta`, with a MAC, so that only a holder of the vault's key can move the
        beginning.
        """
        said = {
            "size": self.size,
            "hash": self.hash,
            "note": self.note,
            "tree": [[level, hashed.hex()] for level, hashed in self.tree],
        }
        return _encode({**said, "mac": _base_mac(vault, node, said)})


def _base_mac(vault: Vault, node: str, said: Mapping[str, Any]) -> str:
    return vault.mac(b"audit base\n" + _encode([node, said]).encode()).hex()


def bases(conn: Connection) -> dict[str, AuditBase]:
    """The base of each node's audit chain, for the nodes whose first entries were deleted."""
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
    """Record in the audit trail that `actor` did `entry_kind` to `object_id`. Every unit that changes anything calls
    this.
    """
    tx.notes.append(PendingEntry(tx.now_ms, actor, entry_kind, object_id, _encode(detail or {}).encode()))


def chain(tx: Tx) -> list[dict[str, Any]]:
    """Chain the group's audit entries to the node's audit chain and move its head. Returns the entries' rows."""
    node, head, rows = tx.chain.node, tx.chain.head, []
    for note in tx.notes:
        seq = head.seq + 1
        header = chain_check.header(node, seq, note.at_ms, note.actor, note.entry, note.object_id, head.hash)
        detail = tx.vault.seal(_listed(tx, note, seq), header)
        digest = _digest(header, detail)
        rows.append(
            {
                "node": node,
                "seq": seq,
                "at_ms": note.at_ms,
                "actor": note.actor,
                "entry": note.entry,
                "object_id": note.object_id,
                "detail": detail,
                "prev_hash": head.hash,
                "hash": digest,
            }
        )
        head = Head(seq, digest)
    tx.chain.head = head
    return rows


def _listed(tx: Tx, note: PendingEntry, seq: int) -> bytes:
    """The detail of an entry. An entry about a register names the register entry before it, and becomes the last entry
    of that list.
    """
    if note.entry != REGISTER_ENTRY:
        return note.detail
    before, tx.chain.rows_seq = tx.chain.rows_seq, seq
    return _encode({**json.loads(note.detail), "before": before}).encode()


def flush(tx: Tx, rows: list[dict[str, Any]]) -> None:
    """Write the rows of the group's chained audit entries."""
    if rows:
        write_many(tx.raw, _INSERT, rows)


# Entries whose loss does no harm: a node can repeat its own acts or ask the bank, and senders can repeat questions and
# refused commands.
_OWN = ("node:", "lane:", "watch:")
_HARMLESS = ("question.", "command.refused", "order.repeated", "directory.", "accounts.shown", "access.", "sign_in.")


def others(notes: Sequence[PendingEntry]) -> int:
    """The number of these entries that came from outside the node: orders, cancellations, and persons' decisions."""
    return sum(not note.actor.startswith(_OWN) and not note.entry.startswith(_HARMLESS) for note in notes)


def is_word(entry: str) -> bool:
    """True for an entry in which persons decided about rights, policies, pools or a company's pause. The permit log
    names each of them."""
    return entry.startswith(("person.", "delegation.")) or entry in _WORDS


def rights_decisions(node: str, notes: Sequence[PendingEntry], last_seq: int) -> list[RightsDecision]:
    """The decisions about rights, policies and pools in a group whose last entry is `last_seq`."""
    first = last_seq - len(notes) + 1
    return [
        RightsDecision(node, seq, note.entry, note.object_id, _by(note.actor, json.loads(note.detail)))
        for seq, note in enumerate(notes, first)
        if is_word(note.entry)
    ]


def words_of(conn: Connection, vault: Vault, node: str, after: int, until: int) -> list[RightsDecision]:
    """The decisions about rights, policies and pools in the entries of a node after `after`, up to `until`."""
    mine = (_A.node == node) & (_A.seq > after) & (_A.seq <= until)
    found = conn.execute(select(schema.audit).where(mine, _IS_WORD).order_by(_A.seq)).all()
    entries = opened(found, vault)
    return [RightsDecision(node, one.seq, one.entry, one.object_id, _by(one.actor, one.detail)) for one in entries]


def _by(actor: str, detail: Mapping[str, Any]) -> str:
    named = detail.get("by")
    return ",".join(map(str, named)) if isinstance(named, list) else actor


def head_seal(
    vault: Vault, node: str, unit: str, at_ms: int, head: Head, before_seq: int, rows_seq: int | None = None
) -> str:
    """A MAC over a row of `units`, so that nobody can move a head without the vault's key. `rows_seq` is None in rows
    of versions before schema 17."""
    said = [node, unit, at_ms, head.seq, head.hash, before_seq, *([] if rows_seq is None else [rows_seq])]
    return vault.mac(b"units\n" + _encode(said).encode()).hex()


def head_fits(vault: Vault, row: Any) -> bool:
    """True if a holder of the vault's key wrote this row of `units`. Rows in backups from before schema 17 have no
    `rows_seq`.
    """
    head, rows_seq = Head(row.audit_seq, row.audit_hash), row._mapping.get("rows_seq")
    if row.before_seq is None:
        return False
    return bool(row.seal == head_seal(vault, row.node, row.unit, row.at_ms, head, row.before_seq, rows_seq))


def head_of(conn: Connection, node: str) -> Head:
    """The head of a node's audit chain: its last entry."""
    found = first_row(conn, _HEAD, {"b_node": node})
    return Head(found.seq, found.hash) if found else Head(0, GENESIS)


def verify(conn: Connection, vault: Vault, each: Callable[[Any], object] | None = None) -> list[str]:
    """All defects of the chains, as sentences; empty if the chains are intact.

    The details are opened too, which detects a chain rebuilt without the key. `each` is called with every row, node by
    node and in order.
    """
    problems: list[str] = []
    nodes = set(conn.execute(select(schema.audit.c.node).distinct()).scalars())
    heads, begins = ends(conn), bases(conn)
    for node in sorted(nodes | set(heads)):
        problems.extend(_verify_node(conn, node, begins.get(node, AuditBase()), heads.get(node), vault, each))
    problems.extend(_forged_bases(conn, vault))
    problems.extend(_forged_ends(conn, vault))
    return problems


def ends(conn: Connection) -> dict[str, Head]:
    """The head of each node's audit chain, as the node's last commit recorded it."""
    # Only columns that every version has: a backup of an older version is verified before it is migrated.
    rows = conn.execute(select(_U.node, _U.audit_seq, _U.audit_hash))
    return {row.node: Head(row.audit_seq, row.audit_hash) for row in rows}


def unsealed(conn: Connection) -> list[str]:
    """The nodes whose head has no seal: only older versions wrote under the name, or somebody removed the seal."""
    return list(conn.execute(select(_U.node).where(_U.seal.is_(None)).order_by(_U.node)).scalars())


def why_not_continued(conn: Connection, vault: Vault, node: str, row: Any) -> str:
    """Why this node must not continue its audit chain; "" if it may. `row` is the node's row of `units`, None if it has
    none.

    The seal and the last entry must agree, none of the last COUNTED entries may be missing, and the last COMPARED ones
    must be as they were written. Otherwise a start would seal the chain again although somebody cut entries off, and a
    payment whose end an altered entry hides would be sent.
    """
    head, base = head_of(conn, node), bases(conn).get(node, AuditBase())
    if row is None:
        return "its end (table units) is gone" if head.seq or base.size else ""
    promised = Head(row.audit_seq, row.audit_hash)
    if row.seal is None:
        if vault.rows_sealed:
            return "its end (table units) carries no seal: somebody removed it"
    elif not head_fits(vault, row):
        return "its end (table units) was not written by a holder of the vault's key"
    if any(one.startswith(f"audit of {node}:") for one in _forged_bases(conn, vault)):
        return "its beginning (table meta) was not written by a holder of the vault's key"
    if head != promised:
        return f"it ends at entry {head.seq}, the last commit wrote entry {promised.seq}"
    first = max(base.size, head.seq - COUNTED)
    counted = select(func.count()).select_from(schema.audit).where(_A.node == node, _A.seq > first)
    missing = head.seq - first - int(conn.execute(counted).scalar_one())
    return f"{missing} of its entries after entry {first} are missing" if missing else recent_defect(conn, vault, node)


def defect_elsewhere(conn: Connection, vault: Vault, node: str) -> tuple[str, str]:
    """The first other node with a recent defect, and the defect; two empty texts if there is none. A hidden entry of
    another node may be the end of a payment, too."""
    others = sorted(ends(conn).keys() - {node})
    found = ((other, recent_defect(conn, vault, other)) for other in others)
    return next(((other, wrong) for other, wrong in found if wrong), ("", ""))


def recent_defect(conn: Connection, vault: Vault, node: str) -> str:
    """The first defect of a node's last COMPARED entries; "" if there is none. If another node writes meanwhile, the
    entries that one statement sees are compared.
    """
    last = driver.rows(conn, _LAST, {"b_node": node})
    last.reverse()
    before = None
    for row in last:
        if before is not None and (row.seq, row.prev_hash) != (before.seq + 1, before.hash):
            return f"its entry {row.seq} does not continue entry {before.seq}"
        if digest_of(row, vault) != row.hash or not authentic(row, vault):
            return f"its entry {row.seq} was altered"
        before = row
    return ""


def _forged_ends(conn: Connection, vault: Vault) -> Iterator[str]:
    there = {column["name"] for column in inspect(conn).get_columns(schema.units.name)}
    if "seal" not in there:
        return
    columns = [column for column in schema.units.c if column.name in there]
    for row in conn.execute(select(*columns).where(_U.seal.is_not(None)).order_by(_U.node)):
        if not head_fits(vault, row):
            yield f"audit of {row.node}: its end (table units) was not written by a holder of the vault's key"


def _verify_node(
    conn: Connection,
    node: str,
    base: AuditBase,
    promised: Head | None,
    vault: Vault,
    each: Callable[[Any], object] | None,
) -> Iterator[str]:
    head = Head(base.size, base.hash)
    # Some of the entries that the checkpoint stands for may not be deleted yet.
    statement = select(schema.audit).where(schema.audit.c.node == node, schema.audit.c.seq > base.size)
    for row in conn.execute(statement.order_by(schema.audit.c.seq).execution_options(yield_per=1000)):
        if row.seq != head.seq + 1:
            yield f"audit of {node}: entry {head.seq + 1} is missing; {row.seq} follows {head.seq}"
        elif row.prev_hash != head.hash:
            yield f"audit of {node}: entry {row.seq} does not continue entry {head.seq}"
        if digest_of(row, vault) != row.hash:
            yield f"audit of {node}: entry {row.seq} was altered"
        elif not authentic(row, vault):
            yield f"audit of {node}: entry {row.seq} was not written by a holder of the vault's key"
        head = Head(row.seq, row.hash)
        if each is not None:
            each(row)
    if promised is not None and head != promised:
        yield f"audit of {node}: it ends at entry {head.seq}, the last commit wrote entry {promised.seq}"


def entries_of(conn: Connection, vault: Vault, object_id: str) -> list[AuditEntry]:
    """All audit entries about one object, oldest first.

    Entries of one node are in the order in which it wrote them, even if its clock was set back meanwhile.
    """
    columns = schema.audit.c
    statement = select(schema.audit).where(columns.object_id == object_id).order_by(columns.node, columns.seq)
    latest_ms: dict[str, int] = {}
    placed: list[tuple[int, str, int, AuditEntry]] = []
    for entry in opened(conn.execute(statement), vault):
        latest_ms[entry.node] = max(entry.at_ms, latest_ms.get(entry.node, entry.at_ms))
        placed.append((latest_ms[entry.node], entry.node, entry.seq, entry))
    return [entry for *_place, entry in sorted(placed, key=lambda one: one[:3])]


def opened(rows: Iterable[Any], vault: Vault) -> list[AuditEntry]:
    """Rows of the audit table as entries with their details decrypted. Raises VaultError if a row was altered."""
    return [_entry(row, vault) for row in rows]


def _entry(row: Any, vault: Vault) -> AuditEntry:
    detail = json.loads(vault.open(row.detail, header_of(row)))
    return AuditEntry(row.node, row.seq, row.at_ms, row.actor, row.entry, row.object_id, detail)


def authentic(row: Any, vault: Vault) -> bool:
    """True if a holder of the vault's key wrote this row and it has not changed since."""
    try:
        vault.open(row.detail, header_of(row))
    except VaultError:
        return False
    return True


def header_of(row: Any) -> bytes:
    """The header of an audit row. The row's seal and hash cover the header and the detail."""
    return chain_check.header(row.node, row.seq, row.at_ms, row.actor, row.entry, row.object_id, row.prev_hash)


def digest_of(row: Any, vault: Vault) -> str:
    """The hash that this row must have by its content; "" if its detail was sealed anew and altered since.

    The hash covers the detail as it was sealed first: a rotation of the vault's key leaves the chain as it is.
    """
    header = header_of(row)
    try:
        return _digest(header, vault.original(row.detail, header))
    except VaultError:
        return ""


def _digest(header: bytes, detail: bytes) -> str:
    return hashlib.sha256(header + b"\n" + detail).hexdigest()


_A, _U = schema.audit.c, schema.units.c
_INSERT = insert(schema.audit)
_IS_WORD = or_(
    _A.entry.startswith("person.", autoescape=True),
    _A.entry.startswith("delegation.", autoescape=True),
    _A.entry.in_(_WORDS),
)
_LAST = select(schema.audit).where(_A.node == bindparam("b_node")).order_by(_A.seq.desc()).limit(COMPARED)
_HEAD = select(_A.seq, _A.hash).where(_A.node == bindparam("b_node")).order_by(_A.seq.desc()).limit(1)
