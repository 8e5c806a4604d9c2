"""Handlers of the acts about cash pools: pools in force, previews, runs, and the decision of two persons on a pool."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from gateway.act_ports import Accounts, IntakePort
from gateway.call import Call, Denied, answers
from gateway.kernel.commit.store import Store, Tx
from gateway.language import bilingual, coded
from gateway.payments.rows import lookup
from gateway.people.refusals import refused
from gateway.people.rows import persons
from gateway.people.rows.persons import No
from gateway.people.rows.proposals import Proposal, ProposalKind
from gateway.people.rules.scopes import Scope
from gateway.people.rules.signed_text import DecisionFacts, fact
from gateway.pools.acts import NamedPool, NamedRun, RunPool, ViewPools
from gateway.pools.decision_ports import PoolDecisionPorts
from gateway.pools.jobs import PoolService
from gateway.pools.rows import pool_facts, pool_moves, pool_runs, pools
from gateway.pools.rows.pool_moves import PoolMove, PoolRun
from gateway.pools.rows.pool_runs import Preview, RunRequest
from gateway.pools.rows.pools import PoolRow
from gateway.pools.rules import pool as pool_text
from gateway.pools.rules import pool_lines
from gateway.pools.rules.plan import REASONS, AccountFacts, StayReason
from gateway.pools.rules.pool import BadPool, Pool
from gateway.register.registry import Registry
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SLOT = re.compile(r"[a-z0-9-]{1,12}")
_MOST_CHARACTERS = 50_000
WINDOW = timedelta(hours=1)
"""So long orders of a run that a person began may be sent."""


@dataclass(frozen=True, slots=True)
class PoolAnswers:
    """Answers the control API's acts about cash pools."""

    store: Store
    accounts: Accounts
    intake: IntakePort
    pools: PoolService

    @answers("pools.list")
    async def listing(self, call: Call, params: ViewPools) -> Any:
        """The pools in force in the caller's scope, each with its last run."""
        registry = self.accounts()

        def pools_in_scope(conn: Connection) -> list[dict[str, Any]]:
            return [
                {**_head(name, pool, params.clear), "runs": [_run(one) for one in pool_moves.listing(conn, name, 1)]}
                for name, pool in pools.in_force(conn).items()
                if _inside(registry, call.scope, pool)
            ]

        return {"pools": await self.store.read(pools_in_scope)}

    @answers("pools.show")
    async def show(self, call: Call, params: NamedPool) -> Any:
        """One pool: its lines, its versions, the amount that each member has lent, its last runs."""
        name, registry = params.pool, self.accounts()

        def pool_with_runs(conn: Connection) -> dict[str, Any] | No:
            row = pools.last(conn, name)
            if row is None or (row.pool is not None and not _inside(registry, call.scope, row.pool)):
                return _no_pool(name)
            head = {"pool": name, "closed": True} if row.pool is None else _head(name, row.pool, params.clear)
            members = () if row.pool is None else row.pool.accounts[1:]
            lent = pool_moves.lent_minor(conn, name, members)
            return {
                **head,
                "versions": [_version(one, params.clear) for one in pools.versions(conn, name)],
                "members": [
                    {"account": _shown(one, params.clear), "lent": _amount(lent.get(one, 0), row)} for one in members
                ],
                "runs": [_run(one) for one in pool_moves.listing(conn, name, 20)],
            }

        said = await self.store.read(pool_with_runs)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return said

    @answers("pools.preview")
    async def preview(self, call: Call, params: NamedPool) -> Any:
        """The moves of a run if it began now, and the reason for each account at which nothing moves. Nothing is
        written."""
        name, service = params.pool, self.pools
        pool = await self._pool(call, name)
        await service.refresh(pool)
        registry, now = self.accounts(), service.local()
        said = await self.store.write(lambda tx: pool_runs.preview(tx, name, now.date(), registry, service.zone))
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        closed = pool_runs.closed_on(registry, said.pool, now.date())
        return {
            **_head(name, said.pool, params.clear),
            **_preview(said, params.clear),
            "closed": closed or None,
            "day": now.date().isoformat(),
        }

    @answers("pools.run")
    async def run(self, call: Call, params: RunPool) -> Any:
        """Begin a run now, or resume the run of this slot. Its orders may be sent for one hour.

        If there are administrators, two persons sign it instead (`ProposalKind.POOL_RUN`).
        """
        name, service = params.pool, self.pools
        pool = await self._pool(call, name)
        now = service.local()
        slot = f"by-{now:%H%M%S}" if params.slot is None else params.slot
        if not _SLOT.fullmatch(slot):
            raise Denied(400, "bad_slot", "`slot` is 1 to 12 lower-case letters, digits and -")
        if not persons.ceremony_open(await self.store.read(persons.everyone)):
            raise Denied(
                409,
                "two_persons",
                f"two supervisors must sign a run of a pool here: bankgw liquidity "
                f"run {name} --reason … as one of them, then bankgw resolve --approve as the other; nothing "
                f"was moved",
            )
        if self.intake.draining():
            raise Denied(409, "draining", "the daemon is draining: no run is begun; bankgw drain --off ends that")
        if why := pool_runs.closed_on(self.accounts(), pool, now.date()):
            raise Denied(409, "no_business_day", f"{why}; nothing was moved")
        until_ms = int((now + WINDOW).timestamp() * 1000)
        said = await service.run(RunRequest(name, now.date(), slot, until_ms, call.peer.actor), pool)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return await self._whole_run(said.run, call.clear)

    @answers("pools.show_run")
    async def shown_run(self, call: Call, params: NamedRun) -> Any:
        """One run: each move with its order's state, and the accounts at which nothing was moved."""
        key, registry = params.run, self.accounts()

        def allowed(conn: Connection) -> bool:
            run = pool_moves.find(conn, key)
            pool = None if run is None else pools.of_version(conn, run.pool, run.version)
            return pool is not None and _inside(registry, call.scope, pool)

        if not await self.store.read(allowed):
            raise Denied(404, "no_such_run", f"there is no run {key}; `bankgw liquidity show POOL` lists them")
        return await self._whole_run(key, params.clear)

    async def _whole_run(self, key: str, clear: bool) -> Any:
        def run_with_moves(conn: Connection) -> dict[str, Any]:
            run = pool_moves.find(conn, key)
            assert run is not None, "it was found, or made, just now"
            moves = [_move(conn, one, clear) for one in pool_moves.moves_of(conn, key)]
            stays = [
                {
                    "account": _shown(account, clear),
                    "direction": direction,
                    "reason": reason,
                    "why": REASONS[StayReason(reason)],
                }
                for account, direction, reason in run.stays
            ]
            return {**_run(run), "moves": moves, "stays": stays}

        return await self.store.read(run_with_moves)

    async def _pool(self, call: Call, name: str) -> Pool:
        row = await self.store.read(lambda conn: pools.last(conn, name))
        found = None if row is None else row.pool
        if found is None or not _inside(self.accounts(), call.scope, found):
            raise refused(_no_pool(name), actor=call.peer.actor)
        return found


