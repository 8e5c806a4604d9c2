"""The units of a pool's run: plan it, order each of its moves, end it. Each may be repeated on any node.

Planning writes the run with its moves. Ordering a move reads the facts anew, makes the order through the same checks
and the same admission as an ERP's order, and ends the move in the same transaction. So a run whose node died is resumed
by ordering the remaining moves, and no move is ordered twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select

from gateway.kernel.cluster import restored_database
from gateway.kernel.commit import audit
from gateway.kernel.commit.rows import PaymentRow, Reply
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.calendars import MissingYear
from gateway.kernel.sql import schema
from gateway.payments.rows import admission, bank_references, order_checks
from gateway.payments.rows.admission import Admittance
from gateway.payments.rows.order_checks import OrderSource
from gateway.payments.rows.redelivery import Redelivery
from gateway.people.rows.persons import No
from gateway.pools.rows import pool_facts, pool_moves, pools
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun, RunState
from gateway.pools.rules.plan import NOT_KNOWN, PlannedMove, PoolFacts, PoolPlan, StayReason, plan, why_not_now
from gateway.pools.rules.pool import Pool
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY
from protocols.canon import replaced
from protocols.canon.errors import Refusal
from protocols.canon.money import Money
from protocols.canon.order import AnyOrder, Order, TransferDetail
from protocols.canon.outcome import State

UP, DOWN = "up", "down"
_NOBODY = Reply(None, None, None, "application/json")
_PURPOSES = {("CNY", True): "资金归集", ("CNY", False): "资金下拨"}
_IDLE = frozenset({State.REJECTED, State.EXPIRED, State.CANCELLED})
_AGAIN = (RunState.OPEN, RunState.UNMOVED)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request to run a pool, with business date, slot and actor. From `until_ms` on none of its orders is sent."""

    pool: str
    day: date
    slot: str
    until_ms: int
    actor: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The moves that a run would make now, and the facts that it would be planned by."""

    pool: Pool
    facts: PoolFacts
    plan: PoolPlan


def preview(tx: Tx, name: str, day: date, registry: Registry, zone: ZoneInfo) -> Preview | No:
    """The moves that a run of the pool would make now; nothing is written."""
    return _seen(tx, name, day, registry, zone)


def _seen(tx: Tx, name: str, day: date, registry: Registry, zone: ZoneInfo, moved_run_minor: int = 0) -> Preview | No:
    row = pools.last(tx.read, name)
    if row is None or row.pool is None:
        return No("no_such_pool", f"there is no pool {name} in force; `bankgw liquidity list` shows them")
    why = _why_not(tx, name, row.pool, day, registry)
    if why is not None:
        return why
    facts = pool_facts.read_facts(tx, registry, name, row.pool, day, tx.now_ms, zone)
    facts = replace(facts, moved_run_minor=moved_run_minor)
    return Preview(row.pool, facts, plan(row.pool, facts))


def plan_run(tx: Tx, wanted: RunRequest, registry: Registry, zone: ZoneInfo) -> PoolRun | No:
    """Plan the run and store it. An existing run is returned as it is, unless it is a slot's run that is still open:
    then it is planned again for members whose facts were not known."""
    key = pool_moves.run_id(wanted.pool, wanted.day, wanted.slot)
    known = pool_moves.find(tx.fresh, key)
    if known is not None and (known.state not in _AGAIN or not known.by_slot or tx.now_ms >= known.until_ms):
        return known
    row = pools.last(tx.raw, wanted.pool)
    if row is not None and row.pool is not None:
        pool_facts.lock(tx, row.pool)
    seen = _seen(tx, wanted.pool, wanted.day, registry, zone, pool_moves.run_minor(tx.raw, key))
    if isinstance(seen, No):
        return seen
    if known is not None:
        return _plan_again(tx, known, seen)
    stays = tuple((one.account, UP if one.up else DOWN, one.reason.value) for one in seen.plan.stays)
    run = PoolRun(
        key,
        wanted.pool,
        seen.pool.version,
        wanted.day,
        wanted.slot,
        wanted.actor,
        tx.now_ms,
        wanted.until_ms,
        stays=stays,
    )
    moves = [
        PoolMove(
            key,
            place,
            wanted.pool,
            seen.pool.version,
            wanted.day,
            one.debit,
            one.credit,
            one.up,
            one.over,
            seen.pool.currency,
            one.amount_minor,
        )
        for place, one in _placed(seen.pool, seen.plan.moves)
    ]
    if not pool_moves.store_run(tx, run, moves):
        found = pool_moves.find(tx.fresh, key)
        assert found is not None, "another node wrote it at the same time"
        return found
    audit.append(
        tx,
        wanted.actor,
        "pool.run_planned",
        key,
        {
            "pool": wanted.pool,
            "version": seen.pool.version,
            "moves": len(moves),
            "stays": len(stays),
            "sum_minor": sum(one.amount_minor for one in moves),
        },
    )
    return run


def _plan_again(tx: Tx, run: PoolRun, seen: Preview) -> PoolRun:
    """Plan a slot's open run again, for members that have neither moved nor got a lasting reason."""
    before = pool_moves.moves_of(tx.raw, run.run)
    decided = {(one.child, way) for one in before if not _not_known(one) for way in (UP, DOWN)}
    kept = tuple(stay for stay in run.stays if stay[2] not in NOT_KNOWN)
    decided |= {(account, way) for account, way, _reason in kept}
    moves = [
        PoolMove(
            run.run,
            place,
            run.pool,
            seen.pool.version,
            run.day,
            one.debit,
            one.credit,
            one.up,
            one.over,
            seen.pool.currency,
            one.amount_minor,
        )
        for place, one in _placed(seen.pool, seen.plan.moves)
        if (one.debit if one.up else one.credit, UP if one.up else DOWN) not in decided
    ]
    stays = tuple(
        (one.account, UP if one.up else DOWN, one.reason.value)
        for one in seen.plan.stays
        if (one.account, UP if one.up else DOWN) not in decided
    )
    taken = {one.place for one in before if not _not_known(one)}
    free = max((*taken, *(one.place for one in moves)), default=0)
    # Another version may have another member at a place that is used already.
    moves = [replace(one, place=free + n) if one.place in taken else one for n, one in enumerate(moves, 1)]
    again = replace(run, version=seen.pool.version, stays=kept + stays)
    if not moves and again == run and run.state is RunState.OPEN:
        return run
    if not pool_moves.extend(tx, again, moves):
        return run
    if moves:
        audit.append(
            tx,
            run.actor,
            "pool.run_planned",
            run.run,
            {
                "pool": run.pool,
                "version": seen.pool.version,
                "moves": len(moves),
                "stays": len(again.stays),
                "sum_minor": sum(one.amount_minor for one in moves),
                "again": True,
            },
        )
    return pool_moves.find(tx.raw, run.run) or run


