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

from gateway.kernel import log
from gateway.kernel.asking import AskBank, Unavailable
from gateway.kernel.clock import Clock
from gateway.kernel.cluster import restored_database
from gateway.kernel.commit.rows import PaymentRow
from gateway.kernel.commit.store import Store, StoreFailed, Tx
from gateway.kernel.meters import Meters
from gateway.kernel.sql.sealed import ROW_ALTERED, SealBroken
from gateway.kernel.tasks import Tasks, attempt, sleep
from gateway.people.rows.persons import No
from gateway.pools.rows import linked_orders, linked_runs, pool_facts, pool_moves, pool_runs, pools
from gateway.pools.rows.linked_orders import LinkedOrder, LinkState
from gateway.pools.rows.linked_runs import LinkSetting
from gateway.pools.rows.pool_moves import MoveState, PoolMove, PoolRun, RunState
from gateway.pools.rows.pool_runs import RunRequest
from gateway.pools.rules.pool import Pool, Slot
from gateway.register.registry import Registry
from gateway.settings.agreement import TREASURY
from gateway.statements.rows import accounts
from protocols.canon.party import AccountNumber
from protocols.canon.query import BalanceQuestion
from protocols.kit.errors import ProtocolError

LOOK_S = 20.0
"""How often to check whether a slot has opened, or a dead node left a run."""
BALANCE_S = 60.0
GATHER = timedelta(seconds=45)
"""How long after the opening of a slot the nodes ask for balances, before the first of them plans the run."""
MISSED_DAYS = 4
"""How many days back to check for a slot that ended without a run: over a weekend and a holiday."""
ELSEWHERE = "lane_elsewhere"
WRONG_DAY = {
    "clock_differs": "this node's clock differs from the bank's, and the day may be another one",
    "clock_set": "this node's clock was set, and no bank has told its time since",
}
LINKS_A_LOOK = 500
"""How many linked payments of a group are checked in one round."""
RETURNS = timedelta(days=8)
"""How long to check whether a bank returns the transfer that brought a linked payment's money back."""
MAYBE_RUN_BEFORE = (
    "the journal came back from an earlier time, and this slot may have been run before; look at the "
    "banks' books, then run the pool by hand if its moves are missing"
)
_RETURNS_MS = int(RETURNS.total_seconds() * 1000)
_IN_MOTION = (LinkState.FUNDING, LinkState.UNFUNDED, LinkState.RELEASED, LinkState.RETURNED)
_WAITING, _UNDECIDED, _RETURNED = (LinkState.WAITING,), (LinkState.UNDECIDED,), (LinkState.BACK,)
_log = log.get("treasury.pool_service")


@dataclass(frozen=True, slots=True)
class PoolParts:
    """The parts that running pools needs. `idle` says why nothing may be planned or ordered now (draining, stopped,
    SAFE MODE); "" if it may. `on_payment` is called with each payment that a run makes. `why_not_here` says why this
    node plans nothing for a lane: another node owns it, or the day is in doubt; "" if it plans."""

    store: Store
    clock: Clock
    meters: Meters
    registry: Callable[[], Registry]
    ask: AskBank
    zone: ZoneInfo
    idle: Callable[[], str]
    on_payment: Callable[[PaymentRow], None]
    why_not_here: Callable[[str], str]