# ---- the decision of two ----


def wanted(call: Call) -> str:
    """The request's pool in its normal form. Raises Denied for a text that is not a valid pool."""
    given = call.body.get("to")
    if not isinstance(given, str) or len(given) > _MOST_CHARACTERS:
        raise Denied(400, "bad_pool", f"`to` is the pool, {_MOST_CHARACTERS} characters at most")
    try:
        made = pool_text.parse(given)
    except BadPool as error:
        raise Denied(400, "bad_pool", f"{error}; nothing was changed") from None
    return pool_text.NONE if made is None else made.text()


def facts(tx: Tx, name: str, to: str, ports: PoolDecisionPorts) -> DecisionFacts | No:
    """The facts that both persons sign: the version in force, and every line of the new version."""
    if not _NAME.fullmatch(name):
        return No("bad_name", "a pool is named by lower-case letters, digits, _ and -, 31 at most; nothing was changed")
    present, new = pools.last(tx.fresh, name), pool_text.parse(to)
    if (pool_text.NONE if present is None else present.text) == to:
        return No("not_now", f"pool {name} is as proposed already; nothing was changed")
    if new is not None:
        others = pools.in_force(tx.fresh)
        day = ports.pools.local().date()
        wrong = pool_facts.defects(ports.accounts(), name, new, others, day)
        if wrong:
            return No("pool_unusable", f"{'; '.join(wrong)}; nothing was changed")
    version = 0 if present is None else present.version
    said = [
        fact("pool", "资金池", name),
        fact("from-version", "现行版本", str(version)),
        fact("to-version", "新版本", str(version + 1)),
        *(
            fact(f"line-{number}", f"第 {number} 行", line)
            for number, line in enumerate(pool_lines.bilingual_lines(new), start=1)
        ),
    ]
    named = {"pool": name, "version": str(version + 1)}
    effect = (
        bilingual("cash pool {pool} is closed by its version {version}", "资金池 {pool} 关闭，版本 {version}", **named)
        if new is None
        else bilingual(
            "cash pool {pool} moves money by its version {version}, the lines below, without further signatures",
            "资金池 {pool} 按版本 {version}（即以下各行）划转资金，不再另行签署",
            **named,
        )
    )
    return DecisionFacts(tuple(said), name, f"pool {name}", effect, coded(to, pool_lines.CLOSED))


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: Mapping[str, Any]) -> No | None:
    """Put the pool's new version in force."""
    row = pools.put_in_force(
        tx, proposal.subject, proposal.to, proposal.proposal, actor, {**names, "reason": proposal.note}
    )
    if row is None:
        return No("stale", "another version of the pool came into force at the same time; nothing was changed")
    return None