def _not_known(move: PoolMove) -> bool:
    """True if a move was refused because facts of its account were not known, so that its member is planned again."""
    return move.state is MoveState.REFUSED and move.reason in NOT_KNOWN


def note_missed(tx: Tx, wanted: RunRequest, pool: Pool, opened_ms: int) -> bool:
    """Record that a slot ended without a planned run of the pool. False if there was a run."""
    version = pools.last(tx.fresh, wanted.pool)
    if version is None or version.pool is None or version.at_ms > opened_ms:
        return False  # the pool was signed after the slot had opened
    key = pool_moves.run_id(wanted.pool, wanted.day, wanted.slot)
    stays = tuple(
        (one.account, way, StayReason.SLOT_OVER.value)
        for one in pool.children
        for way, rule in ((UP, one.up), (DOWN, one.down))
        if rule is not None
    )
    run = PoolRun(
        key,
        wanted.pool,
        version.version,
        wanted.day,
        wanted.slot,
        wanted.actor,
        tx.now_ms,
        wanted.until_ms,
        RunState.UNMOVED,
        tx.now_ms,
        stays,
    )
    if not pool_moves.store_run(tx, run, ()):
        return False
    audit.append(tx, f"node:{tx.node}", "pool.run_missed", key, {"pool": wanted.pool, "version": version.version})
    return True


def _placed(pool: Pool, moves: Sequence[PlannedMove]) -> Iterator[tuple[int, PlannedMove]]:
    """Each move with its place in the run, which is its child's place in the pool. So a member's order has the same id
    when the run is planned again, whatever else moves."""
    places = {one.account: place for place, one in enumerate(pool.children, 1)}
    for one in moves:
        yield places[one.debit if one.up else one.credit], one


