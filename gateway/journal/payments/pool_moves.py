"""Runs of cash pools in the journal: what a run moves, each move with the id of its order, and the mandate behind it.

A run's id follows from pool, business date and slot, and the id of a move's order from the run and the move's place. So
a run that is begun again finds itself, and an order that is made again is the order that was made.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, case, func, select, update

from gateway.journal.commit.store import Tx
from gateway.journal.payments import pools
from gateway.journal.sql import schema
from gateway.journal.sql.databases import insert_new
from gateway.journal.sql.vaults import vault_of
from gateway.settings.agreement import TREASURY
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import State

_R, _M, _P = schema.pool_runs.c, schema.pool_moves.c, schema.payments.c
# Payments that moved nothing, or gave back what they moved.
_UNDONE = tuple(state.value for state in (
    State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED, State.RETURNED, State.REVERSED))  # fmt: skip


class RunState(StrEnum):
    """A run is planned, and done when each of its moves is ordered or refused."""

    PLANNED = "planned"
    DONE = "done"


class MoveState(StrEnum):
    """A move is planned, then ordered as a payment or refused."""

    PLANNED = "planned"
    ORDERED = "ordered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PoolRun:
    """One run. From `until_ms` on nothing of it may be sent. `stays` are the accounts at which it moves nothing:
    account, direction (up or down) and reason."""

    run: str
    pool: str
    version: int
    day: date
    slot: str
    actor: str
    at_ms: int
    until_ms: int
    state: RunState = RunState.PLANNED
    finished_ms: int | None = None
    stays: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PoolMove:
    """One move of a run. `over`: beyond a ceiling of the mandate, so that persons must release its order."""

    run: str
    place: int
    pool: str
    version: int
    day: date
    debit: str
    credit: str
    up: bool
    over: bool
    currency: str
    amount_minor: int
    state: MoveState = MoveState.PLANNED
    payment: str | None = None
    reason: str | None = None

    @property
    def order_id(self) -> str:
        """The id of its order."""
        return f"{self.run}.{self.place}"

    @property
    def child(self) -> str:
        """The account of the move that is not the header."""
        return self.debit if self.up else self.credit


def run_id(pool: str, day: date, slot: str) -> str:
    """The id of the run of this slot on this business date."""
    return f"{pool}.{day:%Y%m%d}.{slot}"


# ---- writing ----


def write(tx: Tx, run: PoolRun, moves: Sequence[PoolMove]) -> bool:
    """Store a new run with its moves. False if it is there already; then nothing is stored."""
    said = {"actor": run.actor, "stays": run.stays}
    new = insert_new(tx.fresh, schema.pool_runs, {
        "run": run.run, "pool": run.pool, "version": run.version, "business_date": run.day.isoformat(),
        "slot": run.slot, "state": run.state.value, "at_ms": run.at_ms, "until_ms": run.until_ms, "finished_ms": None,
        "body": tx.vault.seal(json.dumps(said).encode(), _run_aad(run.run)),
    })  # fmt: skip
    if not new:
        return False
    blind = tx.vault.blind
    for one in moves:
        body = json.dumps({"debit": one.debit, "credit": one.credit, "amount_minor": one.amount_minor, "up": one.up,
                           "over": one.over, "version": one.version}).encode()  # fmt: skip
        tx.raw.execute(schema.pool_moves.insert().values(
            run=one.run, place=one.place, pool=one.pool, version=one.version, business_date=one.day.isoformat(),
            order_id=one.order_id, debit_idx=blind(one.debit), credit_idx=blind(one.credit),
            child_idx=blind(one.child), up=int(one.up), over=int(one.over), currency=one.currency,
            amount_minor=one.amount_minor, state=one.state.value, payment=None, reason=None,
            body=tx.vault.seal(body, _move_aad(one.run, one.place)),
        ))  # fmt: skip
    return True


def settle_move(tx: Tx, move: PoolMove, state: MoveState, payment: str | None, reason: str | None) -> bool:
    """End a planned move, once. False if it was ended already."""
    ended = tx.fresh.execute(
        update(schema.pool_moves)
        .where(_M.run == move.run, _M.place == move.place, _M.state == MoveState.PLANNED.value)
        .values(state=state.value, payment=payment, reason=reason)
    )  # fmt: skip
    return ended.rowcount == 1


def finish(tx: Tx, run: str) -> bool:
    """Mark a run done whose moves are all ended. False if one is not, or the run is done already."""
    left = tx.fresh.execute(
        select(func.count()).where(_M.run == run, _M.state == MoveState.PLANNED.value)
    ).scalar_one()  # fmt: skip
    return not left and tx.fresh.execute(
        update(schema.pool_runs).where(_R.run == run, _R.state == RunState.PLANNED.value)
        .values(state=RunState.DONE.value, finished_ms=tx.now_ms)
    ).rowcount == 1  # fmt: skip


# ---- reading ----


def find(conn: Connection, run: str) -> PoolRun | None:
    """One run."""
    row = conn.execute(select(schema.pool_runs).where(_R.run == run)).first()
    return None if row is None else _run(conn, row)


def unfinished(conn: Connection) -> list[PoolRun]:
    """Runs with moves that are neither ordered nor refused: their node died, or is at it."""
    found = conn.execute(select(schema.pool_runs).where(_R.state == RunState.PLANNED.value).order_by(_R.run))
    return [_run(conn, row) for row in found]


def listing(conn: Connection, pool: str | None = None, limit: int = 100) -> list[PoolRun]:
    """Runs, the newest first."""
    wanted = select(schema.pool_runs).order_by(_R.at_ms.desc(), _R.run.desc()).limit(limit)
    return [_run(conn, row) for row in conn.execute(wanted if pool is None else wanted.where(_R.pool == pool))]


def moves_of(conn: Connection, run: str) -> list[PoolMove]:
    """The moves of a run, in their order."""
    found = conn.execute(select(schema.pool_moves).where(_M.run == run).order_by(_M.place))
    return [_move(conn, row) for row in found]


def of_order(conn: Connection, order_id: str) -> PoolMove | None:
    """The move whose order has this id."""
    row = conn.execute(select(schema.pool_moves).where(_M.order_id == order_id)).first()
    return None if row is None else _move(conn, row)


def planned(conn: Connection) -> list[PoolMove]:
    """Moves of all pools that are planned and not ordered yet: money that is spoken for."""
    found = conn.execute(select(schema.pool_moves).where(_M.state == MoveState.PLANNED.value))
    return [_move(conn, row) for row in found]


def moved_minor(conn: Connection, pool: str, day: date) -> int:
    """What the pool's runs moved on a business date inside their mandate, or are about to."""
    statement = select(func.sum(_M.amount_minor)).where(
        _M.pool == pool, _M.business_date == day.isoformat(), _M.over == 0, _M.state != MoveState.REFUSED.value
    )
    return int(conn.execute(statement).scalar() or 0)


