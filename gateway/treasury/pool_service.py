"""Runs cash pools: when a slot of a business day opens, and when a person asks. Resumes runs whose node died."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, gatherResults
from twisted.python.failure import Failure

from gateway import log
from gateway.asking import Asker, Unavailable
from gateway.clock import Clock
from gateway.journal.commit.rows import PaymentRow
from gateway.journal.commit.store import Store, StoreFailed, Tx
from gateway.journal.payments import accounts, linked_orders, pool_moves, pools
from gateway.journal.payments.linked_orders import LinkedOrder, LinkState
from gateway.journal.payments.pool_moves import MoveState, PoolMove, PoolRun
from gateway.journal.people.persons import No
from gateway.meters import Meters
from gateway.registry import Registry
from gateway.settings.agreement import TREASURY
from gateway.tasks import Tasks, attempt, sleep
from gateway.treasury import linked_runs, pool_facts, pool_runs
from gateway.treasury.linked_runs import LinkSetting
from gateway.treasury.liquidity.pool import Pool, Slot
from gateway.treasury.pool_runs import RunRequest
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.kit.errors import ProtocolError

LOOK_S = 20.0
"""So often it is looked whether a slot has opened, or a run was left by a node that died."""
BALANCE_S = 60.0
GATHER = timedelta(seconds=45)
"""So long after a slot has opened the nodes ask for balances; then the first of them plans the run."""
RETURNS = timedelta(days=8)
"""So long it is looked whether a bank gives back the transfer that brought a linked payment's money back."""
_log = log.get("treasury.pool_service")


@dataclass(frozen=True, slots=True)
class PoolParts:
    """What running pools needs. `idle` says why no run may begin now (draining, stopped); "" if one may. `on_payment`
    hears of each payment that a run makes."""

    store: Store
    clock: Clock
    meters: Meters
    registry: Callable[[], Registry]
    ask: Asker
    zone: ZoneInfo
    idle: Callable[[], str]
    on_payment: Callable[[PaymentRow], None]


