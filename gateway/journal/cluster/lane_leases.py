"""Who owns a lane, and the numbers that only a bank sees.

The epoch is the fence: what an old owner writes is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, select, update

from gateway.core.states import TakenOver
from gateway.journal.cluster import lane_names
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.payments import transition as applying
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.driver import first_row, rows, write
from protocols.canon.outcome import State

# Numbers are reserved this many at a time; what a stopping process had left over is never used.
BLOCK = 64
_C = schema.lanes.c
_LANE = select(schema.lanes).where(_C.lane == bindparam("b_lane")).with_for_update()
_SEEN = select(_C.lane, _C.epoch, _C.owner, _C.expires_ms).where(_C.lane == bindparam("b_lane"))
_N = schema.counters.c
_SERIAL = select(_N.serial).where(_N.bank == bindparam("b_bank"))
_DRAW = (
    update(schema.counters).where(_N.bank == bindparam("b_bank")).values(serial=_N.serial + bindparam("b_count"))
)  # fmt: skip
_P = schema.payments.c
_SENDING = (
    select(_P.payment)
    .where(_P.lane == bindparam("b_lane"), _P.state == State.SENDING.value, _P.epoch < bindparam("b_epoch"))
    .order_by(_P.payment).limit(bindparam("b_limit", type_=Integer))
)  # fmt: skip
_OWN = (
    update(schema.lanes).where(_C.lane == bindparam("b_lane"), _C.epoch == bindparam("b_epoch"))
    .values(epoch=_C.epoch + 1, owner=bindparam("b_owner"), expires_ms=bindparam("b_expires_ms"))
)  # fmt: skip
_KEEP = (
    update(schema.lanes)
    .where(_C.lane == bindparam("b_lane"), _C.epoch == bindparam("b_epoch"), _C.owner == bindparam("b_owner"))
    .values(expires_ms=bindparam("b_expires_ms"))
)  # fmt: skip


class LaneRenamed(Exception):  # noqa: N818 - says what became of it
    """This name was given up: the lane has another one now. The text says which."""


@dataclass(slots=True)
class Serials:
    """Numbers reserved in the database and not given out yet, per bank. The writer's own; forgotten on a rollback."""

    blocks: dict[str, range] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane's lease. `expires_ms` in the past: whoever asks may take it."""

    lane: str
    epoch: int
    owner: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A lease just taken. `orphaned`: its last owner is another node that never let go, and may still be writing."""

    epoch: int
    orphaned: bool


def take(tx: Tx, lane: str, node: str, ttl_ms: int, dead: LaneRow | None = None) -> Taken | None:
    """Take the lane if it is free, expired, or this node's own from a former life.

    Its new epoch is higher than every one before. None while somebody else holds it. `dead`: a lease that was not
    renewed for longer than it lasts by a clock that nobody can set; if it is still that very one it has expired,
    whatever the wall clock of its owner, or ours, makes of it.
    """
    row = _lane(tx, lane)
    found = LaneRow(lane, row.epoch, row.owner, row.expires_ms)
    if found != dead and not is_free(found, node, tx.now_ms):
        return None
    epoch: int = row.epoch + 1
    wanted = {"b_lane": lane, "b_epoch": row.epoch, "b_owner": node, "b_expires_ms": tx.now_ms + ttl_ms}
    if write(tx.fresh, _OWN, wanted) != 1:
        return None
    tx.epochs[lane] = epoch
    detail = {"epoch": epoch, "owner": node, "was": row.owner}
    audit.append(tx, f"node:{node}", "lane.leased", lane, detail)
    return Taken(epoch, orphaned=row.owner not in ("", node) and row.expires_ms > 0)


def renew(tx: Tx, lane: str, node: str, epoch: int, ttl_ms: int) -> bool:
    """Keep the lane for another `ttl_ms`. False: it is somebody else's now, so stop sending at once.

    A renewal is a heartbeat, not an act: the audit trail has the lease.
    """
    return _keep(tx, lane, node, epoch, tx.now_ms + ttl_ms)


def release(tx: Tx, lane: str, node: str, epoch: int) -> bool:
    """Let the lane go before its time, so that another node need not wait."""
    released = _keep(tx, lane, node, epoch, 0)
    if released:
        audit.append(tx, f"node:{node}", "lane.released", lane, {"epoch": epoch})
    return released


def draw_serials(tx: Tx, bank: str, n: int) -> range:
    """`n` consecutive numbers that were never and will never be given out at this bank again, on whichever lane."""
    block = tx.serials.blocks.get(bank, range(0))
    if len(block) < n:
        count = max(BLOCK, n)
        if write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count}) == 0:
            insert_new(tx.raw, schema.counters, {"bank": bank, "serial": 0})
            write(tx.raw, _DRAW, {"b_bank": bank, "b_count": count})
        drawn: Any = first_row(tx.raw, _SERIAL, {"b_bank": bank})
        end = drawn.serial
        block = range(end - count, end)
    tx.serials.blocks[bank] = block[n:]
    return block[:n]


def carry_serials(tx: Tx, old: str, new: str) -> None:
    """A bank has another name from now on: its counter goes on where the old name's stands, or its own if that is
    higher. Within one bank a lane's name does not matter to the counter.
    """
    found: Any = first_row(tx.raw, _SERIAL.with_for_update(), {"b_bank": old})
    if found is None or old == new:
        return
    tx.serials.blocks.pop(old, None)
    insert_new(tx.raw, schema.counters, {"bank": new, "serial": 0})
    there: Any = first_row(tx.raw, _SERIAL.with_for_update(), {"b_bank": new})
    tx.serials.blocks.pop(new, None)
    if there.serial < found.serial:
        write(tx.raw, _DRAW, {"b_bank": new, "b_count": found.serial - there.serial})


def recover(tx: Tx, lane: str, epoch: int, node: str, limit: int = 500) -> list[applying.Applied]:
    """Put in doubt what an earlier owner, or this node's own former life, left in `sending`. Nothing is sent.

    `epoch` is the one this owner just leased. Call again until the list is empty.
    """
    found = rows(tx.fresh, _SENDING, {"b_lane": lane, "b_epoch": epoch, "b_limit": limit})
    event = TakenOver(tx.now_ms)
    return [applying.apply(tx, row.payment, event, epoch=epoch, actor=f"node:{node}") for row in found]


def is_free(row: LaneRow | None, node: str, now_ms: int) -> bool:
    """Whether `take` is worth trying by the wall clock: nobody else holds the lane, as far as is committed."""
    return row is None or row.owner == node or row.expires_ms <= now_ms


def lease_of(conn: Connection, lane: str) -> LaneRow | None:
    """The lane's lease as committed. Locks nothing."""
    row = first_row(conn, _SEEN, {"b_lane": lane})
    return None if row is None else LaneRow(*row)


def _lane(tx: Tx, lane: str) -> Any:
    row = first_row(tx.fresh, _LANE, {"b_lane": lane})
    if row is None:
        # A row under a name that was given up would begin its numbers anew, and hand out references a second time.
        now = lane_names.current_lane(tx.fresh, lane)
        if now != lane:
            raise LaneRenamed(f"lane {lane} was renamed to {now}; use the settings that name it so")
        insert_new(tx.fresh, schema.lanes, {"lane": lane, "epoch": 0, "owner": "", "expires_ms": 0, "serial": 0})
        row = first_row(tx.fresh, _LANE, {"b_lane": lane})
    return row


def _keep(tx: Tx, lane: str, node: str, epoch: int, expires_ms: int) -> bool:
    kept = {"b_lane": lane, "b_epoch": epoch, "b_owner": node, "b_expires_ms": expires_ms}
    return write(tx.raw, _KEEP, kept) == 1
