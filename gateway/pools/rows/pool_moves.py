"""Runs of cash pools in the journal: the moves of a run, each with the id of its order, and the mandate behind it.

A run's id follows from pool, business date and slot, and the id of a move's order from the run and the move's place. So
a run that is begun again has the same id, and an order that is made again is the same order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from gateway.kernel.commit import payment_rows, registers
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.states import UNSENT
from gateway.kernel.sql import schema
from gateway.kernel.sql.databases import insert_new
from gateway.kernel.sql.sealed import SealBroken, row_seal
from gateway.kernel.sql.vaults import vault_of
from gateway.pools.rows import pools
from gateway.pools.rows.pools import PoolRow
from gateway.settings.agreement import TREASURY
from protocols.canon.order import AnyOrder, Kind
from protocols.canon.outcome import State

_R, _M, _P = schema.pool_runs.c, schema.pool_moves.c, schema.payments.c
_A = schema.audit.c
MOVE_ORDERED = "pool.move_ordered"
"""The audit entry of each move that became a payment."""
_RUN_SEAL, _MOVE_SEAL = row_seal(schema.pool_runs), row_seal(schema.pool_moves)
# Payments that moved nothing, or whose money came back.
_UNDONE = tuple(
    state.value
    for state in (State.REJECTED, State.CANCELLED, State.EXPIRED, State.FAILED, State.RETURNED, State.REVERSED)
)
_UNSENT = tuple(state.value for state in UNSENT)


class RunState(StrEnum):
    """The state of a run. PLANNED: some of its moves are neither ordered nor refused. OPEN: a slot's run is planned
    again until the slot ends, because a member has neither moved nor got a lasting reason, or an order was not sent
    yet. DONE: nothing is left to do. UNMOVED: its slot ended while it was open."""

    PLANNED = "planned"
    OPEN = "open"
    DONE = "done"
    UNMOVED = "unmoved"


class MoveState(StrEnum):
    """The state of a move: planned, then ordered as a payment or refused."""

    PLANNED = "planned"
    ORDERED = "ordered"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class PoolRun:
    """One run of a pool. From `until_ms` on none of its orders may be sent. `stays` are the accounts at which it moves
    nothing: account, direction (up or down) and reason. `link` is the payment of the linked order that it funds, or
    whose money it returns."""

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
    link: str | None = None

    @property
    def by_slot(self) -> bool:
        """True if a slot of the pool began the run, and not a person or a linked order."""
        return self.link is None and self.actor == f"rule:{self.pool}"


@dataclass(frozen=True, slots=True)
class MoveVerdict:
    """Whether the order of a move may be sent now. `why` says why not, "" if it may. `ends`: it may never be sent;
    otherwise it waits until the facts have changed or its slot has ended."""

    why: str = ""
    ends: bool = False


@dataclass(frozen=True, slots=True)
class PoolMove:
    """One move of a run. `over`: it exceeds a ceiling of the mandate, so that persons must release its order. `outcome`
    is the state in which its payment ended."""

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
    outcome: State | None = None

    @property
    def order_id(self) -> str:
        """The id of the move's order."""
        return f"{self.run}.{self.place}"

    @property
    def child(self) -> str:
        """The account of the move that is not the pool's header."""
        return self.debit if self.up else self.credit


def run_id(pool: str, day: date, slot: str) -> str:
    """The id of the run of this slot on this business date."""
    return f"{pool}.{day:%Y%m%d}.{slot}"


def link_run_id(pool: str, slot: str) -> str:
    """The id of a run for a linked order. It names no day, so that a run that is planned again on another day is the
    same run."""
    return f"{pool}.linked.{slot}"


# ---- writing ----


