"""Cash pools in the control API: what is in force, what a run would move, runs, and the decision of two on a pool."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from gateway.control.daemon_handle import DaemonHandle
from gateway.control.persons import refused
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from gateway.journal.commit.store import Tx
from gateway.journal.payments import lookup, pool_moves, pools
from gateway.journal.payments.pool_moves import PoolMove, PoolRun
from gateway.journal.payments.pools import PoolRow
from gateway.journal.people import persons
from gateway.journal.people.persons import No
from gateway.journal.people.proposals import Proposal, ProposalKind
from gateway.people.scopes import Scope
from gateway.registry import Registry
from gateway.treasury import pool_facts, pool_runs
from gateway.treasury.liquidity import pool as pool_text
from gateway.treasury.liquidity.plan import REASONS, AccountFacts, StayReason
from gateway.treasury.liquidity.pool import BadPool, Pool
from gateway.treasury.pool_runs import Preview, RunRequest
from protocols.canon.money import Money
from protocols.canon.party import mask
from protocols.erp.news import instant

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_SLOT = re.compile(r"[a-z0-9-]{1,12}")
_MOST_CHARACTERS = 50_000
WINDOW = timedelta(hours=1)
"""So long orders of a run that a person began may be sent."""


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about pools. A pool is proposed with the verbs for proposals."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("GET", "/liquidity", acts.listing),
        Verb("GET", f"/liquidity/{one}", acts.show),
        Verb("GET", f"/liquidity/{one}/preview", acts.preview),
        Verb("POST", f"/liquidity/{one}/run", acts.run),
        Verb("GET", f"/liquidity-runs/{one}", acts.shown_run),
    )


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def listing(self, call: Call) -> Any:
        """The pools in force inside the asker's scope, each with its last run."""
        registry = self._daemon_handle.register()

        def look(conn: Connection) -> list[dict[str, Any]]:
            return [
                {**_head(name, pool, call.clear), "runs": [_run(one) for one in pool_moves.listing(conn, name, 1)]}
                for name, pool in pools.in_force(conn).items() if _inside(registry, call.scope, pool)
            ]  # fmt: skip

        return {"pools": await self._daemon_handle.store.read(look)}

    async def show(self, call: Call) -> Any:
        """One pool: its lines, its versions, what each member has lent, its last runs."""
        name, registry = call.parts[0], self._daemon_handle.register()

        def look(conn: Connection) -> dict[str, Any] | No:
            row = pools.last(conn, name)
            if row is None or (row.pool is not None and not _inside(registry, call.scope, row.pool)):
                return _no_pool(name)
            head = {"pool": name, "closed": True} if row.pool is None else _head(name, row.pool, call.clear)
            members = () if row.pool is None else row.pool.accounts[1:]
            lent = pool_moves.lent_minor(conn, name, members)
            return {
                **head,
                "versions": [_version(one, call.clear) for one in pools.versions(conn, name)],
                "members": [{"account": _shown(one, call.clear), "lent": _amount(lent.get(one, 0), row)}
                            for one in members],
                "runs": [_run(one) for one in pool_moves.listing(conn, name, 20)],
            }  # fmt: skip

        said = await self._daemon_handle.store.read(look)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return said

    async def preview(self, call: Call) -> Any:
        """What a run would move now, account by account, and why not. Nothing is written."""
        name, service = call.parts[0], self._daemon_handle.pools
        pool = await self._pool(call, name)
        await service.refresh(pool)
        registry, now = self._daemon_handle.register(), service.local()
        said = await self._daemon_handle.store.write(
            lambda tx: pool_runs.preview(tx, name, now.date(), registry, service.zone)
        )
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        closed = pool_runs.closed_on(registry, said.pool, now.date())
        return {**_head(name, said.pool, call.clear), **_preview(said, call.clear), "closed": closed or None,
                "day": now.date().isoformat()}  # fmt: skip

    async def run(self, call: Call) -> Any:
        """Begin a run now, or resume the run of this slot. Its orders may be sent for an hour. Where there are
        administrators, two persons sign it instead (`ProposalKind.POOL_RUN`)."""
        name, service = call.parts[0], self._daemon_handle.pools
        pool = await self._pool(call, name)
        now = service.local()
        slot = call.body.get("slot", f"by-{now:%H%M%S}")
        if not isinstance(slot, str) or not _SLOT.fullmatch(slot):
            raise Denied(400, "bad_slot", "`slot` is 1 to 12 lower-case letters, digits and -")
        if not persons.ceremony_open(await self._daemon_handle.store.read(persons.everyone)):
            raise Denied(409, "two_persons", f"a pool is run by two supervisors here, who sign it: bankgw liquidity "
                         f"run {name} --reason … as one of them, then bankgw resolve --approve as the other; nothing "
                         f"was moved")  # fmt: skip
        if self._daemon_handle.draining():
            raise Denied(409, "draining", "the daemon is draining: nothing is begun")
        if why := pool_runs.closed_on(self._daemon_handle.register(), pool, now.date()):
            raise Denied(409, "no_business_day", f"{why}; nothing was moved")
        until_ms = int((now + WINDOW).timestamp() * 1000)
        said = await service.run(RunRequest(name, now.date(), slot, until_ms, call.peer.actor), pool)
        if isinstance(said, No):
            raise refused(said, actor=call.peer.actor)
        return await self._whole_run(said.run, call.clear)

    async def shown_run(self, call: Call) -> Any:
        """One run: each move with its order's state, and the accounts at which nothing was moved."""
        key, registry = call.parts[0], self._daemon_handle.register()

        def allowed(conn: Connection) -> bool:
            run = pool_moves.find(conn, key)
            pool = None if run is None else pools.of_version(conn, run.pool, run.version)
            return pool is not None and _inside(registry, call.scope, pool)

        if not await self._daemon_handle.store.read(allowed):
            raise Denied(404, "no_such_run", f"there is no run {key}; `bankgw liquidity show POOL` lists them")
        return await self._whole_run(key, call.clear)

    async def _whole_run(self, key: str, clear: bool) -> Any:
        def look(conn: Connection) -> dict[str, Any]:
            run = pool_moves.find(conn, key)
            assert run is not None, "it was found, or made, just now"
            moves = [_move(conn, one, clear) for one in pool_moves.moves_of(conn, key)]
            stays = [{"account": _shown(account, clear), "direction": direction, "reason": reason,
                      "why": REASONS[StayReason(reason)]} for account, direction, reason in run.stays]  # fmt: skip
            return {**_run(run), "moves": moves, "stays": stays}

        return await self._daemon_handle.store.read(look)

    async def _pool(self, call: Call, name: str) -> Pool:
        row = await self._daemon_handle.store.read(lambda conn: pools.last(conn, name))
        found = None if row is None else row.pool
        if found is None or not _inside(self._daemon_handle.register(), call.scope, found):
            raise refused(_no_pool(name), actor=call.peer.actor)
        return found