def order_move(tx: Tx, run: str, place: int, registry: Registry, zone: ZoneInfo) -> PaymentRow | None:
    """Order one planned move, or record why it is not ordered. None if no payment was made."""
    move = next((one for one in pool_moves.moves_of(tx.fresh, run) if one.place == place), None)
    whole = pool_moves.find(tx.raw, run)
    if move is None or whole is None or move.state is not MoveState.PLANNED:
        return None
    row = pools.last(tx.raw, move.pool)
    pool = None if row is None or row.version != move.version else row.pool
    if pool is None:
        return _refuse(tx, move, StayReason.CHANGED, "another version of the pool is in force")
    if tx.now_ms >= whole.until_ms:
        return _refuse(tx, move, StayReason.SLOT_OVER, "")
    if whole.at_ms <= restored_database.let_go_ms(tx.raw):
        return _refuse(
            tx,
            move,
            StayReason.REFUSED,
            "the journal came back from an earlier time after this run was "
            "planned, and the move may have been ordered before",
        )
    why = _why_not(tx, move.pool, pool, move.day, registry)
    if why is not None:
        return _refuse(tx, move, StayReason.REFUSED, why.why)
    pool_facts.lock(tx, pool)
    facts = pool_facts.read_facts(tx, registry, move.pool, pool, move.day, tx.now_ms, zone, without=move)
    reason = why_not_now(pool, planned(move), facts)
    if reason is not None:
        return _refuse(tx, move, reason, "")
    return admit_move(tx, move, whole, registry, zone)


def end_run(tx: Tx, run: str) -> bool:
    """End a run whose moves are all ordered or refused. False if one is not yet, or if its slot keeps the run open."""
    moves = pool_moves.moves_of(tx.fresh, run)
    state = _end_state(tx, run, moves)
    if not pool_moves.finish(tx, run, state) or state is RunState.OPEN:
        return False
    ordered = [one for one in moves if one.state is MoveState.ORDERED]
    audit.append(
        tx,
        f"node:{tx.node}",
        f"pool.run_{state.value}",
        run,
        {
            "ordered": len(ordered),
            "refused": len(moves) - len(ordered),
            "sum_minor": sum(one.amount_minor for one in ordered),
        },
    )
    return True


def _end_state(tx: Tx, run: str, moves: Sequence[PoolMove]) -> RunState:
    """The state in which a run with these moves ends; all of them are ordered or refused."""
    whole = pool_moves.find(tx.raw, run)
    if whole is None or not whole.by_slot:
        return RunState.DONE
    refused = {one.reason for one in moves if one.state is MoveState.REFUSED}
    unknown = bool(NOT_KNOWN & ({reason for _, _, reason in whole.stays} | refused))
    here = pool_moves.unsent_of(tx.raw, run)
    if tx.now_ms < whole.until_ms:
        return RunState.OPEN if unknown or here else RunState.DONE
    if here:
        return RunState.OPEN  # each of these orders ends by its own work when its validity ends
    lost = unknown or StayReason.SLOT_OVER in refused or any(one.outcome in _IDLE for one in moves)
    return RunState.UNMOVED if lost else RunState.DONE


def planned(move: PoolMove) -> PlannedMove:
    """A stored move in the form in which the plan has it."""
    return PlannedMove(move.debit, move.credit, move.amount_minor, move.up, move.over)


def admit_move(tx: Tx, move: PoolMove, run: PoolRun, registry: Registry, zone: ZoneInfo) -> PaymentRow | None:
    """Order a planned move of a stored run, or end it with the reason. None if no payment was made."""
    made = order_of(move, run, registry)
    source = order_source(tx, registry, f"rule:{move.pool}", zone)
    checked = order_checks.checked(source, made, over_mandate=move.over)
    if isinstance(checked, Refusal):
        faults = "; ".join(f"{one.at} {one.detail}" for one in checked.faults)
        return _refuse(tx, move, StayReason.REFUSED, faults or checked.title)
    reference = bank_references.derived(checked.form, tx.vault, checked.bank, made.id)
    if taken := _taken(tx, checked.bank, reference, made.id):
        return _refuse(tx, move, StayReason.REFUSED, f"its bank reference {reference} belongs to {taken}")
    admitted = admission.admit(tx, replaced.replace(checked, reference=reference), tx.entropy)
    row = admitted.row
    if admitted.kind is Admittance.CONFLICT:
        return _refuse(tx, move, StayReason.REFUSED, "its order id belongs to another order")
    if row.life.state in _IDLE:
        _refuse(tx, move, StayReason.REFUSED, "over a limit of sender treasury")
        return row
    pool_moves.settle_move(tx, move, MoveState.ORDERED, row.payment, None)
    audit.append(
        tx,
        source.actor,
        pool_moves.MOVE_ORDERED,
        move.order_id,
        {"payment": row.payment, "state": row.life.state.value, "over": move.over},
    )
    return row if admitted.kind is Admittance.NEW else None


