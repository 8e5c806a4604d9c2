"""Registers: rows about persons' rights, and about the policies and pools in force. The audit trail names the last
version of each row.

A seal shows that a row was altered. It does not show that an older row of the gateway was put back, or that the newest
row was deleted. So each write of a register appends an audit entry that names the row's seal and a count, and each read
on which a decision is based compares the row with the newest of these entries. The entries of one node are a list: each
names the one before it, and the node's sealed row in `units` names the last. A process reads the lists at its start, so
that no entry can be removed from them or hidden under another name. Later commits are added: those of this process at
once, those of other nodes at the next heartbeat. So while the process runs, no row can be put back or deleted together
with its entry.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from gateway.kernel import log
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.driver import first_row, rows
from gateway.kernel.sql.sealed import SealBroken
from gateway.kernel.sql.vault import Vault, VaultError
from gateway.kernel.sql.vaults import vault_of

ENTRY = audit.REGISTER_ENTRY
DELETED = ""
"""The seal that is noted when a row was deleted."""
_log = log.get("journal.registers")
_OBJECT, _PENDING, _LISTED, _BEFORE = "row:", "bankgw.registers", "bankgw.registers.listed", "before"
_A, _U = schema.audit.c, schema.units.c
_NEWEST = select(schema.audit).where(_A.object_id == bindparam("b_object"), _A.entry == ENTRY)
_ONE = select(schema.audit).where(_A.node == bindparam("b_node"), _A.seq == bindparam("b_seq"))


@dataclass(frozen=True, slots=True)
class RegisterNote:
    """The newest version of a register row according to the audit trail. `seals` are more than one if two nodes wrote
    at once. `words` is the row's content, as far as a reader needs it when the row is gone.
    """

    count: int = 0
    seals: frozenset[str] = frozenset()
    words: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deleted(self) -> bool:
        """True if, according to the audit trail, the row was deleted."""
        return self.seals <= {DELETED}

    def joined(self, other: RegisterNote) -> RegisterNote:
        """The newer of two notes; if their counts are equal, one note with the seals of both."""
        if self.count != other.count:
            return self if self.count > other.count else other
        return RegisterNote(self.count, self.seals | other.seals, other.words or self.words)


NOTHING = RegisterNote()


@dataclass(slots=True)
class KnownRegisters:
    """The lists of all nodes' register rows, by object, as far as this process has read or written them. `ends` is the
    number of each node's last entry that was read. `broken` says why the lists cannot be trusted, `told` which altered
    rows were reported already. `notes` is replaced and never changed, because several threads read it.
    """

    notes: Mapping[str, RegisterNote] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    broken: str = ""
    told: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def join(self, later: Mapping[str, RegisterNote]) -> None:
        """Add the notes of later entries. An object's newest note counts."""
        if later:
            with self._lock:
                joined = {name: self.notes.get(name, NOTHING).joined(said) for name, said in later.items()}
                self.notes = {**self.notes, **joined}


def known(vault: Vault) -> KnownRegisters:
    """This process's lists of register rows. A process that does not write has none, and asks only the audit trail."""
    if vault.registers is None:
        vault.registers = KnownRegisters()
    found = vault.registers
    assert isinstance(found, KnownRegisters)
    return found


# ---- writing -----------------------------------------------------------------------------------------------------


def note(tx: Tx, name: str, seal: str, words: Mapping[str, Any] | None = None) -> None:
    """Record in the audit trail that the row `name` (`table/key`) now has this seal; DELETED if the row was deleted."""
    said = dict(words or {})
    count = newest(tx.raw, name).count + 1
    _pending(tx.raw)[name] = RegisterNote(count, frozenset({seal}), said)
    audit.append(tx, f"node:{tx.node}", ENTRY, _OBJECT + name, {"count": count, "seal": seal, "words": said})
    # All policies, and all stops, have one name, so a new one ends the reports about all earlier ones.
    told = known(tx.vault).told
    told -= {one for one in told if one == name or one.startswith(f"{name}/")}


def begin(conn: Connection) -> None:
    """Begin a transaction that writes. The notes of the last one are forgotten: it was rolled back, or they are in the
    audit trail now.
    """
    conn.info.pop(_PENDING, None)
    begin_read(conn)


def begin_read(conn: Connection) -> None:
    """Fix the lists that this connection's next transaction compares with. A version that another thread commits later
    may be in the lists before this transaction can see its row.
    """
    conn.info[_LISTED] = known(vault_of(conn)).notes


