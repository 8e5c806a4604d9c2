"""Whether a payment that a cash pool ordered may be sent now, judged in the transaction that records its bytes.

The order was right when it was made. Before it is sent, two persons may have changed or closed the pool, the order that
it funds may have ended, or money may have left its account.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

from gateway.kernel import log
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Tx
from gateway.kernel.core.policy import HOLD_FUNDING
from gateway.payments.rows import lookup
from gateway.pools.rows import linked_orders, pool_facts, pool_moves, pool_runs, pools
from gateway.pools.rows.linked_orders import LinkedOrder, LinkState
from gateway.pools.rows.pool_moves import MoveState, MoveVerdict, PoolMove, PoolRun
from gateway.pools.rules.plan import REASONS, PoolFacts, StayReason, over_quota, why_not_now
from gateway.pools.rules.pool import Pool
from gateway.register.registry import Registry

_log = log.get("treasury.pool_sends")
_MAY = MoveVerdict()


def verdict(tx: Tx, row: PaymentRow, registry: Registry, zone: ZoneInfo) -> MoveVerdict:
    """Whether this payment of the treasury may be sent now. While it waits, the reason is recorded at its move."""
    move = pool_moves.of_order(tx.read, row.order.id)
    run = None if move is None else pool_moves.find(tx.raw, move.run)
    if move is None or run is None or move.state is not MoveState.ORDERED or move.payment != row.payment:
        return MoveVerdict("no move of a pool ordered it", ends=True)
    version = pools.last(tx.raw, move.pool)
    why = pool_moves.why_outside(move, version, row.order)
    pool = None if version is None else version.pool
    if why or pool is None:
        return _ended(tx, move, StayReason.POOL_CHANGED, why)
    link = None if run.link is None else linked_orders.find(tx.raw, run.link)
    if run.link is not None and (why := _why_unlinked(tx, run, link)):
        return _ended(tx, move, StayReason.ORDER_ENDED, why)
    found = pool_facts.defects(registry, move.pool, pool, pools.in_force(tx.raw), move.day)
    if found:
        return _waiting(tx, move, StayReason.REFUSED, "; ".join(found))
    reason = _reason(tx, move, run, pool, row, registry, zone)
    if reason is not None:
        return _waiting(tx, move, reason, REASONS[reason])
    pool_moves.note_reason(tx, move, None)
    return _MAY


def _ended(tx: Tx, move: PoolMove, reason: StayReason, why: str) -> MoveVerdict:
    pool_moves.note_reason(tx, move, reason.value)
    _log.warning(
        "pool.move_withdrawn", order=move.order_id, pool=move.pool, why=why, action="cancelled, nothing was sent"
    )
    return MoveVerdict(why, ends=True)


def _waiting(tx: Tx, move: PoolMove, reason: StayReason, why: str) -> MoveVerdict:
    if pool_moves.note_reason(tx, move, reason.value):
        _log.warning(
            "pool.move_waits",
            order=move.order_id,
            pool=move.pool,
            why=why,
            action="nothing was sent; the transfer is tried again until its slot ends",
        )
    return MoveVerdict(why)


def _why_unlinked(tx: Tx, run: PoolRun, link: LinkedOrder | None) -> str:
    """Why the linked order no longer needs this transfer; "" if it does."""
    order = None if link is None else lookup.fetch(tx.raw, link.payment)
    if link is None or order is None:
        return "the order that it is for is not there any more"
    if link.run == run.run:
        waits = link.state is LinkState.FUNDING and HOLD_FUNDING in order.holds
        return "" if waits else f"the order that it funds is {order.life.state.value}"
    if link.back_run != run.run or link.state is not LinkState.RETURNED:
        return f"its link is {link.state.value}"
    return linked_orders.why_back_already(tx, link, but=run.run)


def _reason(
    tx: Tx, move: PoolMove, run: PoolRun, pool: Pool, row: PaymentRow, registry: Registry, zone: ZoneInfo
) -> StayReason | None:
    """Why the present facts forbid the move; None if they do not."""
    back = run.link is not None and move.up
    if not move.over and not back:
        today_minor = pool_moves.moved_minor(tx.raw, move.pool, move.day)
        if pool_moves.run_minor(tx.raw, move.run) > pool.most_run_minor or today_minor > pool.most_day_minor:
            return StayReason.OVER_CEILING
    # Its own order is not counted. While the accounts are locked, no other node may order anything on them.
    pool_facts.lock(tx, pool)
    facts = pool_facts.read_facts(
        tx, registry, move.pool, pool, move.day, tx.now_ms, zone, without=move, leaving=row.payment
    )
    if run.link is None:
        return why_not_now(pool, pool_runs.planned(move), facts)
    return _why_link_waits(pool, move, facts)


def _why_link_waits(pool: Pool, move: PoolMove, facts: PoolFacts) -> StayReason | None:
    payer = facts.accounts[move.debit]
    unusable = payer.why_unusable(pool, facts.now_ms)
    if unusable is not None:
        return unusable
    if move.amount_minor > payer.movable_minor(0 if move.up else pool.floor_minor):
        return StayReason.CHANGED
    child = next(one for one in pool.children if one.account == move.child)
    return StayReason.QUOTA if over_quota(pool, facts, child, move.amount_minor, move.up) else None