def store_run(tx: Tx, run: PoolRun, moves: Sequence[PoolMove]) -> bool:
    """Store a new run with its moves. False, and nothing is stored, if the run exists already."""
    new = insert_new(
        tx.fresh,
        schema.pool_runs,
        _RUN_SEAL.with_seal(
            tx.vault,
            {
                "run": run.run,
                "pool": run.pool,
                "version": run.version,
                "business_date": run.day.isoformat(),
                "slot": run.slot,
                "state": run.state.value,
                "at_ms": run.at_ms,
                "until_ms": run.until_ms,
                "finished_ms": run.finished_ms,
                "body": _run_body(tx, run),
            },
        ),
    )
    if not new:
        return False
    for one in moves:
        _insert_move(tx, one)
    return True


def _run_body(tx: Tx, run: PoolRun) -> bytes:
    said = {"actor": run.actor, "stays": run.stays, "link": run.link}
    return tx.vault.seal(json.dumps(said).encode(), _run_aad(run.run))


def extend(tx: Tx, run: PoolRun, moves: Sequence[PoolMove]) -> bool:
    """Write the new state of a run that is planned again: its version, the accounts that stay, and further moves. False
    if the run changed meanwhile. A refused move is replaced by the member's next one."""
    if not _change_run(
        tx,
        run.run,
        (RunState.OPEN, RunState.UNMOVED),
        version=run.version,
        body=_run_body(tx, run),
        state=(RunState.PLANNED if moves else RunState.OPEN).value,
        finished_ms=None,
    ):
        return False
    for one in moves:
        refused = (_M.run == one.run) & (_M.place == one.place) & (_M.state == MoveState.REFUSED.value)
        tx.raw.execute(delete(schema.pool_moves).where(refused))
        _insert_move(tx, one)
    return True


def _change_run(tx: Tx, run: str, was: Sequence[RunState], **values: Any) -> bool:
    """Change a run if it is in one of these states; False if it is in another."""
    name = (_R.run == run) & _R.state.in_([one.value for one in was])
    row = tx.fresh.execute(select(schema.pool_runs).where(name)).first()
    if row is None:
        return False
    _RUN_SEAL.check(tx.vault, row)
    values = _RUN_SEAL.changed(tx.vault, row, values)
    return tx.raw.execute(update(schema.pool_runs).where(name).values(values)).rowcount == 1


def _insert_move(tx: Tx, one: PoolMove) -> None:
    body = json.dumps(
        {
            "debit": one.debit,
            "credit": one.credit,
            "amount_minor": one.amount_minor,
            "up": one.up,
            "over": one.over,
            "version": one.version,
        }
    ).encode()
    blind = tx.vault.blind
    tx.raw.execute(
        schema.pool_moves.insert().values(
            _MOVE_SEAL.with_seal(
                tx.vault,
                {
                    "run": one.run,
                    "place": one.place,
                    "pool": one.pool,
                    "version": one.version,
                    "business_date": one.day.isoformat(),
                    "order_id": one.order_id,
                    "debit_idx": blind(one.debit),
                    "credit_idx": blind(one.credit),
                    "child_idx": blind(one.child),
                    "up": int(one.up),
                    "over": int(one.over),
                    "currency": one.currency,
                    "amount_minor": one.amount_minor,
                    "state": one.state.value,
                    "payment": None,
                    "reason": None,
                    "outcome": None,
                    "body": tx.vault.seal(body, _move_aad(one.run, one.place)),
                },
            )
        )
    )


def _change_move(tx: Tx, run: str, place: int, was: MoveState, **values: Any) -> bool:
    """Change a move if it is in this state; False if it is in another."""
    name = (_M.run == run) & (_M.place == place) & (_M.state == was.value)
    row = tx.fresh.execute(select(schema.pool_moves).where(name)).first()
    if row is None:
        return False
    _MOVE_SEAL.check(tx.vault, row)
    return (
        tx.raw.execute(update(schema.pool_moves).where(name).values(_MOVE_SEAL.changed(tx.vault, row, values))).rowcount
        == 1
    )


def settle_move(tx: Tx, move: PoolMove, state: MoveState, payment: str | None, reason: str | None) -> bool:
    """End a planned move, once. False if it was ended already."""
    ended = _change_move(tx, move.run, move.place, MoveState.PLANNED, state=state.value, payment=payment, reason=reason)
    if ended and state is MoveState.ORDERED:
        name = registers.names(schema.pool_moves.name, (move.order_id,))
        registers.note(tx, name, state.value, {"day": move.day.isoformat()})
    return ended


