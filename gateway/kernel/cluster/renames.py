"""Renames of lanes and senders: every row that carries the old name gets the new one, in one transaction.

Files outside the database keep the old name of a lane (the permit log writes `lane/reference`), so old names of lanes
stay known: see `lane_names`. A renamed lane gets a higher epoch, so that a node with the old settings cannot write for
it, and its old name cannot be leased any more.

Run it only while no daemon uses the journal: a running daemon has the old name in memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, delete, func, select, update

from gateway.kernel.cluster import lane_pauses, restored_database
from gateway.kernel.commit import audit, registers, sender_names
from gateway.kernel.commit.lane_names import current_lane
from gateway.kernel.commit.ports import RoomPort
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SEALED, row_seal
from gateway.kernel.sql.vaults import vault_of
from protocols.canon.outcome import STATE_TABLE

BEATING_MS = 15_000
"""A node writes at least every 5 s, so a node that wrote within this time is running."""
OFFLINE = ".offline"
"""The suffix of the node name under which offline commands write, with an audit chain of their own."""
_L, _P, _B, _R = schema.lanes.c, schema.payments.c, schema.batches.c, schema.lane_renames.c
OPEN = tuple(state.value for state, facts in STATE_TABLE.items() if not facts.final)
"""The states of a payment that is not final."""
_SHOWN = 5
_NAMED = "named"
"""The value that the audit trail has instead of a seal: a row about names has no seal."""
_USAGE_SUMS = ("sum_minor", "count")


class NotRenamed(Exception):  # noqa: N818 - an answer, not a fault
    """A renaming was refused and changed nothing; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """The result of a renaming: the number of renamed rows by table, and how many of the payments are open."""

    rows: Mapping[str, int]
    open_payments: int


