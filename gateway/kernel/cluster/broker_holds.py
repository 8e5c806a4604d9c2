"""The journal's side of the mark in the broker: which node held the virtual host, under which fencing number.

Each time a node gets the exclusive queue it counts the fencing number up and adds a row. The rows are the lives in
which this journal held a virtual host: a mark that names a life without such a row was written by another copy of the
journal, or by a newer life of it than this database knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, select, update

from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Tx
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.driver import first_row, run_write

KEPT = 1_000
"""How many lives are stored; the mark names the last one."""
_ID = select(schema.meta.c.value).where(schema.meta.c.name == "journal")
_C = schema.broker_holds.c
_LAST = select(schema.broker_holds).order_by(_C.fence.desc()).limit(1)
_LIFE = select(schema.broker_holds).where(_C.fence == bindparam("b_fence"))
_LATER = schema.broker_holds.alias()
_RENEW = (
    update(schema.broker_holds)
    .where(_C.fence == bindparam("b_fence"), _C.node == bindparam("b_node"), ~exists().where(_LATER.c.fence > _C.fence))
    .values(renewed_ms=bindparam("b_now_ms"))
)
_OLD = delete(schema.broker_holds).where(_C.fence <= bindparam("b_fence"))


@dataclass(frozen=True, slots=True)
class BrokerHold:
    """A period in which a node of this journal held a virtual host (a "life"): the node, its machine, and the start."""

    fence: int
    node: str
    host: str
    since_ms: int

    @property
    def whose(self) -> str:
        """The node and the start of this life. They distinguish two lives with the same number."""
        return f"{self.since_ms} {self.node}"


@dataclass(frozen=True, slots=True)
class LastHold:
    """The last life in which this journal held a virtual host. `renewed_ms` changes while its node lives; 0 once the
    node has left in order.
    """

    hold: BrokerHold
    renewed_ms: int


def journal_id(conn: Connection) -> str:
    """The journal's random id, which was made together with its schema."""
    row = first_row(conn, _ID, {})
    return "" if row is None else str(row.value)


def last(conn: Connection) -> LastHold | None:
    """The last committed life; None if this journal never held a virtual host."""
    row = first_row(conn, _LAST, {})
    return None if row is None else LastHold(_hold(row), row.renewed_ms)


def is_ours(conn: Connection, hold: BrokerHold) -> bool:
    """True if this journal has recorded exactly this life."""
    row = first_row(conn, _LIFE, {"b_fence": hold.fence})
    return row is not None and _hold(row) == hold


def has_life(conn: Connection, fence: int, whose: str) -> bool:
    """True if this journal recorded the life with this number `fence`, node and start (see `BrokerHold.whose`)."""
    row = first_row(conn, _LIFE, {"b_fence": fence})
    return row is not None and _hold(row).whose == whose


def begin_life(tx: Tx, host: str, above: int = 0) -> BrokerHold | None:
    """Begin a life of this node. Its fencing number is higher than that of the last life, and higher than `above`, the
    number in the mark that it replaces. None if another node has just begun a life: then read again.

    Only the node that has the exclusive queue may call this: the node of the last life is then gone, or is without the
    broker.
    """
    before = last(tx.fresh)
    hold = BrokerHold(max(0 if before is None else before.hold.fence, above) + 1, tx.node, host, tx.now_ms)
    if not insert_new(
        tx.raw,
        schema.broker_holds,
        {"fence": hold.fence, "node": hold.node, "host": host, "since_ms": hold.since_ms, "renewed_ms": tx.now_ms},
    ):
        return None
    run_write(tx.raw, _OLD, {"b_fence": hold.fence - KEPT})
    audit.append(tx, f"node:{tx.node}", "broker.held", f"node:{tx.node}", {"fence": hold.fence, "host": host})
    return hold


def renew(tx: Tx, hold: BrokerHold) -> bool:
    """Record that this life continues. False if another node has begun a later life."""
    return run_write(tx.raw, _RENEW, {"b_fence": hold.fence, "b_node": hold.node, "b_now_ms": tx.now_ms}) == 1


def leave(tx: Tx, hold: BrokerHold) -> None:
    """Record that this life has ended in order, so that another node need not wait."""
    run_write(tx.raw, _RENEW, {"b_fence": hold.fence, "b_node": hold.node, "b_now_ms": 0})


def _hold(row: Any) -> BrokerHold:
    return BrokerHold(row.fence, row.node, row.host, row.since_ms)