class PoolService:
    """Runs cash pools at their slots, and when a person asks (`run`). `start` begins, `stop` ends."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts
        self._tasks = Tasks(self._defect)
        self._told: set[str] = set()
        self._running: set[str] = set()
        self._looked_back: set[str] = set()
        self._turns = _Turns()

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of slots and business dates."""
        return self._parts.zone

    def start(self) -> None:
        """Begin to look for due slots, if the settings let pools send. Call it again when the settings have changed."""
        if not len(self._tasks) and TREASURY in self._parts.registry().senders:
            self._tasks.spawn(self._for_ever())

    def stop(self) -> None:
        """Begin no further run. The next start, here or on another node, resumes unfinished runs."""
        self._tasks.stop()

    def _defect(self, failure: Failure) -> None:
        _log.error(
            "pool.defect",
            error=failure.getTraceback(detail="brief"),
            action="a defect of the program: no pool runs by itself until a restart; report this error",
        )
        self._parts.meters.alarms.labels("impossible").inc()

    async def _for_ever(self) -> None:
        while True:
            await self._each(self.run_due)
            await sleep(self._parts.clock, LOOK_S)

    def _look_failed(self, error: str) -> None:
        _log.error("pool.look_failed", error=error, action=f"due pools are looked for again in {LOOK_S:.0f} s")
        self._parts.meters.alarms.labels("impossible").inc()

    async def run_due(self) -> None:
        """Resume unfinished runs, then run every slot that is open and has no run yet."""
        if self._parts.idle() or TREASURY not in self._parts.registry().senders:
            return
        for left in await self._parts.store.read(pool_moves.unfinished):
            await self._each(self._resume, left)
        for name, waiting in (await self._parts.store.read(pool_moves.waiting)).items():
            await self._each(self._freshen, name, waiting)
        for link in await self._turns.next(self._parts.store, self._parts.clock.now_ms()):
            if self._parts.idle():
                return
            await self._each(self._link, link)
        now_ms = self._parts.clock.now_ms()
        for run in await self._parts.store.read(partial(pool_moves.over, now_ms=now_ms)):
            await self._each(self._resume, run)
        now = self.local()
        for name, pool in (await self._parts.store.read(pools.in_force)).items():
            for slot in pool.slots:
                if slot.opens <= now.time() < slot.closes:
                    await self._each(self._scheduled, name, pool, slot, now)
                await self._each(self._look_back, name, pool, slot, now)

    async def _freshen(self, name: str, accounts_: frozenset[str]) -> None:
        """Ask for new balances of accounts whose transfers have not been sent yet, because the balances are checked
        again at the send."""
        row = await self._parts.store.read(lambda conn: pools.last(conn, name))
        if row is not None and row.pool is not None:
            await self.refresh(row.pool, [one for one in row.pool.accounts if one in accounts_])

    async def _link(self, link: LinkedOrder) -> None:
        """Do a linked payment's next step, with balances that are recent enough for it."""
        parts, setting = self._parts, self.link_setting()
        now_ms = parts.clock.now_ms()
        if await parts.store.read(lambda conn: linked_runs.due(conn, link, now_ms)):
            row = await parts.store.read(lambda conn: pools.last(conn, link.pool))
            if link.state is LinkState.FUNDING:
                await self._ask_balance(link.member)
            elif row is not None and row.pool is not None:
                await self.refresh(row.pool, (row.pool.header, link.member))
                if self._why_not_here(row.pool):
                    return  # each node asks for the balances of its own lanes
        leg = await parts.store.write(lambda tx: linked_runs.advance(tx, link.payment, setting))
        if leg is not None:
            self.on_payment(leg)

    def link_setting(self) -> LinkSetting:
        """The facts that units about linked payments need and the journal does not have."""
        return LinkSetting(self._parts.registry(), self._parts.zone)

    def on_payment(self, row: PaymentRow) -> None:
        """Count and log a payment that a pool made."""
        self._parts.meters.payments.labels(row.bank, row.life.state.value).inc()
        self._parts.on_payment(row)

    async def _each(self, act: Callable[..., Awaitable[None]], *about: Any) -> None:
        """Run one pool's work. An error is logged and does not stop the other pools."""

        async def act_on_sealed_rows() -> None:
            try:
                await act(*about)
            except SealBroken as broken:
                self._row_altered(broken)

        await attempt(act_on_sealed_rows, self._look_failed, ends=StoreFailed)

    def _row_altered(self, broken: SealBroken) -> None:
        """Report an altered row once. Nothing is planned or ordered by it until it is repaired."""
        if str(broken) not in self._told:
            self._told.add(str(broken))
            _log.error(
                "journal.row_altered",
                table=broken.table,
                row=broken.key,
                error=str(broken),
                action="pools that need this row move nothing; see docs/do/runbooks/BankgwAlarmRowAltered.md",
            )
            self._parts.meters.alarms.labels(ROW_ALTERED).inc()

    async def _resume(self, left: PoolRun) -> None:
        if left.run not in self._running:
            await self.carry_on(left)

    def local(self) -> datetime:
        """The present time in the zone of the settings."""
        return datetime.fromtimestamp(self._parts.clock.now_ms() / 1000, UTC).astimezone(self._parts.zone)

    async def _scheduled(self, name: str, pool: Pool, slot: Slot, now: datetime) -> None:
        day = now.date()
        key = pool_moves.run_id(name, day, slot.name)
        known = await self._parts.store.read(lambda conn: pool_moves.find(conn, key))
        if known is not None and known.state in (RunState.PLANNED, RunState.DONE):
            return
        why = pool_runs.closed_on(self._parts.registry(), pool, day)
        if why:
            self._tell_once(key, name, why)
            return
        opens = datetime.combine(day, slot.opens, self._parts.zone)
        if opens.timestamp() * 1000 <= await self._parts.store.read(restored_database.let_go_ms):
            self._tell_once(key, name, MAYBE_RUN_BEFORE)
            return
        # Each node asks the banks of its own lanes, so that the owner of the header's lane finds all balances.
        await self.refresh(pool)
        why = self._why_not_here(pool)
        if now < opens + GATHER or why == ELSEWHERE:
            return
        if why:
            self._tell_once(f"{key} {why}", name, WRONG_DAY.get(why, why))
            return
        until_ms = int(datetime.combine(day, slot.closes, self._parts.zone).timestamp() * 1000)
        said = await self.run(RunRequest(name, day, slot.name, until_ms, f"rule:{name}"), pool)
        if isinstance(said, No):
            self._tell_once(key, name, said.why)

    async def _look_back(self, name: str, pool: Pool, slot: Slot, now: datetime) -> None:
        """Record each slot of the last days for which no run was planned."""
        for back in range(MISSED_DAYS + 1):
            day = now.date() - timedelta(days=back)
            opens, closes = (datetime.combine(day, at, self._parts.zone) for at in (slot.opens, slot.closes))
            key = pool_moves.run_id(name, day, slot.name)
            if closes > now or key in self._looked_back or self._why_not_here(pool):
                continue
            if not pool_runs.is_holiday(self._parts.registry(), pool, day):
                wanted = RunRequest(name, day, slot.name, int(closes.timestamp() * 1000), f"rule:{name}")
                opened_ms = int(opens.timestamp() * 1000)
                noted = await self._parts.store.write(partial(_note_missed, wanted, pool, opened_ms))
                if noted:
                    self._tell_unmoved(name, key)
            self._looked_back.add(key)

    def _tell_unmoved(self, name: str, key: str) -> None:
        self._parts.meters.alarms.labels("pool_slot_unmoved").inc()
        self._parts.meters.pool_runs.labels(RunState.UNMOVED.value).inc()
        _log.error(
            "pool.slot_unmoved",
            pool=name,
            run=key,
            action="the slot has ended, and neither a transfer nor a reason is recorded for a member account; see "
            "`bankgw worklists --list pools`, then `bankgw liquidity run`",
        )

    def _why_not_here(self, pool: Pool) -> str:
        """Why this node does not plan for the pool, because another node does or the day is in doubt; "" if this node
        plans."""
        route = self._parts.registry().routes.get(pool.header)
        return "" if route is None else self._parts.why_not_here(route.lane)

    def _tell_once(self, key: str, name: str, why: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._parts.meters.pool_runs.labels("not_run").inc()
            _log.warning(
                "pool.not_run", pool=name, run=key, why=why, action="nothing was moved; see `bankgw liquidity preview`"
            )

    async def run(self, wanted: RunRequest, pool: Pool) -> PoolRun | No:
        """Ask the banks for new balances, plan the run, and order its moves. A run that exists already is resumed."""
        await self.refresh(pool)
        if why := self._parts.idle():
            return No("not_now", f"nothing may be moved now ({why}); no run was planned")
        registry, zone = self._parts.registry(), self._parts.zone
        begun = await self._parts.store.write(lambda tx: pool_runs.plan_run(tx, wanted, registry, zone))
        if isinstance(begun, No):
            return begun
        return await self.carry_on(begun)

    async def carry_on(self, run: PoolRun) -> PoolRun:
        """Order the moves of a planned run that are not ordered yet, and end the run."""
        if run.run in self._running:
            return run
        self._running.add(run.run)
        try:
            moves = await self._parts.store.read(lambda conn: pool_moves.moves_of(conn, run.run))
            for move in moves:
                if move.state is MoveState.PLANNED:
                    if self._parts.idle():
                        return run  # a later look goes on
                    await self._order(move)
            if await self._parts.store.write(lambda tx: pool_runs.end_run(tx, run.run)):
                await self._count(run)
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

    async def _count(self, ended: PoolRun) -> None:
        run = ended.run
        found = await self._parts.store.read(lambda conn: pool_moves.find(conn, run))
        if found is not None and found.state is RunState.UNMOVED:
            self._tell_unmoved(found.pool, run)
            return
        moves = await self._parts.store.read(lambda conn: pool_moves.moves_of(conn, run))
        for one in moves:
            self._parts.meters.pool_moves.labels(one.state.value).inc()
        self._parts.meters.pool_runs.labels("done").inc()
        _log.info(
            "pool.run_done", run=run, moves=len(moves), ordered=sum(one.state is MoveState.ORDERED for one in moves)
        )

    async def refresh(self, pool: Pool, only: Sequence[str] = ()) -> None:
        """Ask for the balance of each account (of `only` these) that is older than half of what the pool allows. A
        missing answer is no error here, because an account with a stale balance moves nothing."""
        parts = self._parts
        told = await parts.store.read(lambda conn: accounts.balances_of(conn, pool.accounts))
        now_ms = parts.clock.now_ms()
        old = [
            account
            for account in only or pool.accounts
            if (known := told.get(account)) is None
            or not known.dated
            or now_ms - pool_facts.as_of_ms(known) > pool.fresh_s * 500
        ]
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
            _log.warning(
                "pool.balance_not_told",
                bank=route.bank,
                lane=route.lane,
                error=str(error),
                action="a pool moves no money of an account if its balance is too old",
            )
            return

        def keep_balance(tx: Tx) -> None:
            accounts.keep_balance(tx, route.bank, balance, route.currency)

        await parts.store.write(keep_balance)


class _Turns:
    """Gives every linked payment its turn. Each round takes some links of each group, and the next round takes those
    after them. So orders that are never funded do not keep others waiting."""

    def __init__(self) -> None:
        self._after: dict[tuple[LinkState, ...], str] = {}

    async def next(self, store: Store, now_ms: int) -> list[LinkedOrder]:
        """The linked payments whose turn it is in this round."""
        found: list[LinkedOrder] = []
        for group, since_ms in ((_IN_MOTION, 0), (_WAITING, 0), (_UNDECIDED, 0), (_RETURNED, now_ms - _RETURNS_MS)):
            after = self._after.get(group, "")
            links = await store.read(partial(_page, group, since_ms, after))
            self._after[group] = links[-1].payment if len(links) == LINKS_A_LOOK else ""
            found += links
        return found


def _note_missed(wanted: RunRequest, pool: Pool, opened_ms: int, tx: Tx) -> bool:
    return pool_runs.note_missed(tx, wanted, pool, opened_ms)


def _page(group: tuple[LinkState, ...], since_ms: int, after: str, conn: Connection) -> list[LinkedOrder]:
    return linked_orders.in_state(conn, *group, since_ms=since_ms, limit=LINKS_A_LOOK, after=after)