# ---- the decision of two ----


def wanted(call: Call) -> str:
    """The pool of the request, written in the one way. Denied for one that cannot be used."""
    given = call.body.get("to")
    if not isinstance(given, str) or len(given) > _MOST_CHARACTERS:
        raise Denied(400, "bad_pool", f"`to` is the pool, {_MOST_CHARACTERS} characters at most")
    try:
        made = pool_text.parse(given)
    except BadPool as error:
        raise Denied(400, "bad_pool", f"{error}; nothing was changed") from None
    return pool_text.NONE if made is None else made.text()


def facts(tx: Tx, name: str, to: str, daemon_handle: DaemonHandle) -> tuple[tuple[str, str], ...] | No:
    """What both sign: the version in force, and every line of the new one."""
    if not _NAME.fullmatch(name):
        return No("bad_name", "a pool is named by lower-case letters, digits, _ and -, 31 at most; nothing was changed")
    present, new = pools.last(tx.fresh, name), pool_text.parse(to)
    if (pool_text.NONE if present is None else present.text) == to:
        return No("not_now", f"pool {name} is as proposed already; nothing was changed")
    if new is not None:
        others = pools.in_force(tx.fresh)
        day = daemon_handle.pools.local().date()
        wrong = pool_facts.defects(daemon_handle.register(), name, new, others, day)
        if wrong:
            return No("pool_unusable", f"{'; '.join(wrong)}; nothing was changed")
    version = 0 if present is None else present.version
    said = [("pool", name), ("from-version", str(version)), ("to-version", str(version + 1))]
    said += [(f"line-{number}", line) for number, line in enumerate(pool_text.lines(to), start=1)]
    return tuple(said)


def carry_out(tx: Tx, proposal: Proposal, actor: str, names: Mapping[str, Any]) -> No | None:
    """Put the pool in force."""
    row = pools.write(tx, proposal.subject, proposal.to, proposal.proposal)
    if row is None:
        return No("stale", "another version of the pool came into force in this moment; nothing was changed")
    audit.append(tx, actor, "pool.in_force", proposal.subject, {
        **names, "version": row.version, "text": row.text, "reason": proposal.note, "proposal": proposal.proposal,
    })  # fmt: skip
    return None


# ---- the run that two sign ----


def run_facts(tx: Tx, name: str, slot: str, daemon_handle: DaemonHandle) -> tuple[tuple[str, str], ...] | No:
    """What both sign of a run: the version in force, the day, the run's name, the most that it may move."""
    row, day = pools.last(tx.fresh, name), daemon_handle.pools.local().date()
    if row is None or row.pool is None:
        return _no_pool(name)
    if not _SLOT.fullmatch(slot):
        return No("bad_choice", "a run is named by 1 to 12 lower-case letters, digits and -; nothing was changed")
    if daemon_handle.draining():
        return No("draining", "the daemon is draining: nothing is begun")
    if why := pool_runs.closed_on(daemon_handle.register(), row.pool, day):
        return No("no_business_day", f"{why}; nothing was moved")
    key = pool_moves.run_id(name, day, slot)
    if pool_moves.find(tx.fresh, key) is not None:
        return No("not_now", f"run {key} is there already; nothing was moved")
    most = Money(row.pool.most_run_minor, row.pool.currency)
    return (("pool", name), ("version", str(row.version)), ("run", key), ("most", f"{most} {row.pool.currency}"))