def lent_minor(conn: Connection, pool: str, accounts: Sequence[str]) -> dict[str, int]:
    """What each member has lent the header: what went up less what came down, without what failed or came back."""
    vault = vault_of(conn)
    names = {vault.blind(account): account for account in accounts}
    signed = case((_M.up == 1, _M.amount_minor), else_=-_M.amount_minor)
    undone = select(_P.payment).where(_P.sender == TREASURY, _P.state.in_(_UNDONE))
    found = conn.execute(
        select(_M.child_idx, func.sum(signed))
        .where(_M.pool == pool, _M.state != MoveState.REFUSED.value,
               _M.payment.is_(None) | _M.payment.not_in(undone))
        .group_by(_M.child_idx)
    )  # fmt: skip
    return {names[idx]: int(minor) for idx, minor in found if idx in names}


# ---- the mandate ----


def mandated(tx: Tx, sender: str, order: AnyOrder) -> bool:
    """Whether two persons' signatures under a pool stand for this order: it is a move of the version in force, inside
    its ceilings, with the accounts and the amount that were planned."""
    if sender != TREASURY or order.kind is not Kind.TRANSFER:
        return False
    move = of_order(tx.read, order.id)
    if move is None or move.over or move.state is MoveState.REFUSED:
        return False
    row = pools.last(tx.raw, move.pool)
    if row is None or row.pool is None or row.version != move.version:
        return False
    if row.pool.until is not None and move.day > row.pool.until:
        return False
    said = (order.debtor.account.clear, order.creditor.account.clear, order.amount.minor, order.amount.currency)
    children = {one.account for one in row.pool.children}
    pair = (move.child, row.pool.header) if move.up else (row.pool.header, move.child)
    return said == (move.debit, move.credit, move.amount_minor, move.currency) and (
        move.child in children and pair == (move.debit, move.credit)
    )


def _run(conn: Connection, row: Any) -> PoolRun:
    said = json.loads(vault_of(conn).open(row.body, _run_aad(row.run)))
    return PoolRun(
        row.run, row.pool, row.version, date.fromisoformat(row.business_date), row.slot, said["actor"], row.at_ms,
        row.until_ms, RunState(row.state), row.finished_ms, tuple(tuple(one) for one in said["stays"]),
    )  # fmt: skip


def _move(conn: Connection, row: Any) -> PoolMove:
    said = json.loads(vault_of(conn).open(row.body, _move_aad(row.run, row.place)))
    made = PoolMove(
        row.run, row.place, row.pool, said["version"], date.fromisoformat(row.business_date), said["debit"],
        said["credit"], said["up"], said["over"], row.currency, said["amount_minor"], MoveState(row.state), row.payment,
        row.reason,
    )  # fmt: skip
    # The sealed move is authentic; the clear columns beside it must agree with it.
    there = (row.version, bool(row.up), bool(row.over), row.amount_minor, row.order_id)
    sealed = (made.version, made.up, made.over, made.amount_minor, made.order_id)
    assert there == sealed, f"pool move {made.order_id}: columns were altered"
    return made


def _run_aad(run: str) -> bytes:
    return f"pool_runs/body/{run}".encode()


def _move_aad(run: str, place: int) -> bytes:
    return f"pool_moves/body/{run}/{place}".encode()