def note_reason(tx: Tx, move: PoolMove, reason: str | None) -> bool:
    """Record at an ordered move why its order is not sent; None: it is sent. False if the same reason is recorded
    already."""
    return move.reason != reason and _change_move(tx, move.run, move.place, MoveState.ORDERED, reason=reason)


def note_outcome(tx: Tx, row: PaymentRow) -> None:
    """Record at a payment's move how the payment ended, because that is needed after the payment is deleted."""
    move = of_order(tx.raw, row.order.id)
    if move is not None and move.payment == row.payment:
        _change_move(tx, move.run, move.place, MoveState.ORDERED, outcome=row.life.state.value)


def finish(tx: Tx, run: str, state: RunState = RunState.DONE) -> bool:
    """Put a run whose moves have all ended into this state. False if a move has not ended, or the run has the state
    already."""
    left = tx.fresh.execute(select(func.count()).where(_M.run == run, _M.state == MoveState.PLANNED.value)).scalar_one()
    if left:
        return False
    was = tuple(one for one in (RunState.PLANNED, RunState.OPEN) if one is not state)
    return _change_run(tx, run, was, state=state.value, finished_ms=None if state is RunState.OPEN else tx.now_ms)


# ---- reading ----


def find(conn: Connection, run: str) -> PoolRun | None:
    """The run with this id."""
    row = conn.execute(select(schema.pool_runs).where(_R.run == run)).first()
    return None if row is None else run_of_row(conn, row)


def unfinished(conn: Connection) -> list[PoolRun]:
    """Runs with moves that are neither ordered nor refused: their node died, or is still working on them."""
    found = conn.execute(select(schema.pool_runs).where(_R.state == RunState.PLANNED.value).order_by(_R.run))
    return [run_of_row(conn, row) for row in found]


def over(conn: Connection, now_ms: int) -> list[PoolRun]:
    """The runs that are still open after their slot has ended."""
    found = conn.execute(
        select(schema.pool_runs).where(_R.state == RunState.OPEN.value, _R.until_ms <= now_ms).order_by(_R.run)
    )
    return [run_of_row(conn, row) for row in found]


def unmoved(conn: Connection, since_ms: int) -> list[PoolRun]:
    """Runs since that time whose slot ended before a member had moved, if the pool had no later run that is done."""
    ended = (RunState.UNMOVED.value, RunState.DONE.value)
    wanted = select(schema.pool_runs).where(_R.state.in_(ended), _R.at_ms >= since_ms)
    found = conn.execute(wanted.order_by(_R.at_ms))
    last: dict[str, list[PoolRun]] = {}
    for run in (run_of_row(conn, row) for row in found):
        if run.state is RunState.UNMOVED:
            last.setdefault(run.pool, []).append(run)
        elif run.link is None:
            last.pop(run.pool, None)
    return [run for runs in last.values() for run in runs]


def listing(conn: Connection, pool: str | None = None, limit: int = 100) -> list[PoolRun]:
    """Runs, the newest first."""
    wanted = select(schema.pool_runs).order_by(_R.at_ms.desc(), _R.run.desc()).limit(limit)
    return [run_of_row(conn, row) for row in conn.execute(wanted if pool is None else wanted.where(_R.pool == pool))]


def moves_of(conn: Connection, run: str) -> list[PoolMove]:
    """The moves of a run, in their order."""
    found = conn.execute(select(schema.pool_moves).where(_M.run == run).order_by(_M.place))
    return [move_of_row(conn, row) for row in found]


def of_order(conn: Connection, order_id: str) -> PoolMove | None:
    """The move whose order has this id."""
    row = conn.execute(select(schema.pool_moves).where(_M.order_id == order_id)).first()
    return None if row is None else move_of_row(conn, row)