# ---- the run that two sign ----


def run_facts(tx: Tx, name: str, slot: str, ports: PoolDecisionPorts) -> DecisionFacts | No:
    """The facts of a run that both persons sign: the version in force, the day, the run's name, the most that it may
    move.
    """
    row, day = pools.last(tx.fresh, name), ports.pools.local().date()
    if row is None or row.pool is None:
        return _no_pool(name)
    if not _SLOT.fullmatch(slot):
        return No("bad_choice", "a run is named by 1 to 12 lower-case letters, digits and -; nothing was changed")
    if ports.intake.draining():
        return No("draining", "the daemon is draining: no run is begun; bankgw drain --off ends that")
    if why := pool_runs.closed_on(ports.accounts(), row.pool, day):
        return No("no_business_day", f"{why}; nothing was moved")
    key = pool_moves.run_id(name, day, slot)
    if pool_moves.find(tx.fresh, key) is not None:
        return No("not_now", f"run {key} is there already; nothing was moved")
    most = f"{Money(row.pool.most_run_minor, row.pool.currency)} {row.pool.currency}"
    said = (
        fact("pool", "资金池", name),
        fact("version", "版本", str(row.version)),
        fact("run", "运行编号", key),
        fact("most", "最高划转金额", most),
    )
    effect = bilingual(
        "run {run} of cash pool {pool} begins, and moves {most} at most",
        "资金池 {pool} 开始运行 {run}，最多划转 {most}",
        run=key,
        pool=name,
        most=most,
    )
    return DecisionFacts(said, name, f"a run of pool {name}", effect, slot)


def plan_signed(tx: Tx, name: str, slot: str, actor: str, ports: PoolDecisionPorts) -> PoolRun | No:
    """Plan the run that both persons signed."""
    now = ports.pools.local()
    until_ms = int((now + WINDOW).timestamp() * 1000)
    wanted = RunRequest(name, now.date(), slot, until_ms, actor)
    return pool_runs.plan_run(tx, wanted, ports.accounts(), ports.pools.zone)


async def freshen(proposal: Proposal | None, ports: PoolDecisionPorts) -> None:
    """Ask the banks for new balances of the pool that a proposal is about to run."""
    if proposal is not None and proposal.kind is ProposalKind.POOL_RUN:
        row = await ports.store.read(lambda conn: pools.last(conn, proposal.subject))
        if row is not None and row.pool is not None:
            await ports.pools.refresh(row.pool)