def pending(conn: Connection) -> Mapping[str, RegisterNote]:
    """The notes of this transaction. If it is committed, `known(vault).join` takes them."""
    return dict(_pending(conn))


def carry(tx: Tx, seq: int) -> None:
    """Record again what this node noted last at or before entry `seq`, because these entries will be deleted."""
    mine: dict[str, RegisterNote] = {}
    for name, row, found in _list_of(tx.raw, tx.vault, tx.node, tx.chain.rows_seq):
        if row.seq <= seq and name not in mine:
            mine[name] = found
        elif row.seq > seq:
            mine[name] = NOTHING
    for name, found in mine.items():
        if found.count and newest(tx.raw, name).count == found.count and not found.deleted:
            for seal in sorted(found.seals):
                note(tx, name, seal, found.words)


# ---- reading -----------------------------------------------------------------------------------------------------


def newest(conn: Connection, name: str) -> RegisterNote:
    """The newest version of a row according to the audit trail, the lists, and this transaction."""
    vault = vault_of(conn)
    found = _listed(conn).get(name, NOTHING).joined(_pending(conn).get(name, NOTHING))
    for row in rows(conn, _NEWEST, {"b_object": _OBJECT + name}):
        try:
            found = found.joined(_opened(vault, row))
        except VaultError:
            continue  # the gateway did not write this entry
    return found


def why_not(conn: Connection, name: str, seal: str | None) -> str:
    """Why this row is not its own newest version; "" if it is. `seal` is the row's own seal, which fits the row."""
    vault = vault_of(conn)
    if known(vault).broken:
        return known(vault).broken
    found = newest(conn, name)
    if not found.count:
        return "is not in the audit trail" if vault.rows_sealed else ""
    if seal in found.seals:
        return ""
    return (
        "was deleted by the gateway, and is there again"
        if found.deleted
        else "is an earlier version of itself, put back"
    )


def check(conn: Connection, name: str, seal: str | None) -> None:
    """Raise SealBroken unless the row is the newest version of itself."""
    why = why_not(conn, name, seal)
    if why:
        table, _slash, key = name.partition("/")
        raise SealBroken(table, key or name, why)


def check_absent(conn: Connection, name: str, key: str) -> None:
    """Raise SealBroken if the audit trail has a row of this name although the table has none. `key` names it in the
    error.
    """
    why = known(vault_of(conn)).broken or ("" if newest(conn, name).deleted else "was deleted")
    if why:
        raise SealBroken(name.partition("/")[0], key, why)


def check_whole(conn: Connection, table: str, key: str) -> None:
    """Raise SealBroken about this row if the lists of registers cannot be trusted, because they may lack a newer
    version of it.
    """
    why = known(vault_of(conn)).broken
    if why:
        raise SealBroken(table, key, why)


def listed(conn: Connection, table: str, prefix: str = "") -> Mapping[str, RegisterNote]:
    """The rows of this table that the lists have, by key, for keys that begin with `prefix`. The audit trail, which is
    not asked, may have a newer version of each.
    """
    first = names(table, (prefix,))
    return {name.partition("/")[2]: found for name, found in _listed(conn).items() if name.startswith(first)}


def lacking(conn: Connection, table: str, there: Collection[str]) -> Iterator[str]:
    """The keys of rows that this table lacks although the lists have them. `there`: the keys that it has."""
    for key in listed(conn, table):
        if key not in there and not newest(conn, names(table, (key,))).deleted:
            yield key


def in_trail(conn: Connection, table: str) -> Iterator[tuple[str, RegisterNote]]:
    """The rows of this table according to the entries of the audit trail, for a process that has not read the lists
    yet.
    """
    first, last = f"{_OBJECT}{table}/", f"{_OBJECT}{table}0"
    told = select(_A.object_id).where(_A.entry == ENTRY, _A.object_id > first, _A.object_id < last).distinct()
    for key in sorted(name.removeprefix(first) for name in conn.execute(told).scalars()):
        found = newest(conn, names(table, (key,)))
        if not found.deleted:
            yield key, found


def report(vault: Vault, error: SealBroken, action: str) -> None:
    """Log an altered row once, with what the gateway does about it."""
    name = f"{error.table}/{error.key}"
    if name not in known(vault).told:
        known(vault).told.add(name)
        _log.error("journal.row_altered", table=error.table, row=error.key, why=error.why, action=action)