class PoolService:
    """See the module. `start` begins, `stop` ends; `run` is one run, for a person who asks."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts
        self._tasks = Tasks(self._defect)
        self._told: set[str] = set()
        self._running: set[str] = set()

    @property
    def zone(self) -> ZoneInfo:
        """The zone of slots and business dates."""
        return self._parts.zone

    def start(self) -> None:
        """Look for slots from now on, if the settings let pools send; call it again when they have changed."""
        if not len(self._tasks) and TREASURY in self._parts.registry().senders:
            self._tasks.spawn(self._for_ever())

    def stop(self) -> None:
        """Begin nothing any more; what is half done is resumed by whoever starts next."""
        self._tasks.stop()

    def _defect(self, failure: Failure) -> None:
        _log.error("pool.defect", error=failure.getTraceback(detail="brief"), action="pools run again after a restart")
        self._parts.meters.alarms.labels("impossible").inc()

    async def _for_ever(self) -> None:
        while True:
            await attempt(self.look, self._look_failed, ends=StoreFailed)
            await sleep(self._parts.clock, LOOK_S)

    def _look_failed(self, error: str) -> None:
        _log.error("pool.look_failed", error=error, action="tried again")
        self._parts.meters.alarms.labels("impossible").inc()

    async def look(self) -> None:
        """Resume what was left, then run every slot that is open and has no run yet."""
        if self._parts.idle() or TREASURY not in self._parts.registry().senders:
            return
        for left in await self._parts.store.read(pool_moves.unfinished):
            await self._each(self._resume, left)
        since_ms = self._parts.clock.now_ms() - int(RETURNS.total_seconds() * 1000)
        for link in await self._parts.store.read(partial(_open_links, since_ms=since_ms)):
            await self._each(self._link, link)
        now = self.local()
        for name, pool in (await self._parts.store.read(pools.in_force)).items():
            for slot in pool.slots:
                if slot.opens <= now.time() < slot.closes:
                    await self._each(self._scheduled, name, pool, slot, now)

    async def _link(self, link: LinkedOrder) -> None:
        """Do a linked payment's next step, with balances that are fresh enough to see it."""
        parts, setting = self._parts, self.link_setting()
        now_ms = parts.clock.now_ms()
        if await parts.store.read(lambda conn: linked_runs.due(conn, link, now_ms)):
            row = await parts.store.read(lambda conn: pools.last(conn, link.pool))
            if link.state is LinkState.FUNDING:
                await self._ask_balance(link.member)
            elif row is not None and row.pool is not None:
                await self.refresh(row.pool, (row.pool.header, link.member))
        leg = await parts.store.write(lambda tx: linked_runs.advance(tx, link.payment, setting))
        if leg is not None:
            self.on_payment(leg)

    def link_setting(self) -> LinkSetting:
        """What the units of linked payments know beside the journal."""
        return LinkSetting(self._parts.registry(), self._parts.zone)

    def on_payment(self, row: PaymentRow) -> None:
        """Count and tell a payment that a pool made."""
        self._parts.meters.payments.labels(row.bank, row.life.state.value).inc()
        self._parts.on_payment(row)

    async def _each(self, act: Callable[..., Awaitable[None]], *about: Any) -> None:
        """What goes wrong with one pool stops no other."""
        await attempt(partial(act, *about), self._look_failed, ends=StoreFailed)

    async def _resume(self, left: PoolRun) -> None:
        if left.run not in self._running:
            await self.carry_on(left)

    def local(self) -> datetime:
        """Now, in the zone of the settings."""
        return datetime.fromtimestamp(self._parts.clock.now_ms() / 1000, UTC).astimezone(self._parts.zone)

    async def _scheduled(self, name: str, pool: Pool, slot: Slot, now: datetime) -> None:
        day = now.date()
        key = pool_moves.run_id(name, day, slot.name)
        known = await self._parts.store.read(lambda conn: pool_moves.find(conn, key))
        if known is not None:
            return
        why = pool_runs.closed_on(self._parts.registry(), pool, day)
        if why:
            self._tell_once(key, name, why)
            return
        if now < datetime.combine(day, slot.opens, self._parts.zone) + GATHER:
            # Each node asks the banks of its own lanes, so that whichever plans the run finds all balances.
            await self.refresh(pool)
            return
        until_ms = int(datetime.combine(day, slot.closes, self._parts.zone).timestamp() * 1000)
        said = await self.run(RunRequest(name, day, slot.name, until_ms, f"rule:{name}"), pool)
        if isinstance(said, No):
            self._tell_once(key, name, said.why)

    def _tell_once(self, key: str, name: str, why: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._parts.meters.pool_runs.labels("not_run").inc()
            _log.warning("pool.not_run", pool=name, run=key, why=why, action="nothing was moved; see `bankgw liquidity "
                         "preview`")  # fmt: skip

    async def run(self, wanted: RunRequest, pool: Pool) -> PoolRun | No:
        """Ask the banks for fresh balances, plan the run, and order its moves. The same run again is resumed."""
        await self.refresh(pool)
        registry, zone = self._parts.registry(), self._parts.zone
        begun = await self._parts.store.write(lambda tx: pool_runs.plan_run(tx, wanted, registry, zone))
        if isinstance(begun, No):
            return begun
        return await self.carry_on(begun)

    async def carry_on(self, run: PoolRun) -> PoolRun:
        """Order what of a planned run is not ordered yet, and end it."""
        if run.run in self._running:
            return run
        self._running.add(run.run)
        try:
            moves = await self._parts.store.read(lambda conn: pool_moves.moves_of(conn, run.run))
            for move in moves:
                if move.state is MoveState.PLANNED:
                    await self._order(move)
            if await self._parts.store.write(lambda tx: pool_runs.end_run(tx, run.run)):
                await self._count(run.run)
        finally:
            self._running.discard(run.run)
        found = await self._parts.store.read(lambda conn: pool_moves.find(conn, run.run))
        return found or run

    async def _order(self, move: PoolMove) -> None:
        parts = self._parts
        row = await parts.store.write(
            lambda tx: pool_runs.order_move(tx, move.run, move.place, parts.registry(), parts.zone)
        )
        if row is not None:
            self.on_payment(row)

    async def _count(self, run: str) -> None:
        moves = await self._parts.store.read(lambda conn: pool_moves.moves_of(conn, run))
        for one in moves:
            self._parts.meters.pool_moves.labels(one.state.value).inc()
        self._parts.meters.pool_runs.labels("done").inc()
        _log.info("pool.run_done", run=run, moves=len(moves),
                  ordered=sum(one.state is MoveState.ORDERED for one in moves))  # fmt: skip

    async def refresh(self, pool: Pool, only: Sequence[str] = ()) -> None:
        """Ask for the balance of each account (of `only` these) that is not fresh by half of what the pool allows.
        Silence is no error here: what stays stale moves nothing."""
        parts = self._parts
        told = await parts.store.read(lambda conn: accounts.balances_of(conn, pool.accounts))
        now_ms = parts.clock.now_ms()
        old = [account for account in only or pool.accounts if (known := told.get(account)) is None
               or now_ms - pool_facts.as_of_ms(known) > pool.fresh_s * 500]  # fmt: skip
        asking = [Deferred.fromCoroutine(self._ask_balance(account)) for account in old]
        await gatherResults(asking, consumeErrors=True)

    async def _ask_balance(self, account: str) -> None:
        parts = self._parts
        route = parts.registry().routes.get(account)
        put = None if route is None else parts.registry().banks[route.bank].questions.balance
        if route is None or put is None:
            return
        question = BalanceQuestion(AccountNumber(account), route.currency)
        try:
            balance = await parts.ask(route.lane, "balance", partial(put, question), BALANCE_S)
        except (Unavailable, ProtocolError) as error:
            _log.warning("pool.balance_not_told", bank=route.bank, lane=route.lane, error=str(error),
                         action="an account whose balance is too old moves nothing")  # fmt: skip
            return

        def unit(tx: Tx) -> None:
            accounts.keep_balance(tx, route.bank, balance, route.currency)

        await parts.store.write(unit)


def _open_links(conn: Connection, since_ms: int) -> list[LinkedOrder]:
    back = linked_orders.in_state(conn, LinkState.BACK, since_ms=since_ms)
    return [*linked_orders.in_state(conn, *linked_orders.OPEN, LinkState.RETURNED), *back]
