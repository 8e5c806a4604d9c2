"""The units of a pool's run: plan it, order each of its moves, end it. Each may be repeated, on any node.

Planning writes the run with its moves. Ordering a move looks at the facts anew, makes the order through the same checks
and the same admission as an ERP's order, and ends the move in the same transaction. So a run that dies at any point is
resumed by doing what is left, and no move is ordered twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from gateway.core.calendars import MissingYear
from gateway.core.policy import HOLD_BAND
from gateway.journal.commit import audit
from gateway.journal.commit.rows import PaymentRow, Reply
from gateway.journal.commit.store import Tx
from gateway.journal.payments import admission, order_checks, pool_moves, pools
from gateway.journal.payments.admission import Admittance
from gateway.journal.payments.order_checks import OrderSource
from gateway.journal.payments.pool_moves import MoveState, PoolMove, PoolRun
from gateway.journal.payments.redelivery import Coming
from gateway.journal.people.persons import No
from gateway.registry import Registry
from gateway.settings.agreement import TREASURY
from gateway.treasury import pool_facts
from gateway.treasury.liquidity.plan import PlannedMove, PoolFacts, PoolPlan, StayReason, plan, why_not_now
from gateway.treasury.liquidity.pool import Pool
from protocols.canon.errors import Refusal
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Order, TransferDetail
from protocols.canon.outcome import State

UP, DOWN = "up", "down"
_NOBODY = Reply(None, None, None, "application/json")
_PURPOSES = {("CNY", True): "资金归集", ("CNY", False): "资金下拨"}
_IDLE = frozenset({State.REJECTED, State.EXPIRED, State.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that is wanted: of a pool, on a business date, in a slot, by an actor. From `until_ms` on nothing of it is
    sent."""

    pool: str
    day: date
    slot: str
    until_ms: int
    actor: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do now, and what it would look at."""

    pool: Pool
    facts: PoolFacts
    plan: PoolPlan


def preview(tx: Tx, name: str, day: date, registry: Registry, zone: ZoneInfo) -> Preview | No:
    """What a run of the pool would move now. Nothing is written."""
    row = pools.last(tx.read, name)
    if row is None or row.pool is None:
        return No("no_such_pool", f"there is no pool {name} in force; `bankgw liquidity list` shows them")
    why = _why_not(tx, name, row.pool, day, registry)
    if why is not None:
        return why
    facts = pool_facts.read(tx.read, registry, name, row.pool, day, tx.now_ms, zone)
    return Preview(row.pool, facts, plan(row.pool, facts))


def plan_run(tx: Tx, wanted: RunRequest, registry: Registry, zone: ZoneInfo) -> PoolRun | No:
    """Plan the run and write it down. A run that is there already is returned as it is."""
    key = pool_moves.run_id(wanted.pool, wanted.day, wanted.slot)
    known = pool_moves.find(tx.fresh, key)
    if known is not None:
        return known
    row = pools.last(tx.raw, wanted.pool)
    if row is not None and row.pool is not None:
        pool_facts.lock(tx, row.pool)
    seen = preview(tx, wanted.pool, wanted.day, registry, zone)
    if isinstance(seen, No):
        return seen
    stays = tuple((one.account, UP if one.up else DOWN, one.reason.value) for one in seen.plan.stays)
    run = PoolRun(key, wanted.pool, seen.pool.version, wanted.day, wanted.slot, wanted.actor, tx.now_ms,
                  wanted.until_ms, stays=stays)  # fmt: skip
    moves = [
        PoolMove(key, place, wanted.pool, seen.pool.version, wanted.day, one.debit, one.credit, one.up, one.over,
                 seen.pool.currency, one.amount_minor)
        for place, one in enumerate(seen.plan.moves, 1)
    ]  # fmt: skip
    if not pool_moves.write(tx, run, moves):
        found = pool_moves.find(tx.fresh, key)
        assert found is not None, "another node wrote it in this moment"
        return found
    audit.append(tx, wanted.actor, "pool.run_planned", key, {
        "pool": wanted.pool, "version": seen.pool.version, "moves": len(moves), "stays": len(stays),
        "sum_minor": sum(one.amount_minor for one in moves),
    })  # fmt: skip
    return run


def order_move(tx: Tx, run: str, place: int, registry: Registry, zone: ZoneInfo) -> PaymentRow | None:
    """Order one planned move, or write down why it is not ordered. None if nothing became a payment."""
    move = next((one for one in pool_moves.moves_of(tx.fresh, run) if one.place == place), None)
    planned = pool_moves.find(tx.raw, run)
    if move is None or planned is None or move.state is not MoveState.PLANNED:
        return None
    row = pools.last(tx.raw, move.pool)
    pool = None if row is None or row.version != move.version else row.pool
    if pool is None:
        return _refuse(tx, move, StayReason.CHANGED, "another version of the pool is in force")
    if tx.now_ms >= planned.until_ms:
        return _refuse(tx, move, StayReason.SLOT_OVER, "")
    why = _why_not(tx, move.pool, pool, move.day, registry)
    if why is not None:
        return _refuse(tx, move, StayReason.REFUSED, why.why)
    pool_facts.lock(tx, pool)
    facts = pool_facts.read(tx.read, registry, move.pool, pool, move.day, tx.now_ms, zone, without=move)
    reason = why_not_now(pool, _planned(move), facts)
    if reason is not None:
        return _refuse(tx, move, reason, "")
    return admit_move(tx, move, planned, registry, zone)


def end_run(tx: Tx, run: str) -> bool:
    """End a run whose moves are all ordered or refused. False if one is not yet."""
    if not pool_moves.finish(tx, run):
        return False
    moves = pool_moves.moves_of(tx.raw, run)
    ordered = [one for one in moves if one.state is MoveState.ORDERED]
    audit.append(tx, f"node:{tx.node}", "pool.run_done", run, {
        "ordered": len(ordered), "refused": len(moves) - len(ordered),
        "sum_minor": sum(one.amount_minor for one in ordered),
    })  # fmt: skip
    return True


def _planned(move: PoolMove) -> PlannedMove:
    return PlannedMove(move.debit, move.credit, move.amount_minor, move.up, move.over)


def admit_move(tx: Tx, move: PoolMove, run: PoolRun, registry: Registry, zone: ZoneInfo) -> PaymentRow | None:
    """Order a move that is written down and planned, or end it with the reason. None if nothing became a payment."""
    made = order_of(move, run, registry)
    source = order_source(tx, registry, f"rule:{move.pool}", zone)
    hold = HOLD_BAND if move.over else None
    checked = order_checks.checked(source, made, hold=hold)
    if isinstance(checked, Refusal):
        faults = "; ".join(f"{one.at} {one.detail}" for one in checked.faults)
        return _refuse(tx, move, StayReason.REFUSED, faults or checked.title)
    admitted = admission.admit(tx, checked, tx.entropy)
    row = admitted.row
    if admitted.kind is Admittance.CONFLICT:
        return _refuse(tx, move, StayReason.REFUSED, "its order id belongs to another order")
    if row.life.state in _IDLE:
        _refuse(tx, move, StayReason.REFUSED, "over a limit of sender treasury")
        return row
    pool_moves.settle_move(tx, move, MoveState.ORDERED, row.payment, None)
    audit.append(tx, source.actor, "pool.move_ordered", move.order_id, {
        "payment": row.payment, "state": row.life.state.value, "over": move.over})  # fmt: skip
    return row if admitted.kind is Admittance.NEW else None


def order_of(move: PoolMove, run: PoolRun, registry: Registry) -> AnyOrder:
    """The order of a move: always the same one."""
    made: Order[TransferDetail] = Order(
        id=move.order_id, debtor=registry.parties[move.debit], creditor=registry.parties[move.credit],
        amount=Money(move.amount_minor, move.currency), detail=TransferDetail("sweep" if move.up else "push"),
        purpose=_PURPOSES.get((move.currency, move.up), "cash pool"),
        valid_until=datetime.fromtimestamp(run.until_ms / 1000, UTC), maker=f"pool:{move.pool}",
    )  # fmt: skip
    return made


def order_source(tx: Tx, registry: Registry, actor: str, zone: ZoneInfo) -> OrderSource:
    """Treasury as the sender of an order, now."""
    now = datetime.fromtimestamp(tx.now_ms / 1000, UTC)
    # A pool moves the same amount day after day: an alike order is no sign of a duplicate, and the run's id is proof.
    sender = registry.senders[TREASURY]
    sender = replace(sender, allowance=replace(sender.allowance, alike_hours=0))
    return OrderSource(sender, registry, _NOBODY, Coming(redelivered=False, arrived_ms=tx.now_ms),
                       actor, tx.now_ms, now, now.astimezone(zone).date())  # fmt: skip


def _refuse(tx: Tx, move: PoolMove, reason: StayReason, why: str) -> PaymentRow | None:
    """End the move without an order; there is no payment to return."""
    if pool_moves.settle_move(tx, move, MoveState.REFUSED, None, reason.value):
        audit.append(tx, f"rule:{move.pool}", "pool.move_refused", move.order_id, {"reason": reason.value, "why": why})
    return None


def _why_not(tx: Tx, name: str, pool: Pool, day: date, registry: Registry) -> No | None:
    """Why the pool cannot run with the register, the calendar and the other pools as they are now."""
    found = pool_facts.defects(registry, name, pool, pools.in_force(tx.read), day)
    if found:
        return No("pool_unusable", f"pool {name}: {'; '.join(found)}; nothing was moved")
    return None


def closed_on(registry: Registry, pool: Pool, day: date) -> str:
    """Why no run is due on this day: it is no business day, or its year is missing; "" if one is."""
    calendar = registry.calendars.get(pool.calendar)
    if calendar is None:
        return f"there is no calendar {pool.calendar}"
    try:
        return "" if calendar.is_open(day) else f"{day} is no business day of calendar {pool.calendar}"
    except MissingYear as error:
        return str(error)