def planned(conn: Connection) -> list[PoolMove]:
    """The moves of all pools that are planned and not ordered yet. Their money is reserved."""
    found = conn.execute(select(schema.pool_moves).where(_M.state == MoveState.PLANNED.value))
    return [move_of_row(conn, row) for row in found]


def unsent_of(conn: Connection, run: str) -> int:
    """The number of a run's orders that may be sent without a person and are still unsent. A held order waits for
    persons."""
    return int(
        conn.execute(
            select(func.count())
            .select_from(schema.pool_moves)
            .join(schema.payments, _P.payment == _M.payment)
            .where(_M.run == run, _P.state.in_((State.ACCEPTED.value, State.READY.value)))
        ).scalar_one()
    )


def waiting(conn: Connection) -> dict[str, frozenset[str]]:
    """The accounts of ordered moves whose payments have not left yet, by pool."""
    found = conn.execute(
        select(schema.pool_moves)
        .join(schema.payments, _P.payment == _M.payment)
        .where(_P.lane.in_(select(schema.lanes.c.lane)), _P.state.in_(_UNSENT), _P.sender == TREASURY)
    )
    accounts: dict[str, frozenset[str]] = {}
    for one in (move_of_row(conn, row) for row in found):
        accounts[one.pool] = accounts.get(one.pool, frozenset()) | {one.debit, one.credit}
    return accounts


def moved_minor(conn: Connection, pool: str, day: date) -> int:
    """The sum that the pool's runs moved on a business date inside their mandate, or are about to move."""
    rows = list(_checked(conn, (_M.pool == pool) & (_M.business_date == day.isoformat())))
    _none_missing(conn, f"{pool}.{day:%Y%m%d}", rows)
    # The runs of linked orders name no day in their ids.
    _none_missing(conn, f"{pool}.linked", rows, day)
    return _inside_minor(rows)


def run_minor(conn: Connection, run: str) -> int:
    """The sum that a run moved inside its mandate, or is about to move."""
    return _inside_minor(_checked(conn, _M.run == run))


def _inside_minor(rows: Iterable[Any]) -> int:
    return sum(int(row.amount_minor) for row in rows if not row.over and row.state != MoveState.REFUSED.value)


def lent_minor(conn: Connection, pool: str, accounts: Sequence[str]) -> dict[str, int]:
    """The sum that each member has lent the header, in minor units: moves up minus moves down, without those that
    failed or were returned."""
    vault = vault_of(conn)
    names, lent = {vault.blind(account): account for account in accounts}, dict[str, int]()
    rows = list(_checked(conn, _M.pool == pool))
    _none_missing(conn, pool, rows)
    undone = _undone(conn, pool)
    for row in rows:
        moved = row.state != MoveState.REFUSED.value and row.outcome not in _UNDONE and row.payment not in undone
        if row.child_idx in names and moved:
            account = names[row.child_idx]
            lent[account] = lent.get(account, 0) + (row.amount_minor if row.up else -row.amount_minor)
    return lent


def _undone(conn: Connection, pool: str) -> frozenset[str]:
    """The payments of the pool that moved no money, by their own rows; some moves ended before their outcome was
    stored. Each payment is read with its seal: with an altered state, money that was moved could be lent once more."""
    found = conn.execute(
        select(schema.payments)
        .join(schema.pool_moves, _M.payment == _P.payment)
        .where(_M.pool == pool, _P.sender == TREASURY, _P.state.in_(_UNDONE))
    )
    return frozenset(payment_rows.decode_row(row, vault_of(conn)).payment for row in found)


def _checked(conn: Connection, which: ColumnElement[bool]) -> Iterator[Any]:
    """The rows of moves with each seal checked, so that an altered column hides nothing. Raises SealBroken."""
    vault = vault_of(conn)
    for row in conn.execute(select(schema.pool_moves).where(which)):
        _MOVE_SEAL.check(vault, row)
        yield row


