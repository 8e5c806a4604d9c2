"""Answers the acts about the node: its state, its intake, the emergency stop."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select
from twisted.python.failure import Failure

from gateway import guarded_journal
from gateway.act_ports import ActivityTotals, CapacityFacts, Certificates, IntakePort, NodePort
from gateway.bank.lease import LEASE_MS
from gateway.call import Call, answers
from gateway.control import open_orders
from gateway.control.acts.node import StopEverything, SwitchIntake
from gateway.control.key_list import vault_words
from gateway.control.lane_answers import lane_rows, stop_words
from gateway.control.open_orders import LIVE
from gateway.control.ports import BrokerPort, LanePort, StopPort
from gateway.kernel.clock import Clock
from gateway.kernel.cluster.peer_nodes import STOP_LOOK_S
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.commit import audit, outbox
from gateway.kernel.commit.rows import OutboxState
from gateway.kernel.commit.store import Store
from gateway.kernel.sql import schema
from gateway.kernel.tasks import sleep
from protocols.canon.outcome import State
from protocols.erp.news import instant

STOP_WAIT_S = 5.0
"""As long as an emergency stop waits for the journal before it says that only this node has stopped."""


@dataclass(frozen=True, slots=True)
class NodeAnswers:
    """Answers the acts about the node."""

    store: Store
    clock: Clock
    node: NodePort
    lanes: LanePort
    intake: IntakePort
    broker: BrokerPort
    stop: StopPort
    certificates: Certificates
    capacity: CapacityFacts
    totals: ActivityTotals

    @answers("node.status")
    async def status(self, call: Call) -> Any:
        """The daemon's state, from memory. The journal's counts are left out when the journal cannot be reached."""
        counts = await guarded_journal.unless_away(self.store, _open_orders)
        vault = await guarded_journal.unless_away(self.store, vault_words)
        age_s = self.broker.canary_age_s()
        now_ms = self.clock.now_ms()
        certificates = [
            {
                "bank": bank,
                "role": role,
                "not_after": datetime.fromtimestamp(at_s, UTC).isoformat(),
                "days_left": int((at_s - now_ms / 1000) // 86_400),
            }
            for (bank, role), at_s in sorted(self.certificates().items(), key=lambda item: item[1])
        ]
        return {
            **self.node.identity,
            "pid": os.getpid(),
            "started_at": instant(self.node.started_ms),
            "now": instant(now_ms),
            **self.node.ready(),
            "safe_mode": self.node.safe_mode(),
            "draining": self.intake.draining(),
            "broker": {
                "up": self.broker.amqp.up,
                "blocked": self.broker.amqp.blocked,
                "canary_age_s": age_s,
                "mark": self.broker.mark(),
            },
            "journal": guarded_journal.journal_condition(self.node.lost_ms()),
            "stop": stop_words(self.stop),
            "orders": None if counts is None else counts.states,
            "companies": None if counts is None else counts.companies,
            "companies_paused": sorted(self.lanes.companies.paused),
            "messages": None if counts is None else {"waiting": counts.waiting, "parked": counts.parked},
            "certificates": certificates,
            "capacity": self.capacity(),
            "vault": vault,
            "lane_details": lane_rows(self.node, self.lanes),
        }

    @answers("node.top")
    async def top(self, call: Call) -> Any:
        """The work at a glance: totals since the start, from which a reader computes rates, and the open orders now.
        The journal's part is left out when the journal cannot be reached.
        """
        work = await guarded_journal.unless_away(self.store, _open_work)
        now_ms = self.clock.now_ms()
        ready = self.node.ready()
        return {
            "node": self.node.name,
            "version": self.node.identity["version"],
            "started_at": instant(self.node.started_ms),
            "now": instant(now_ms),
            "clock_s": self.clock.monotonic_s(),
            "status": ready["status"],
            "reasons": list(ready["reasons"]),
            "safe_mode": self.node.safe_mode(),
            "stop": stop_words(self.stop),
            "totals": dict(self.totals()),
            "orders": None if work is None else work.counts.states,
            "oldest": None if work is None else _oldest(work.oldest, now_ms),
            "doubts": None if work is None else [_doubt(one, now_ms) for one in work.doubts],
            "messages": None if work is None else _messages(work, now_ms),
            "broker": {
                "up": self.broker.amqp.up,
                "blocked": self.broker.amqp.blocked,
                "canary_age_s": self.broker.canary_age_s(),
            },
            "journal": guarded_journal.journal_condition(self.node.lost_ms()),
            "lanes": lane_rows(self.node, self.lanes),
        }

    @answers("node.stop")
    async def stop_all(self, call: Call, params: StopEverything) -> Any:
        """Stop everything that moves money: this node at once, every other node as soon as it reads the entry in the
        journal."""
        reason, clock = params.reason, self.clock
        said: list[Stop] = []
        failed: list[Failure] = []
        self.stop.stop_all(call.peer.actor, reason).addCallbacks(said.append, failed.append)
        until_s = clock.monotonic_s() + STOP_WAIT_S
        while not (said or failed) and self.node.lost_ms() is None and clock.monotonic_s() < until_s:
            await sleep(clock, 0.05)
        word = said[0] if said else None
        return {
            "stopped": True,
            "written": word is not None,
            "number": None if word is None else word.number,
            "by": call.peer.actor if word is None else word.by,
            "reason": reason if word is None else word.reason,
            "others_hear_within_s": STOP_LOOK_S,
            "others_silent_within_s": LEASE_MS / 1000,
        }

    @answers("node.drain")
    async def drain(self, call: Call, params: SwitchIntake) -> Any:
        """Stop taking in commands (`on`: false undoes it). Accepted orders are still carried out."""
        on, entry = params.on, "node.draining" if params.on else "node.undrained"
        await self.store.write(lambda tx: audit.append(tx, call.peer.actor, entry, self.node.name, {}))
        self.intake.drain(on)
        counts = await self.store.read(_open_orders)
        return {"draining": on, "orders": counts.states, "messages": {"waiting": counts.waiting}}


@dataclass(frozen=True, slots=True)
class _Open:
    states: dict[str, int]
    companies: list[dict[str, Any]]
    waiting: int
    parked: int


def _open_orders(conn: Connection) -> _Open:
    o = schema.outbox.c
    states: Counter[str] = Counter()
    by_company = open_orders.by_company(conn)
    for found in by_company.values():
        states.update(found)
    counts = {
        one: conn.execute(select(func.count()).where(o.node.in_(outbox.OWNERS), o.state == one.value)).scalar_one()
        for one in (OutboxState.WAITING, OutboxState.PARKED)
    }
    live = {state: states.get(state, 0) for state in LIVE}
    companies = [
        {"company": company, "bank": bank, "orders": {state: found[state] for state in LIVE if state in found}}
        for (company, bank), found in by_company.items()
    ]
    return _Open(live, companies, counts[OutboxState.WAITING], counts[OutboxState.PARKED])


@dataclass(frozen=True, slots=True)
class _OpenWork:
    """The open orders and messages: their counts, the oldest of each, and the doubts by bank (bank, number, when the
    oldest was first sent)."""

    counts: _Open
    oldest: Any
    doubts: Sequence[tuple[str, int, int | None]]
    waiting_since_ms: int | None


def _open_work(conn: Connection) -> _OpenWork:
    p, o = schema.payments.c, schema.outbox.c
    live = p.lane.in_(select(schema.lanes.c.lane)) & p.state.in_(LIVE)
    # The keys of payments ascend with time, so this needs the index alone, however many are open.
    first = select(func.min(p.payment)).where(live).scalar_subquery()
    oldest = conn.execute(
        select(p.payment, p.sender, p.order_id, p.state, p.lane, p.accepted_ms).where(p.payment == first)
    ).one_or_none()
    in_doubt = (
        select(p.bank, func.count(), func.min(p.first_write_ms))
        .where(live, p.state.in_((State.IN_DOUBT.value, State.ESCALATED.value)))
        .group_by(p.bank)
        .order_by(p.bank)
    )
    doubts = [(bank, number, oldest_ms) for bank, number, oldest_ms in conn.execute(in_doubt)]
    waiting = o.node.in_(outbox.OWNERS) & (o.state == OutboxState.WAITING.value)
    since_ms = conn.execute(select(func.min(o.created_ms)).where(waiting)).scalar_one()
    return _OpenWork(_open_orders(conn), oldest, doubts, since_ms)


def _oldest(row: Any, now_ms: int) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "order": f"{row.sender}:{row.order_id}",
        "payment": row.payment,
        "state": row.state,
        "lane": row.lane,
        "since": instant(row.accepted_ms),
        "age_s": max(now_ms - row.accepted_ms, 0) // 1000,
    }


def _doubt(row: tuple[str, int, int | None], now_ms: int) -> dict[str, Any]:
    bank, number, since_ms = row
    age_s = None if since_ms is None else max(now_ms - since_ms, 0) // 1000
    return {"bank": bank, "count": number, "oldest_age_s": age_s}


def _messages(work: _OpenWork, now_ms: int) -> dict[str, Any]:
    since_ms = work.waiting_since_ms
    age_s = None if since_ms is None else max(now_ms - since_ms, 0) // 1000
    return {"waiting": work.counts.waiting, "parked": work.counts.parked, "oldest_age_s": age_s}