def plan_signed(tx: Tx, name: str, slot: str, actor: str, daemon_handle: DaemonHandle) -> PoolRun | No:
    """Plan the run that both signed."""
    now = daemon_handle.pools.local()
    until_ms = int((now + WINDOW).timestamp() * 1000)
    wanted = RunRequest(name, now.date(), slot, until_ms, actor)
    return pool_runs.plan_run(tx, wanted, daemon_handle.register(), daemon_handle.pools.zone)


async def freshen(proposal: Proposal | None, daemon_handle: DaemonHandle) -> None:
    """Have fresh balances of the pool that a proposal is about to run."""
    if proposal is not None and proposal.kind is ProposalKind.POOL_RUN:
        row = await daemon_handle.store.read(lambda conn: pools.last(conn, proposal.subject))
        if row is not None and row.pool is not None:
            await daemon_handle.pools.refresh(row.pool)


# ---- words ----


def _no_pool(name: str) -> No:
    return No("no_such_pool", f"there is no pool {name} in your scope; `bankgw liquidity list` shows them")


def _inside(registry: Registry, scope: Scope, pool: Pool) -> bool:
    """Whether every account of the pool is inside the scope."""
    routes = [registry.routes.get(one) for one in pool.accounts]
    return scope.whole or all(one is not None and scope.covers(one.company, one.account) for one in routes)


def _shown(account: str, clear: bool) -> str:
    return account if clear else mask(account)


def _head(name: str, pool: Pool, clear: bool) -> dict[str, Any]:
    return {
        "pool": name, "version": pool.version, "currency": pool.currency, "header": _shown(pool.header, clear),
        "children": len(pool.children), "slots": [f"{one.opens:%H:%M}-{one.closes:%H:%M}" for one in pool.slots],
        "most_run": str(Money(pool.most_run_minor, pool.currency)),
        "most_day": str(Money(pool.most_day_minor, pool.currency)), "contract": pool.contract or None,
    }  # fmt: skip


def _version(row: PoolRow, clear: bool) -> dict[str, Any]:
    accounts = () if row.pool is None or clear else row.pool.accounts
    text = row.text
    for one in accounts:
        text = text.replace(one, mask(one))
    return {"version": row.version, "in_force_since": instant(row.at_ms), "proposal": row.proposal,
            "lines": list(pool_text.lines(text))}  # fmt: skip


def _amount(minor: int, row: PoolRow) -> str:
    assert row.pool is not None, "a closed pool shows no members"
    return str(Money(minor, row.pool.currency))


def _run(one: PoolRun) -> dict[str, Any]:
    return {
        "run": one.run, "pool": one.pool, "version": one.version, "day": one.day.isoformat(), "slot": one.slot,
        "state": one.state.value, "by": one.actor, "at": instant(one.at_ms), "until": instant(one.until_ms),
    }  # fmt: skip


def _move(conn: Connection, one: PoolMove, clear: bool) -> dict[str, Any]:
    payment = None if one.payment is None else lookup.fetch(conn, one.payment)
    return {
        "place": one.place, "debit": _shown(one.debit, clear), "credit": _shown(one.credit, clear),
        "direction": "up" if one.up else "down", "amount": str(Money(one.amount_minor, one.currency)),
        "currency": one.currency, "over_ceiling": one.over, "order": one.order_id,
        "state": one.state.value if payment is None else payment.life.state.value, "payment": one.payment,
        "reason": one.reason, "why": None if one.reason is None else REASONS[StayReason(one.reason)],
    }  # fmt: skip


def _preview(said: Preview, clear: bool) -> dict[str, Any]:
    pool, facts_ = said.pool, said.facts
    moves = [
        {"debit": _shown(one.debit, clear), "credit": _shown(one.credit, clear),
         "direction": "up" if one.up else "down", "amount": _money(pool, one.amount_minor), "over_ceiling": one.over}
        for one in said.plan.moves
    ]  # fmt: skip
    stays = [{"account": _shown(one.account, clear), "direction": "up" if one.up else "down",
              "reason": one.reason.value, "why": REASONS[one.reason]} for one in said.plan.stays]  # fmt: skip
    return {
        "moves": moves, "stays": stays, "moved_today": _money(pool, facts_.moved_today_minor),
        "accounts": [_account(facts_.accounts[one], pool, clear) for one in pool.accounts],
    }  # fmt: skip


def _account(one: AccountFacts, pool: Pool, clear: bool) -> dict[str, Any]:
    return {
        "account": _shown(one.account, clear), "available": _money(pool, one.available_minor),
        "as_of": None if one.as_of_ms is None else instant(one.as_of_ms),
        "debits_under_way": _money(pool, one.debits_minor),
        "credits_under_way": _money(pool, one.incoming_minor),
    }  # fmt: skip


def _money(pool: Pool, minor: int | None) -> str | None:
    return None if minor is None else str(Money(minor, pool.currency))