def _none_missing(conn: Connection, prefix: str, rows: Sequence[Any], day: date | None = None) -> None:
    """Raise SealBroken if the audit trail knows an ordered move below this prefix whose row was deleted, or is again a
    row of before it was ordered. `day`: only moves of this business date, which the list of registers has."""
    registers.check_whole(conn, schema.pool_moves.name, prefix)
    known = registers.listed(conn, schema.pool_moves.name, f"{prefix}.")
    missing = {key for key, note in known.items() if day is None or note.words["day"] == day.isoformat()}
    if day is None:
        told = select(_A.object_id).where(
            _A.entry == MOVE_ORDERED, _A.object_id > f"{prefix}.", _A.object_id < f"{prefix}/"
        )
        missing.update(conn.execute(told).scalars())
    missing -= {row.order_id for row in rows if row.state != MoveState.REFUSED.value}
    if missing:
        raise SealBroken(schema.pool_moves.name, min(missing), "is missing")


# ---- the mandate ----


def mandated(tx: Tx, sender: str, order: AnyOrder) -> bool:
    """True if two persons' signatures under a pool authorise this order: it is a move of the version in force, inside
    its ceilings, with the planned accounts and amount."""
    if sender != TREASURY or order.kind is not Kind.TRANSFER:
        return False
    move = of_order(tx.read, order.id)
    if move is None or move.over or move.state is MoveState.REFUSED:
        return False
    return not why_outside(move, pools.last(tx.raw, move.pool), order)


def why_outside(move: PoolMove, row: PoolRow | None, order: AnyOrder) -> str:
    """Why the pool's version in force, `row`, does not authorise this order of a move; "" if it does."""
    if row is None or row.pool is None:
        return "the pool is closed"
    if row.version != move.version:
        return f"version {row.version} of the pool is in force, and version {move.version} ordered it"
    if row.pool.until is not None and move.day > row.pool.until:
        return f"the pool's contract ended on {row.pool.until}"
    said = (order.debtor.account.clear, order.creditor.account.clear, order.amount.minor, order.amount.currency)
    if said != (move.debit, move.credit, move.amount_minor, move.currency):
        return "the order is not the move that was planned"
    children = {one.account for one in row.pool.children}
    pair = (move.child, row.pool.header) if move.up else (row.pool.header, move.child)
    if move.child not in children or pair != (move.debit, move.credit):
        return "the move's accounts are not the pool's"
    return ""


def run_of_row(conn: Connection, row: Any) -> PoolRun:
    """A row of the runs' table as a value. Raises SealBroken if the row was altered."""
    _RUN_SEAL.check(vault_of(conn), row)
    said = json.loads(vault_of(conn).open(row.body, _run_aad(row.run)))
    return PoolRun(
        row.run,
        row.pool,
        row.version,
        date.fromisoformat(row.business_date),
        row.slot,
        said["actor"],
        row.at_ms,
        row.until_ms,
        RunState(row.state),
        row.finished_ms,
        tuple(tuple(one) for one in said["stays"]),
        said.get("link"),
    )


def move_of_row(conn: Connection, row: Any) -> PoolMove:
    """A row of the moves' table as a value. Raises SealBroken if the row was altered."""
    _MOVE_SEAL.check(vault_of(conn), row)
    said = json.loads(vault_of(conn).open(row.body, _move_aad(row.run, row.place)))
    made = PoolMove(
        row.run,
        row.place,
        row.pool,
        said["version"],
        date.fromisoformat(row.business_date),
        said["debit"],
        said["credit"],
        said["up"],
        said["over"],
        row.currency,
        said["amount_minor"],
        MoveState(row.state),
        row.payment,
        row.reason,
        None if row.outcome is None else State(row.outcome),
    )
    # The sealed move is authentic; the clear columns beside it must agree with it.
    there = (row.version, bool(row.up), bool(row.over), row.amount_minor, row.order_id)
    sealed = (made.version, made.up, made.over, made.amount_minor, made.order_id)
    if there != sealed:
        raise SealBroken(_MOVE_SEAL.table, f"{row.run}/{row.place}")
    return made


def _run_aad(run: str) -> bytes:
    return f"pool_runs/body/{run}".encode()


def _move_aad(run: str, place: int) -> bytes:
    return f"pool_moves/body/{run}/{place}".encode()