def _taken(tx: Tx, bank: str, reference: str, order_id: str) -> str:
    """Another use of this reference at the bank; "" if there is none."""
    p, b = schema.payments.c, schema.bundles.c
    payment = tx.read.execute(select(p.sender, p.order_id).where(p.bank_ref == reference, p.bank == bank)).first()
    if payment is not None and (payment.sender, payment.order_id) != (TREASURY, order_id):
        return f"order {payment.sender}:{payment.order_id}"
    bundle = tx.raw.execute(select(b.bundle).where(b.bank_ref == reference, b.ref_bank == bank)).scalar()
    return "" if bundle is None else f"bundle {bundle}"


def order_of(move: PoolMove, run: PoolRun, registry: Registry) -> AnyOrder:
    """The order of a move; it is always the same for the same move."""
    made: Order[TransferDetail] = Order(
        id=move.order_id,
        debtor=registry.parties[move.debit],
        creditor=registry.parties[move.credit],
        amount=Money(move.amount_minor, move.currency),
        detail=TransferDetail("sweep" if move.up else "push"),
        purpose=_PURPOSES.get((move.currency, move.up), "cash pool"),
        valid_until=datetime.fromtimestamp(run.until_ms / 1000, UTC),
        maker=f"pool:{move.pool}",
    )
    return made


def order_source(tx: Tx, registry: Registry, actor: str, zone: ZoneInfo) -> OrderSource:
    """The treasury as the sender of an order, at the present time."""
    now = datetime.fromtimestamp(tx.now_ms / 1000, UTC)
    # A pool moves the same amount each day, so that a similar order is no sign of a duplicate; the run's id proves
    # identity.
    sender = registry.senders[TREASURY]
    sender = replace(sender, allowance=replace(sender.allowance, alike_hours=0))
    return OrderSource(
        sender,
        registry,
        _NOBODY,
        Redelivery(redelivered=False, arrived_ms=tx.now_ms),
        actor,
        tx.now_ms,
        now,
        now.astimezone(zone).date(),
    )


def _refuse(tx: Tx, move: PoolMove, reason: StayReason, why: str) -> PaymentRow | None:
    """Record that the move is refused. Returns None, because there is no payment."""
    if pool_moves.settle_move(tx, move, MoveState.REFUSED, None, reason.value):
        audit.append(tx, f"rule:{move.pool}", "pool.move_refused", move.order_id, {"reason": reason.value, "why": why})
    return None


def _why_not(tx: Tx, name: str, pool: Pool, day: date, registry: Registry) -> No | None:
    """Why the pool cannot run with the present register, calendar and other pools; "" if it can."""
    found = pool_facts.defects(registry, name, pool, pools.in_force(tx.read), day)
    if found:
        return No("pool_unusable", f"pool {name}: {'; '.join(found)}; nothing was moved")
    return None


def is_holiday(registry: Registry, pool: Pool, day: date) -> bool:
    """Whether the pool's calendar says that this day is no business day. For a year that it lacks the answer is
    False."""
    calendar = registry.calendars.get(pool.calendar)
    return calendar is not None and day.year in calendar.years and not calendar.is_open(day)


def closed_on(registry: Registry, pool: Pool, day: date) -> str:
    """Why no run is due on this day: it is no business day, or the calendar lacks its year; "" if one is due."""
    calendar = registry.calendars.get(pool.calendar)
    if calendar is None:
        return f"there is no calendar {pool.calendar}"
    try:
        return "" if calendar.is_open(day) else f"{day} is no business day of calendar {pool.calendar}"
    except MissingYear as error:
        return str(error)