def altered(vault: Vault) -> tuple[str, ...]:
    """The table and key of each altered row that was found and not written again since."""
    return tuple(sorted(known(vault).told))


# ---- the lists ---------------------------------------------------------------------------------------------------


def load(conn: Connection, vault: Vault) -> None:
    """Read the register lists of all nodes, at the start of a process that writes."""
    found = KnownRegisters()
    ends = conn.execute(select(schema.units)).all()
    for node in sorted(set(_nodes(conn)) - {row.node for row in ends}):
        found.broken = f"cannot be compared: the end of the audit trail of {node} (table units) is missing"
    for row in ends:
        if not (audit.head_fits(vault, row) if row.seal is not None else not vault.rows_sealed and not row.rows_seq):
            found.broken = f"cannot be compared: the end of the audit trail of {row.node} (table units) was altered"
            continue
        try:
            found.join(_notes_of(conn, vault, row.node, row.rows_seq or 0))
        except _Broken as error:
            found.broken = f"cannot be compared: {error}"
        found.ends[row.node] = row.rows_seq or 0
    vault.registers = found


def follow(conn: Connection, node: str) -> None:
    """Read what the other nodes have added to their register lists since this process read them."""
    vault = vault_of(conn)
    lists = known(vault)
    for row in conn.execute(select(schema.units).where(_U.node != node, _U.rows_seq > 0)).all():
        before, last = lists.ends.get(row.node, 0), row.rows_seq
        if last <= before or not audit.head_fits(vault, row):
            continue
        try:
            lists.join(_notes_of(conn, vault, row.node, last, before))
        except _Broken as error:
            lists.broken = f"cannot be compared: {error}"
        lists.ends[row.node] = last


class _Broken(Exception):
    pass


def _nodes(conn: Connection) -> Iterator[str]:
    """The nodes that have an audit trail, read from the index alone."""
    node = conn.execute(select(func.min(_A.node))).scalar()
    while node is not None:
        yield node
        node = conn.execute(select(func.min(_A.node)).where(_A.node > node)).scalar()


def _notes_of(conn: Connection, vault: Vault, node: str, seq: int, after: int = 0) -> dict[str, RegisterNote]:
    """The newest note about each object in the part of a node's list after entry `after`, up to entry `seq`."""
    found: dict[str, RegisterNote] = {}
    for name, _row, said in _list_of(conn, vault, node, seq, after):
        found[name] = found.get(name, NOTHING).joined(said)
    return found


def _list_of(
    conn: Connection, vault: Vault, node: str, seq: int, after: int = 0
) -> Iterator[tuple[str, Any, RegisterNote]]:
    """The entries of a node's register list, the last first, back to entry `after`, or to the beginning of its audit
    trail.
    """
    begin_seq = -1
    while seq > after:
        row: Any = first_row(conn, _ONE, {"b_node": node, "b_seq": seq})
        if row is None:
            if begin_seq < 0:
                begin_seq = audit.bases(conn).get(node, audit.AuditBase()).size
            if seq <= begin_seq:
                return
            raise _Broken(f"entry {seq} of the audit trail of {node} is missing")
        try:
            said, before = _opened(vault, row), _detail(vault, row)[_BEFORE]
        except (VaultError, KeyError):
            raise _Broken(f"entry {seq} of the audit trail of {node} was altered") from None
        yield row.object_id.removeprefix(_OBJECT), row, said
        assert before < seq, "a list goes backwards"
        seq = before


def _listed(conn: Connection) -> Mapping[str, RegisterNote]:
    """The lists as they were when this transaction began; as they are now, for a connection outside of the store."""
    found: Mapping[str, RegisterNote] | None = conn.info.get(_LISTED)
    return known(vault_of(conn)).notes if found is None else found


def _pending(conn: Connection) -> dict[str, RegisterNote]:
    found: dict[str, RegisterNote] = conn.info.setdefault(_PENDING, {})
    return found


def _opened(vault: Vault, row: Any) -> RegisterNote:
    said = _detail(vault, row)
    return RegisterNote(said["count"], frozenset({said["seal"]}), said["words"])


def _detail(vault: Vault, row: Any) -> dict[str, Any]:
    return _read(vault, audit.header_of(row), row.detail)


@lru_cache(maxsize=4096)
def _read(vault: Vault, header: bytes, detail: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(vault.open(detail, header))
    return found


def names(table: str, keys: Iterable[str]) -> str:
    """The register name of a row of this table: `table/key`."""
    return "/".join((table, *keys))
