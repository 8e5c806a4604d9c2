"""Lane leases: which node owns a lane, until when, and under which epoch. A write under an older epoch is refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, select, update

from gateway.kernel.commit import audit, lane_names
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row, rows, run_write
from gateway.kernel.sql.vault import VaultError

_C, _A = schema.lanes.c, schema.audit.c
_LANE = select(schema.lanes).where(_C.lane == bindparam("b_lane")).with_for_update()
_SEEN = select(_C.lane, _C.epoch, _C.owner, _C.expires_ms).where(_C.lane == bindparam("b_lane"))
_OWN = (
    update(schema.lanes)
    .where(_C.lane == bindparam("b_lane"), _C.epoch == bindparam("b_epoch"))
    .values(epoch=bindparam("b_next"), owner=bindparam("b_owner"), expires_ms=bindparam("b_expires_ms"))
)
_LAST_LEASES = 50
_LEASES = (
    select(schema.audit)
    .where(_A.object_id == bindparam("b_lane"), (_A.entry == "lane.leased") | (_A.entry == "lane.renamed"))
    .order_by(_A.at_ms.desc(), _A.seq.desc())
    .limit(bindparam("b_limit", type_=Integer))
)
_KEEP = (
    update(schema.lanes)
    .where(_C.lane == bindparam("b_lane"), _C.epoch == bindparam("b_epoch"), _C.owner == bindparam("b_owner"))
    .values(expires_ms=bindparam("b_expires_ms"))
)


class LaneRenamed(Exception):  # noqa: N818 - says what became of it
    """The lane has been renamed; the text gives its present name."""


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane's lease. If `expires_ms` is in the past, any node may take it."""

    lane: str
    epoch: int
    owner: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class NewLease:
    """A lease that this node has just acquired. `orphaned`: another node had the lane, did not release it, and may
    still be writing.
    """

    epoch: int
    orphaned: bool


def acquire(tx: Tx, lane: str, node: str, ttl_ms: int, dead: LaneRow | None = None) -> NewLease | None:
    """Take the lane if it is free, expired, or left by an earlier process of this node.

    The new epoch is higher than every earlier one, even if SQL set the row's epoch back. None while another node holds
    the lane. `dead`: a lease that, by this node's monotonic clock, was not renewed for longer than its length. If the
    lane still has exactly that lease, it has expired, whatever the wall clocks say.
    """
    row = _lane(tx, lane)
    found = LaneRow(lane, row.epoch, row.owner, row.expires_ms)
    if found != dead and not is_free(found, node, tx.now_ms):
        return None
    epoch: int = max(row.epoch, _told_epoch(tx, lane)) + 1
    wanted = {
        "b_lane": lane,
        "b_epoch": row.epoch,
        "b_next": epoch,
        "b_owner": node,
        "b_expires_ms": tx.now_ms + ttl_ms,
    }
    if run_write(tx.fresh, _OWN, wanted) != 1:
        return None
    tx.epochs[lane] = epoch
    detail = {"epoch": epoch, "owner": node, "was": row.owner}
    audit.append(tx, f"node:{node}", "lane.leased", lane, detail)
    return NewLease(epoch, orphaned=row.owner not in ("", node) and row.expires_ms > 0)


def renew(tx: Tx, lane: str, node: str, epoch: int, ttl_ms: int) -> bool:
    """Extend the lease by `ttl_ms` from now. False: another node owns the lane, so stop sending at once.

    Renewals are not audited; only acquiring and releasing a lease are.
    """
    return _keep(tx, lane, node, epoch, tx.now_ms + ttl_ms)


def release(tx: Tx, lane: str, node: str, epoch: int) -> bool:
    """Release the lane before its lease expires, so that another node need not wait."""
    released = _keep(tx, lane, node, epoch, 0)
    if released:
        audit.append(tx, f"node:{node}", "lane.released", lane, {"epoch": epoch})
    return released


def is_free(row: LaneRow | None, node: str, now_ms: int) -> bool:
    """True if the committed lease has no other owner at `now_ms` by the wall clock, so that `acquire` may succeed."""
    return row is None or row.owner == node or row.expires_ms <= now_ms


def lease_of(conn: Connection, lane: str) -> LaneRow | None:
    """The committed lease of the lane. Locks nothing."""
    row = first_row(conn, _SEEN, {"b_lane": lane})
    return None if row is None else LaneRow(*row)


def _told_epoch(tx: Tx, lane: str) -> int:
    """The highest epoch among the lane's last leases in the audit trail. It is read because lease rows have no seal."""
    highest = 0
    for row in rows(tx.raw, _LEASES, {"b_lane": lane, "b_limit": _LAST_LEASES}):
        with suppress(VaultError):  # an altered entry proves nothing
            [entry] = audit.opened([row], tx.vault)
            highest = max(highest, int(entry.detail["epoch"]))
    return highest


def _lane(tx: Tx, lane: str) -> Any:
    row = first_row(tx.fresh, _LANE, {"b_lane": lane})
    if row is None:
        # A new row under a former name would start its numbers again and give out references twice.
        now = lane_names.current_lane(tx.fresh, lane)
        if now != lane:
            raise LaneRenamed(f"lane {lane} was renamed to {now}; use the settings that name it so")
        insert_new(tx.fresh, schema.lanes, {"lane": lane, "epoch": 0, "owner": "", "expires_ms": 0, "serial": 0})
        row = first_row(tx.fresh, _LANE, {"b_lane": lane})
    return row


def _keep(tx: Tx, lane: str, node: str, epoch: int, expires_ms: int) -> bool:
    kept = {"b_lane": lane, "b_epoch": epoch, "b_owner": node, "b_expires_ms": expires_ms}
    return run_write(tx.raw, _KEEP, kept) == 1