# ---- words ----


def _no_pool(name: str) -> No:
    return No("no_such_pool", f"there is no pool {name} in your scope; `bankgw liquidity list` shows them")


def _inside(registry: Registry, scope: Scope, pool: Pool) -> bool:
    """True if every account of the pool is inside the scope."""
    routes = [registry.routes.get(one) for one in pool.accounts]
    return scope.whole or all(one is not None and scope.covers(one.company, one.account) for one in routes)


def _shown(account: str, clear: bool) -> str:
    return account if clear else mask(account)


def _head(name: str, pool: Pool, clear: bool) -> dict[str, Any]:
    return {
        "pool": name,
        "version": pool.version,
        "currency": pool.currency,
        "header": _shown(pool.header, clear),
        "children": len(pool.children),
        "slots": [f"{one.opens:%H:%M}-{one.closes:%H:%M}" for one in pool.slots],
        "most_run": str(Money(pool.most_run_minor, pool.currency)),
        "most_day": str(Money(pool.most_day_minor, pool.currency)),
        "contract": pool.contract or None,
    }


def _version(row: PoolRow, clear: bool) -> dict[str, Any]:
    accounts = () if row.pool is None or clear else row.pool.accounts
    text = row.text
    for one in accounts:
        text = text.replace(one, mask(one))
    return {
        "version": row.version,
        "in_force_since": instant(row.at_ms),
        "proposal": row.proposal,
        "lines": list(pool_text.lines(text)),
    }


def _amount(minor: int, row: PoolRow) -> str:
    assert row.pool is not None, "a closed pool shows no members"
    return str(Money(minor, row.pool.currency))


def _run(one: PoolRun) -> dict[str, Any]:
    return {
        "run": one.run,
        "pool": one.pool,
        "version": one.version,
        "day": one.day.isoformat(),
        "slot": one.slot,
        "state": one.state.value,
        "by": one.actor,
        "at": instant(one.at_ms),
        "until": instant(one.until_ms),
    }


def _move(conn: Connection, one: PoolMove, clear: bool) -> dict[str, Any]:
    payment = None if one.payment is None else lookup.fetch(conn, one.payment)
    return {
        "place": one.place,
        "debit": _shown(one.debit, clear),
        "credit": _shown(one.credit, clear),
        "direction": "up" if one.up else "down",
        "amount": str(Money(one.amount_minor, one.currency)),
        "currency": one.currency,
        "over_ceiling": one.over,
        "order": one.order_id,
        "state": one.state.value if payment is None else payment.life.state.value,
        "payment": one.payment,
        "reason": one.reason,
        "why": None if one.reason is None else REASONS[StayReason(one.reason)],
    }


def _preview(said: Preview, clear: bool) -> dict[str, Any]:
    pool, facts_ = said.pool, said.facts
    moves = [
        {
            "debit": _shown(one.debit, clear),
            "credit": _shown(one.credit, clear),
            "direction": "up" if one.up else "down",
            "amount": _money(pool, one.amount_minor),
            "over_ceiling": one.over,
        }
        for one in said.plan.moves
    ]
    stays = [
        {
            "account": _shown(one.account, clear),
            "direction": "up" if one.up else "down",
            "reason": one.reason.value,
            "why": REASONS[one.reason],
        }
        for one in said.plan.stays
    ]
    return {
        "moves": moves,
        "stays": stays,
        "moved_today": _money(pool, facts_.moved_today_minor),
        "accounts": [_account(facts_.accounts[one], pool, clear) for one in pool.accounts],
    }


def _account(one: AccountFacts, pool: Pool, clear: bool) -> dict[str, Any]:
    return {
        "account": _shown(one.account, clear),
        "available": _money(pool, one.available_minor),
        "as_of": None if one.as_of_ms is None else instant(one.as_of_ms),
        "debits_under_way": _money(pool, one.debits_minor),
        "credits_under_way": _money(pool, one.incoming_minor),
    }


def _money(pool: Pool, minor: int | None) -> str | None:
    return None if minor is None else str(Money(minor, pool.currency))
