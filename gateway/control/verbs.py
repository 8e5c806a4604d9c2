"""The verbs of the control API. Every change is one unit of the journal that names its actor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, func, select
from twisted.python.failure import Failure

from gateway.bank.lane import Lane
from gateway.bank.lease import LEASE_MS
from gateway.control import (
    access,
    accounts_today,
    approvals,
    batch_view,
    delegations,
    directory,
    exchange_traces,
    guarded_journal,
    lane_ladder,
    linked_orders,
    liquidity,
    order_decisions,
    order_view,
    parked,
    persons,
    policy_changes,
    positions,
    proposals,
    receipts,
    reconciliation,
    reports,
    roles,
    sign_in,
    worklists,
)
from gateway.control.batch_view import OperatorDecision
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.order_decisions import OrderChanged
from gateway.control.order_view import BundleMessage, Veil
from gateway.control.person_sessions import PersonSessions
from gateway.control.server import Call, Denied, Verb
from gateway.core.states import UNSENT, Cancel, Work
from gateway.journal.cluster import lane_pauses
from gateway.journal.cluster.peer_nodes import BEAT_S, STOP_LOOK_S
from gateway.journal.cluster.stops import Stop
from gateway.journal.commit import audit, outbox
from gateway.journal.commit import work as open_work
from gateway.journal.commit.rows import OutboxRow, OutboxState, PaymentRow, WorkRow
from gateway.journal.commit.store import Tx
from gateway.journal.payments import batch_rows, bundles, lookup
from gateway.journal.payments.batch_rows import BatchRow
from gateway.journal.payments.lookup import Filters
from gateway.journal.payments.timeline import Moment, timeline
from gateway.journal.people import persons as persons_known
from gateway.journal.sql import schema
from gateway.tasks import sleep
from protocols.canon.outcome import STATE_TABLE, State
from protocols.erp.news import instant

T = TypeVar("T")
STOP_WAIT_S = 5.0
"""As long as an emergency stop waits for the journal before it says that only this node has stopped."""
PAGE_MOST = 1_000
_ASK = {State.PENDING: Work.ENQUIRE, State.IN_DOUBT: Work.ENQUIRE, State.ESCALATED: Work.ENQUIRE,
        State.SETTLED: Work.RETURNS}  # fmt: skip


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """The whole API of the command line, behind the matrix of roles."""
    sessions = PersonSessions(daemon_handle.clock, daemon_handle.session_limits)
    return access.guarded(daemon_handle, sessions, unguarded(daemon_handle, sessions))


def unguarded(daemon_handle: DaemonHandle, sessions: PersonSessions) -> Sequence[Verb]:
    """The same, for those who put other guards before it."""
    acts, one = _Acts(daemon_handle), "([^/]+)"
    return (
        Verb("GET", "/status", acts.status),
        Verb("GET", "/orders", acts.orders),
        Verb("GET", f"/orders/{one}", acts.order),
        Verb("POST", f"/orders/{one}/release", acts.release),
        Verb("POST", f"/orders/{one}/cancel", acts.cancel),
        Verb("POST", f"/orders/{one}/enquire", acts.enquire),
        Verb("GET", "/lanes", acts.lanes),
        Verb("POST", f"/lanes/{one}/pause", acts.pause),
        Verb("POST", f"/lanes/{one}/resume", acts.resume),
        Verb("GET", "/parked", acts.parked),
        Verb("GET", f"/parked/{one}", acts.parked_one),
        Verb("POST", f"/parked/{one}/replay", acts.replay),
        Verb("POST", f"/parked/{one}/discard", acts.discard),
        Verb("POST", "/drain", acts.drain),
        Verb("POST", "/stop", acts.stop_all),
        *accounts_today.verbs(daemon_handle), *positions.verbs(daemon_handle),
        *reports.verbs(daemon_handle),
        *receipts.verbs(daemon_handle),
        *worklists.verbs(daemon_handle),
        *reconciliation.verbs(daemon_handle),
        *liquidity.verbs(daemon_handle),
        *linked_orders.verbs(daemon_handle),
        *directory.verbs(daemon_handle),
        *exchange_traces.verbs(daemon_handle),
        *lane_ladder.verbs(daemon_handle),
        *persons.verbs(daemon_handle),
        *proposals.verbs(daemon_handle, sessions),
        *roles.verbs(daemon_handle),
        *delegations.verbs(daemon_handle),
        *policy_changes.verbs(daemon_handle),
        *approvals.verbs(daemon_handle),
        *sign_in.verbs(daemon_handle, sessions),
    )


@dataclass(frozen=True, slots=True)
class _File:
    """An order with all that is known of it. `mates` are the other orders of its batch, whose names its message has."""

    row: PaymentRow
    moments: list[Moment]
    batch: BatchRow | None = None
    message: BundleMessage | None = None
    mates: tuple[PaymentRow, ...] = ()


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    # ---- looking ----

    async def status(self, call: Call) -> Any:
        """How the daemon is, from memory; what the journal counts is left out when it cannot be reached."""
        daemon_handle = self._daemon_handle
        counts = await self._unless_away(_open_orders)
        age_s = daemon_handle.canary_age_s()
        now_ms = daemon_handle.clock.now_ms()
        certificates = [
            {"bank": bank, "role": role, "not_after": datetime.fromtimestamp(at_s, UTC).isoformat(),
             "days_left": int((at_s - now_ms / 1000) // 86_400)}
            for (bank, role), at_s in sorted(daemon_handle.certificates().items(), key=lambda item: item[1])
        ]  # fmt: skip
        return {
            **daemon_handle.identity, "pid": os.getpid(), "started_at": instant(daemon_handle.started_ms),
            "now": instant(now_ms),
            **daemon_handle.ready(), "safe_mode": daemon_handle.safe_mode(), "draining": daemon_handle.draining(),
            "broker": {"up": daemon_handle.amqp.up, "blocked": daemon_handle.amqp.blocked, "canary_age_s": age_s},
            "journal": self._journal(),
            "stop": self._stop(),
            "orders": None if counts is None else counts.states,
            "messages": None if counts is None else {"waiting": counts.waiting, "parked": counts.parked},
            "certificates": certificates, "capacity": daemon_handle.capacity(), "lane_details": self._lane_rows(),
        }  # fmt: skip

    async def orders(self, call: Call) -> Any:
        states = _states(call.query.get("state", ""))
        limit = int(call.number("limit", 50, PAGE_MOST))
        filters = Filters(states=states, sender=call.query.get("sender"), bank=call.query.get("bank"),
                          lane=call.query.get("lane"), order_id=call.query.get("id"),
                          batch=call.query.get("batch"), inside=call.scope)  # fmt: skip
        after = call.query.get("after")
        rows = await self._unless_away(lambda conn: lookup.listing(conn, filters, limit, after))
        if rows is None:
            lanes = self._daemon_handle.lanes.values()
            at_hand = [row for lane in lanes for row in lane.ready_payments.rows if _fits(filters, row)]
            newest = sorted(at_hand, key=lambda row: row.payment, reverse=True)[:limit]
            shown = [order_view.brief(row) for row in newest]
            return {"orders": shown, "next": None, "journal": self._journal()}
        following = rows[-1].payment if len(rows) == limit else None
        return {"orders": [order_view.brief(row) for row in rows], "next": following}

    async def _unless_away(self, fn: Callable[[Connection], T]) -> T | None:
        """What the journal says; None when it cannot be reached."""
        try:
            return await self._daemon_handle.store.read(fn)
        except Denied as error:
            if error.code != guarded_journal.AWAY:
                raise
            return None

    def _stop(self) -> dict[str, Any] | None:
        stop = self._daemon_handle.stop()
        return {"by": stop.by, "reason": stop.reason, "since": instant(stop.at_ms)} if stop.stopped else None

    def _journal(self) -> dict[str, Any]:
        lost_ms = self._daemon_handle.lost_ms()
        return {"reachable": True, "since": None} if lost_ms is None else guarded_journal.away(lost_ms)

    async def order(self, call: Call) -> Any:
        clear = call.clear

        def look(conn: Connection) -> _File | tuple[BatchRow, tuple[PaymentRow, ...]] | None:
            row = order_decisions.find(conn, call.parts[0])
            if row is not None:
                return _file(conn, row)
            batch = order_decisions.find_batch(conn, call.parts[0])
            return None if batch is None else (batch, batch_rows.items(conn, batch.sender, batch.batch))

        found = await self._daemon_handle.store.read(look)
        if found is None:
            raise _no_order(call.parts[0])
        _inside(call, found[1] if isinstance(found, tuple) else (found.row, *found.mates))
        if isinstance(found, tuple):
            return batch_view.full(*found)
        row = found.row
        if clear:
            note = {"order_id": row.order.id, "sender": row.sender}
            await self._noted(call, "order.shown_clear", row.payment, note)
        veiled = self._veil(row, clear, found.mates)
        said = order_view.full(row, veiled)
        if found.batch is not None:
            said["in_batch"] = batch_view.head(found.batch)
        return {**said, "timeline": order_view.story(found.moments, veiled, found.message)}

    def _veil(self, row: PaymentRow, clear: bool, mates: tuple[PaymentRow, ...] = ()) -> Veil:
        lane = self._daemon_handle.lanes.get(row.lane)
        return order_view.veil((row, *mates), {} if lane is None else lane.parts.credentials, clear=clear)

    async def lanes(self, call: Call) -> Any:
        return {"lanes": self._lane_rows(), "stop": self._stop()}

    def _lane_rows(self) -> list[dict[str, Any]]:
        handle = self._daemon_handle
        words = handle.ready()["lanes"]
        return [_lane(name, lane, words[name], handle.since_ms(name)) for name, lane in handle.lanes.items()]

    # ---- orders ----

    async def release(self, call: Call) -> Any:
        """Clear reasons of a held order, or of a batch's held items; what none is left for goes. Where there are
        administrators, two persons sign it instead (`ProposalKind.RELEASE`)."""
        reason, held_for = call.text("reason"), _reasons(call)
        by_two = "bankgw orders release as one of them, then bankgw resolve --approve as the other"

        if await self._administered():
            raise Denied(409, "two_persons", f"what is held is released by two supervisors here, who sign it: "
                         f"{by_two}; nothing was changed")  # fmt: skip
        word = order_decisions.release(self._daemon_handle, call.peer.actor, reason, held_for)
        return await self._befall(call, word)

    async def cancel(self, call: Call) -> Any:
        """Withdraw an order that was not sent yet, or what of a batch was not."""
        reason = call.text("reason")
        word = OperatorDecision(UNSENT, lambda tx, _row: Cancel(tx.now_ms), call.peer.actor, "cancelled", reason)
        return await self._befall(call, word)

    async def enquire(self, call: Call) -> Any:
        """Ask the bank about it as soon as the lane can, rather than when the plan says."""

        def unit(tx: Tx) -> OrderChanged:
            row = order_decisions.find(tx.fresh, call.parts[0])
            if row is None:
                there = order_decisions.find_batch(tx.fresh, call.parts[0]) is not None
                return OrderChanged(None, _ONE_ITEM if there else "")
            _inside(call, (row,))
            work = _ASK.get(row.life.state)
            if work is None:
                return OrderChanged(row, f"it is {row.life.state.value}: there is nothing to ask the bank about it")
            # What is due already keeps its place: asking again and again must not move it behind all others.
            planned = (one.due_ms for one in open_work.of_payment(tx.fresh, row.payment) if one.work is work)
            tx.due(WorkRow(row.payment, work, row.lane, min((tx.now_ms, *planned)), row.epoch))
            audit.append(tx, call.peer.actor, "order.enquire_now", row.payment, {"state": row.life.state.value})
            return OrderChanged(row)

        changed = await self._daemon_handle.store.write(unit)
        row = self._row_of(call, changed)
        lane = self._daemon_handle.lanes.get(row.lane)
        return {**order_view.brief(row), "asked": lane is not None, "lane_ready": lane is not None and lane.ready}

    async def _befall(self, call: Call, word: OperatorDecision) -> Any:
        def unit(tx: Tx) -> OrderChanged:
            return order_decisions.befall(tx, call.parts[0], word)

        changed = await self._daemon_handle.store.write(unit)
        batch = changed.batch
        if batch is None:
            return order_view.brief(self._row_of(call, changed))
        if batch.why:
            raise Denied(409, "not_now", f"batch {batch.row.sender}:{batch.row.batch}: {batch.why}")
        return {**batch_view.brief(batch.row, batch.items), "changed_items": len(batch.applied)}

    def _row_of(self, call: Call, changed: OrderChanged) -> PaymentRow:
        if changed.row is None:
            if changed.why:
                raise Denied(409, "not_now", f"{call.parts[0]}: {changed.why}")
            raise _no_order(call.parts[0])
        if changed.why:
            raise Denied(409, "not_now", f"order {changed.row.order.id} ({changed.row.payment}): {changed.why}")
        return changed.row

    # ---- lanes ----

    async def pause(self, call: Call) -> Any:
        """Send nothing on this lane, whichever node has it; asking goes on. It stays so over a restart."""
        name, _ = self._lane(call)
        return await self._said(call, name, paused=True, detail={"reason": call.text("reason")})

    async def resume(self, call: Call) -> Any:
        """Take the operator's pause away; other reasons to pause stay, and one of them needs two persons. Where there
        are administrators, two persons sign it instead (`ProposalKind.RESUME_LANE`)."""
        name, lane = self._lane(call)
        before = await self._daemon_handle.store.read(lambda conn: lane_pauses.said(conn, [name]))
        if lane_pauses.FROM_THE_PAST in lane.paused and not before[name].paused:
            raise Denied(409, "two_persons", f"lane {name} waits because the database came back from the past, and one "
                         f"operator cannot lift that; nothing was changed. Two enrolled persons can: "
                         f"bankgw leave-safe-mode {name} --reason …, then bankgw resolve --approve …; "
                         f"see docs/do/restore.md")  # fmt: skip
        if await self._administered():
            raise Denied(409, "two_persons", f"a paused lane is resumed by two supervisors here, who sign it: "
                         f"bankgw lanes resume {name} --reason … as one of them, then bankgw resolve --approve as the "
                         f"other; nothing was changed")  # fmt: skip
        return await self._said(call, name, paused=False, detail={})

    async def _said(self, call: Call, name: str, *, paused: bool, detail: dict[str, Any]) -> Any:
        lane = self._daemon_handle.lanes[name]
        lane.apply_pause(await self._daemon_handle.store.write(
            lambda tx: lane_pauses.say(tx, name, call.peer.actor, paused=paused, detail=detail)
        ))  # fmt: skip
        # Another node's lane goes on as before until that node looks into the journal.
        hears_s = BEAT_S if lane.elsewhere else 0.0
        word = self._daemon_handle.ready()["lanes"][name]
        return {**_lane(name, lane, word, self._daemon_handle.since_ms(name)), "owner_hears_within_s": hears_s}

    async def _administered(self) -> bool:
        """True if there are administrators: from then on persons sign what lets money move."""
        return not persons_known.ceremony_open(await self._daemon_handle.store.read(persons_known.everyone))

    def _lane(self, call: Call) -> tuple[str, Lane]:
        name = call.parts[0]
        lane = self._daemon_handle.lanes.get(name)
        if lane is None:
            there = ", ".join(sorted(self._daemon_handle.lanes))
            raise Denied(404, "no_such_lane", f"there is no lane {name}; there are {there}")
        return name, lane

    # ---- the emergency stop ----

    async def stop_all(self, call: Call) -> Any:
        """Let nothing leave that moves money: this node stops at once, and every other one as it hears of it."""
        reason, daemon_handle = call.text("reason"), self._daemon_handle
        said: list[Stop] = []
        failed: list[Failure] = []
        daemon_handle.stop_all(call.peer.actor, reason).addCallbacks(said.append, failed.append)
        until_s = daemon_handle.clock.monotonic_s() + STOP_WAIT_S
        while not (said or failed) and daemon_handle.lost_ms() is None and daemon_handle.clock.monotonic_s() < until_s:
            await sleep(daemon_handle.clock, 0.05)
        word = said[0] if said else None
        return {
            "stopped": True, "written": word is not None, "number": None if word is None else word.number,
            "by": call.peer.actor if word is None else word.by, "reason": reason if word is None else word.reason,
            "others_hear_within_s": STOP_LOOK_S, "others_silent_within_s": LEASE_MS / 1000,
        }  # fmt: skip

    # ---- parked messages, draining ----

    async def parked(self, call: Call) -> Any:
        limit, after = int(call.number("limit", 50, PAGE_MOST)), call.query.get("after")
        rows = await self._daemon_handle.store.read(lambda conn: parked.listing(conn, limit, after))
        following = rows[-1].message_id if len(rows) == limit else None
        return {"parked": [parked.shown(row) for row in rows], "next": following}

    async def parked_one(self, call: Call) -> Any:
        clear, message_id = call.clear, call.parts[0]

        def look(conn: Connection) -> tuple[OutboxRow, PaymentRow | None] | None:
            row = parked.fetch(conn, message_id)
            if row is None:
                return None
            return row, None if row.payment is None else lookup.fetch(conn, row.payment)

        found = await self._daemon_handle.store.read(look)
        if found is None:
            raise _no_message(message_id)
        row, payment = found
        if clear:
            await self._noted(call, "outbox.shown_clear", message_id, {"payment": row.payment})
        veiled = Veil((), (), clear) if payment is None else self._veil(payment, clear)
        return {**parked.shown(row), "headers": dict(row.headers), "body": veiled.octets(row.body)}

    async def replay(self, call: Call) -> Any:
        """Publish a parked message again, once its addressee is back."""
        message_id = call.parts[0]
        was = await self._daemon_handle.store.write(lambda tx: parked.replay(tx, message_id, call.peer.actor))
        self._was_parked(message_id, was)
        self._daemon_handle.republish()
        return {"message_id": message_id, "state": OutboxState.WAITING.value}

    async def discard(self, call: Call) -> Any:
        """Count a parked message as dealt with."""
        message_id, reason = call.parts[0], call.text("reason")
        was = await self._daemon_handle.store.write(lambda tx: parked.discard(tx, message_id, call.peer.actor, reason))
        self._was_parked(message_id, was)
        return {"message_id": message_id, "state": "discarded"}

    def _was_parked(self, message_id: str, was: OutboxState | None) -> None:
        if was is None:
            raise _no_message(message_id)
        if was is not OutboxState.PARKED:
            raise Denied(409, "not_parked", f"message {message_id} is {was.value}, not parked; nothing was changed")

    async def drain(self, call: Call) -> Any:
        """Take nothing in any more (`on`: false undoes it); what was accepted goes on its way."""
        on = call.body.get("on", True)
        if not isinstance(on, bool):
            raise Denied(400, "bad_switch", "`on` must be true or false")
        await self._noted(call, "node.draining" if on else "node.undrained", self._daemon_handle.identity["node"], {})
        self._daemon_handle.drain(on)
        counts = await self._daemon_handle.store.read(_open_orders)
        return {"draining": on, "orders": counts.states, "messages": {"waiting": counts.waiting}}

    async def _noted(self, call: Call, entry: str, object_id: str, detail: dict[str, Any]) -> None:
        await self._daemon_handle.store.write(lambda tx: audit.append(tx, call.peer.actor, entry, object_id, detail))


@dataclass(frozen=True, slots=True)
class _Open:
    states: dict[str, int]
    waiting: int
    parked: int


_LIVE = tuple(state.value for state, facts in STATE_TABLE.items() if not facts.final)


def _open_orders(conn: Connection) -> _Open:
    p, o = schema.payments.c, schema.outbox.c
    lanes = select(schema.lanes.c.lane)
    counted = select(p.state, func.count()).where(p.lane.in_(lanes), p.state.in_(_LIVE)).group_by(p.state)
    states: dict[str, int] = {row[0]: row[1] for row in conn.execute(counted)}
    counts = {
        one: conn.execute(select(func.count()).where(o.node.in_(outbox.OWNERS), o.state == one.value)).scalar_one()
        for one in (OutboxState.WAITING, OutboxState.PARKED)
    }
    live = {state: states.get(state, 0) for state in _LIVE}
    return _Open(live, counts[OutboxState.WAITING], counts[OutboxState.PARKED])


def _fits(filters: Filters, row: PaymentRow) -> bool:
    if not filters.inside.covers(row.company, row.order.ours.account.clear):
        return False
    wanted = ((filters.bank, row.bank), (filters.lane, row.lane), (filters.sender, row.sender),
              (filters.order_id, row.order.id), (filters.batch, row.batch))  # fmt: skip
    states = filters.states or (row.life.state,)
    return row.life.state in states and all(one in (None, there) for one, there in wanted)


def _inside(call: Call, rows: Iterable[PaymentRow]) -> None:
    """Refuse unless every one of these is of an account that the asker may see. Raises Denied."""
    if not all(call.scope.covers(row.company, row.order.ours.account.clear) for row in rows):
        raise Denied(403, "out_of_scope", f"{call.parts[0]} is of an account outside of your scope "
                     f"({call.scope.text()}); nothing was changed")  # fmt: skip


def _states(text: str) -> tuple[State, ...]:
    try:
        return tuple(State(word) for word in text.split(",") if word)
    except ValueError:
        raise Denied(400, "no_such_state", f"{text!r}: states are {', '.join(State)}") from None


_ONE_ITEM = "it is a batch; name one of its items, the bank is asked about all that travelled with it at once"


def _file(conn: Connection, row: PaymentRow) -> _File:
    moments = timeline(conn, row.payment)
    if row.batch is None:
        return _File(row, moments)
    batch, found = batch_rows.find(conn, row.sender, row.batch), bundles.of_payment(conn, row.payment)
    if found is None or found[0].wire is None:
        return _File(row, moments, batch)
    bundle, members = found
    message = BundleMessage(bundle, len(members), bundles.answer_of(conn, bundle.bundle))
    return _File(row, moments, batch, message, batch_rows.items(conn, row.sender, row.batch))


def _reasons(call: Call) -> tuple[str, ...]:
    """The hold reasons that are meant; none: whatever it is held for."""
    given = call.body.get("held_for") or ""
    if not isinstance(given, str):
        raise Denied(400, "bad_reason", "`held_for` must be text: reasons with commas between")
    return tuple(word.strip() for word in given.split(",") if word.strip())


def _no_order(name: str) -> Denied:
    return Denied(404, "no_such_order", f"there is no order or batch {name}; name an order by its payment key, and "
                  f"either as SENDER:ID")  # fmt: skip


def _no_message(message_id: str) -> Denied:
    return Denied(404, "no_such_message", f"there is no message {message_id} in the outbox")


def _lane(name: str, lane: Lane, word: str, since_ms: int | None) -> dict[str, Any]:
    pool = lane.session_pool
    next_s = None if lane.standing_by or lane.halted else pool.next_try_s
    sessions = [session.state for session in lane.session_pool.sessions]
    ago_s = lane.parts.clock.monotonic_s() - lane.session_pool.answered_s
    return {
        "lane": name, "bank": lane.parts.bank_name, "condition": word, "epoch": lane.epoch, "window": len(sessions),
        "sessions": {state: sessions.count(state) for state in sorted(set(sessions))}, "work": len(lane.work_queue),
        "paused": list(lane.paused), "halted": lane.halted, "trouble": lane.session_pool.trouble_text,
        "answered_s_ago": None if ago_s == float("inf") else round(ago_s, 1),
        "since": None if since_ms is None else instant(since_ms),
        "next_try_s": None if next_s is None else round(next_s, 1), "sign_on_pause_s": round(pool.quiet_s, 1),
    }  # fmt: skip