def _nothing(_conn: Connection, _old: str, _new: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class SenderRows:
    """How to rename a sender in a `table` whose rows only their own package can change, because the name is in a sealed
    body. `move` gives the rows the new name and counts them. `why_not` says why a sender cannot be renamed, or "".
    """

    table: str
    move: Callable[[Tx, str, str], int]
    why_not: Callable[[Connection, str, str], str] = _nothing


SENDER_ROWS: RoomPort[tuple[SenderRows, ...]] = RoomPort("renames.sender_rows")


def refuse_while_running(conn: Connection, now_ms: int, but: str) -> None:
    """Raise NotRenamed if a daemon uses this journal, because it holds a lease or wrote recently. `but` is this node's
    own name.
    """
    leased = select(_L.lane, _L.owner, _L.expires_ms).where(_L.owner != "", _L.expires_ms > now_ms)
    for row in conn.execute(leased.order_by(_L.lane)):
        left_s = (row.expires_ms - now_ms + 999) // 1000
        raise NotRenamed(
            f"node {row.owner} has lane {row.lane}: stop that daemon first; if it was killed, wait "
            f"{left_s} s until its lease ends"
        )
    units = schema.units.c
    beating = select(units.node).where(units.node != but, units.at_ms > now_ms - BEATING_MS).order_by(units.node)
    for node in (name for name in conn.execute(beating).scalars() if not name.endswith(OFFLINE)):
        raise NotRenamed(
            f"node {node} wrote to the journal within {BEATING_MS // 1000} s: stop that daemon first; if "
            f"it is stopped already, wait that long"
        )


def rename_lane(tx: Tx, old: str, new: str, actor: str, reason: str) -> Renamed:
    """Rename the lane `old` to `new` in all tables. Raises NotRenamed."""
    conn = tx.fresh
    before = _differ(old, new, "lane")
    if old.partition(".")[0] != new.partition(".")[0]:
        raise NotRenamed(f"{old} and {new} are of two banks; a lane's name is BANK.LOGIN, and only LOGIN can change")
    row = conn.execute(select(schema.lanes).where(_L.lane == old).with_for_update()).first()
    if row is None:
        there = ", ".join(conn.execute(select(_L.lane).order_by(_L.lane)).scalars()) or "none"
        now = current_lane(conn, old)
        renamed = f"; {old} is called {now} already" if now != old else ""
        raise NotRenamed(f"the journal has no lane {old}{renamed}; it has {there}")
    if row.owner and row.expires_ms > tx.now_ms:
        raise NotRenamed(f"node {row.owner} has lane {old}: stop that daemon first")
    former = current_lane(conn, new)
    if former not in (new, old):
        raise NotRenamed(
            f"{new} was the name of lane {former}, and the permit log has sends of {former} under that name; "
            f"choose a name that no other lane has had"
        )
    for table in (schema.payments, schema.bundles):
        twice = _in_both(conn, table.c.bank_ref, table.c.lane, before)
        if twice:
            raise NotRenamed(
                f"{old} and {new} used the same references ({', '.join(twice)}) in table {table.name}: "
                f"they are two lanes and stay two; configure both"
            )
    other = conn.execute(select(schema.lanes).where(_L.lane == new).with_for_update()).first()
    paused = lane_pauses.said(conn, [old])[old].paused
    # Of two rows with the same key, keep that of the lane with the history.
    counts = {"past_cleared": restored_database.move_lane(tx, old, new)}
    apart = (schema.lanes, schema.past_cleared)
    counts.update({table.name: _move(conn, table, "lane", before) for table in _tables("lane") if table not in apart})
    kept = {"lane": new, "epoch": row.epoch + 1}
    if other is not None:
        conn.execute(delete(schema.lanes).where(_L.lane == new))
        kept.update(epoch=max(row.epoch, other.epoch) + 1, serial=max(row.serial, other.serial))
    conn.execute(update(schema.lanes).where(_L.lane == old).values(**kept))
    tx.epochs.clear()
    # If a lane gets a former name back, that name is no longer a former name.
    conn.execute(delete(schema.lane_renames).where(_R.old == new))
    insert_new(conn, schema.lane_renames, {"old": old, "lane": new, "at_ms": tx.now_ms})
    _note_names(tx, old, new)
    if paused:
        lane_pauses.say(tx, new, actor, paused=True, detail={"reason": f"as {old}, its name before"})
    said = Renamed(counts, _open(conn, _P.lane, new))
    audit.append(tx, actor, "lane.renamed", new, {"old": old, "epoch": kept["epoch"], "reason": reason, "rows": counts})
    return said


def _note_names(tx: Tx, before: str, lane: str) -> None:
    """Record the lane's former names for `restored_database.names`: the names in the rows, and the names in the audit
    trail whose rows are gone. The lane's present name is not among them.
    """
    table = schema.lane_renames.name
    former = set(tx.fresh.execute(select(_R.old).where(_R.lane == lane)).scalars())
    former |= {old for old, said in registers.in_trail(tx.raw, table) if said.words["lane"] == before}
    for old in sorted(former - {lane}):
        registers.note(tx, registers.names(table, (old,)), _NAMED, {"lane": lane})
    present = registers.names(table, (lane,))
    if not registers.newest(tx.raw, present).deleted:
        registers.note(tx, present, registers.DELETED)


def rename_sender(tx: Tx, old: str, new: str, actor: str, reason: str) -> Renamed:
    """Rename the sender `old` to `new` in its orders, sums, payees and questions. Raises NotRenamed."""
    conn = tx.fresh
    before = _differ(old, new, "sender")
    taken = {*_in_both(conn, _P.order_id, _P.sender, before), *_in_both(conn, _B.batch, _B.sender, before)}
    for ids, batches in (
        ((_P.order_id, _P.sender), (_B.batch, _B.sender)),
        ((_B.batch, _B.sender), (_P.order_id, _P.sender)),
    ):
        here = select(batches[0]).where(batches[1] == new)
        taken.update(conn.execute(select(ids[0]).where(ids[1] == old, ids[0].in_(here)).limit(_SHOWN)).scalars())
    if taken:
        raise NotRenamed(
            f"{old} and {new} both have orders with the ids {', '.join(sorted(taken)[:_SHOWN])}: if they "
            f"are one ERP, the orders may have been paid twice; check both (`bankgw orders show SENDER:ID`). "
            f"The two names cannot become one"
        )
    tx.usage_totals.least.clear()
    tx.payment_cache.forget_admitted()
    sealed = tx.ports.of(SENDER_ROWS)
    for why in filter(None, (rows.why_not(conn, old, new) for rows in sealed)):
        raise NotRenamed(why)
    counts = {rows.table: rows.move(tx, old, new) for rows in sealed}
    counts["usage_counts"] = _add_up(conn, before)
    rest = [table for table in _tables("sender") if table.name not in counts]
    counts.update({table.name: _move(conn, table, "sender", before) for table in rest})
    if not any(counts.values()):
        there = ", ".join(conn.execute(select(_P.sender).distinct().order_by(_P.sender)).scalars()) or "none"
        raise NotRenamed(f"the journal has no order of a sender {old}; it has orders of {there}")
    _users_follow(tx, old, new)
    said = Renamed(counts, _open(conn, _P.sender, new))
    audit.append(tx, actor, sender_names.RENAMED, new, {"old": old, "reason": reason, "rows": counts})
    return said


# ---- broker users and their senders ----

_USERS = "sender_users"
_M = schema.meta.c


def users(conn: Connection) -> dict[str, str]:
    """The sender of each broker user, as recorded when a daemon last started or reloaded its settings."""
    found: dict[str, str] = json.loads(conn.execute(select(_M.value).where(_M.name == _USERS)).scalar() or "{}")
    return found


def note_users(tx: Tx, spoken: Mapping[str, str]) -> None:
    """Record the sender of each broker user. Users that are not configured any more stay recorded, because they may be
    configured again.
    """
    before = users(tx.raw)
    _write_users(tx, before, before | dict(spoken))


def _users_follow(tx: Tx, old: str, new: str) -> None:
    before = users(tx.raw)
    _write_users(tx, before, {user: new if sender == old else sender for user, sender in before.items()})


def _write_users(tx: Tx, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    if before == after:
        return
    value = json.dumps(after, sort_keys=True)
    if not insert_new(tx.fresh, schema.meta, {"name": _USERS, "value": value}):
        tx.fresh.execute(update(schema.meta).where(_M.name == _USERS).values(value=value))


# ---- rows ----


def _differ(old: str, new: str, what: str) -> tuple[str, str]:
    if old == new:
        raise NotRenamed(f"the {what} is called {old} already")
    return old, new


def _tables(column: str) -> Iterator[Table]:
    return (table for table in schema.metadata.sorted_tables if column in table.c)


def _open(conn: Connection, column: Any, name: str) -> int:
    statement = select(func.count()).select_from(schema.payments).where(column == name, _P.state.in_(OPEN))
    return int(conn.execute(statement).scalar_one())


def _in_both(conn: Connection, key: Any, column: Any, names: tuple[str, str]) -> list[str]:
    """A few of the keys under which there is a row of each of the two names."""
    old, new = names
    other = key.table.alias()
    both = (
        select(key)
        .select_from(key.table.join(other, other.c[key.name] == key))
        .where(column == old, other.c[column.name] == new)
    )
    return [str(found) for found in conn.execute(both.limit(_SHOWN)).scalars()]


def _move(conn: Connection, table: Table, column: str, names: tuple[str, str]) -> int:
    """Give the rows of the old name the new name in this table. An old row is deleted if the new name has one under the
    same key.
    """
    old, new = names
    ours = table.c[column]
    if ours.primary_key:
        for _old, twin in _twins(conn, table, column, names):
            conn.execute(delete(table).where(*_same_key(table, twin)))
    if table.name in SEALED:
        return _move_sealed(conn, table, column, names)
    return conn.execute(update(table).where(ours == old).values({column: new})).rowcount


def _move_sealed(conn: Connection, table: Table, column: str, names: tuple[str, str]) -> int:
    """As `_move`, for sealed rows: each row gets the seal for its new name. Raises SealBroken if a row was altered."""
    old, new = names
    vault, seal, moved = vault_of(conn), row_seal(table), 0
    for row in conn.execute(select(table).where(table.c[column] == old)).all():
        seal.check(vault, row)
        conn.execute(update(table).where(*_same_key(table, row)).values(seal.changed(vault, row, {column: new})))
        moved += 1
    return moved


def _twins(conn: Connection, table: Table, column: str, names: tuple[str, str]) -> list[tuple[Any, Any]]:
    """Pairs of rows, one of the old and one of the new name, that differ only in the name."""
    old, new = names
    rest = [one.name for one in table.primary_key.columns if one.name != column]
    found = {
        tuple(row._mapping[name] for name in rest): row
        for row in conn.execute(select(table).where(table.c[column] == new))
    }
    if not found:
        return []
    olds = conn.execute(select(table).where(table.c[column] == old))
    keyed = ((row, tuple(row._mapping[name] for name in rest)) for row in olds)
    return [(row, found[key]) for row, key in keyed if key in found]


def _same_key(table: Table, row: Any) -> list[Any]:
    return [one == row._mapping[one.name] for one in table.primary_key.columns]


def _add_up(conn: Connection, names: tuple[str, str]) -> int:
    """Add the daily sums of the old name to those of the new name, or move them."""
    table = schema.usage
    for row, twin in _twins(conn, table, "sender", names):
        sums = {name: row._mapping[name] + twin._mapping[name] for name in _USAGE_SUMS}
        conn.execute(update(table).where(*_same_key(table, row)).values(sums))
    return _move(conn, table, "sender", names)
