"""Answers the acts about lanes: list, pause, resume. Every change is one unit that names its actor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gateway.act_ports import NodePort
from gateway.bank.lane import Lane
from gateway.call import Call, Denied, answers
from gateway.control.acts.lanes import PauseLane, ResumeLane
from gateway.control.ports import LanePort, StopPort
from gateway.kernel.cluster import lane_pauses
from gateway.kernel.cluster.peer_nodes import BEAT_S
from gateway.kernel.commit.store import Store
from gateway.kernel.core.hours import local
from gateway.people.act_answers.persons import administered
from protocols.erp.news import instant


class LaneAnswers:
    """Answers the acts about lanes."""

    def __init__(self, store: Store, node: NodePort, lanes: LanePort, stop: StopPort) -> None:
        self._store = store
        self._node = node
        self._lanes = lanes
        self._stop = stop

    @answers("lanes.list")
    async def lanes(self, _call: Call) -> Any:
        """Every lane's condition, from memory, and the emergency stop."""
        return {"lanes": lane_rows(self._node, self._lanes), "stop": stop_words(self._stop)}

    @answers("lanes.pause")
    async def pause(self, call: Call, params: PauseLane) -> Any:
        """Stop sending on this lane, whichever node has it. Enquiries go on. The pause stays after a restart."""
        name, _ = self._lane(params.lane)
        return await self._said(call, name, paused=True, detail={"reason": params.reason})

    @answers("lanes.resume")
    async def resume(self, call: Call, params: ResumeLane) -> Any:
        """Remove the operator's pause.

        Other reasons to pause stay, and one of them needs two persons. If there are administrators, two persons sign
        the resumption instead (`ProposalKind.RESUME_LANE`).
        """
        name, lane = self._lane(params.lane)
        before = await self._store.read(lambda conn: lane_pauses.said(conn, [name]))
        if lane_pauses.FROM_THE_PAST in lane.paused and not before[name].paused:
            raise Denied(
                409,
                "two_persons",
                f"lane {name} waits because the database was restored from an older copy, and "
                f"one operator cannot end that; nothing was changed. Two enrolled persons can: "
                f"bankgw leave-safe-mode {name} --reason …, then bankgw resolve --approve …; "
                f"see docs/do/restore.md",
            )
        if await administered(self._store):
            raise Denied(
                409,
                "two_persons",
                f"two supervisors must sign the resumption of a paused lane here: "
                f"bankgw lanes resume {name} --reason … as one of them, then bankgw resolve --approve as the "
                f"other; nothing was changed",
            )
        return await self._said(call, name, paused=False, detail={})

    async def _said(self, call: Call, name: str, *, paused: bool, detail: dict[str, Any]) -> Any:
        lane = self._lanes.lanes[name]
        lane.apply_pause(
            await self._store.write(lambda tx: lane_pauses.say(tx, name, call.peer.actor, paused=paused, detail=detail))
        )
        # A lane of another node continues to send until that node reads the journal.
        hears_s = BEAT_S if lane.elsewhere else 0.0
        word = self._node.ready()["lanes"][name]
        return {**_lane(name, lane, word, self._lanes.since_ms(name)), "owner_hears_within_s": hears_s}

    def _lane(self, name: str) -> tuple[str, Lane]:
        lane = self._lanes.lanes.get(name)
        if lane is None:
            there = ", ".join(sorted(self._lanes.lanes))
            raise Denied(404, "no_such_lane", f"there is no lane {name}; there are {there}")
        return name, lane


def lane_rows(node: NodePort, lanes: LanePort) -> list[dict[str, Any]]:
    """Every lane as it is shown."""
    words = node.ready()["lanes"]
    return [_lane(name, lane, words[name], lanes.since_ms(name)) for name, lane in lanes.lanes.items()]


def stop_words(port: StopPort) -> dict[str, Any] | None:
    """The emergency stop as JSON; None if there is none."""
    stop = port.word()
    return {"by": stop.by, "reason": stop.reason, "since": instant(stop.at_ms)} if stop.stopped else None


def _lane(name: str, lane: Lane, word: str, since_ms: int | None) -> dict[str, Any]:
    pool = lane.session_pool
    next_s = None if lane.standing_by or lane.halted else pool.next_try_s
    sessions = [session.state for session in lane.session_pool.sessions]
    ago_s = lane.parts.clock.monotonic_s() - lane.session_pool.answered_s
    return {
        "lane": name,
        "bank": lane.parts.bank_name,
        "condition": word,
        "epoch": lane.epoch,
        "window": len(sessions),
        "sessions": {state: sessions.count(state) for state in sorted(set(sessions))},
        "work": len(lane.work_queue),
        "paused": list(lane.paused),
        "halted": lane.halted,
        "trouble": lane.session_pool.trouble_text,
        "answered_s_ago": None if ago_s == float("inf") else round(ago_s, 1),
        "since": None if since_ms is None else instant(since_ms),
        "next_try_s": None if next_s is None else round(next_s, 1),
        "sign_on_pause_s": round(pool.quiet_s, 1),
        "bank_date": _host_date(lane),
        "bank_date_ahead_days": lane.host_date.stated_days,
    }


def _host_date(lane: Lane) -> str | None:
    """Today's date at the bank by its own answers; None while none stated one."""
    days = lane.host_date.stated_days
    if days is None:
        return None
    hours, now_ms = lane.parts.bank.profile.limits.hours, lane.parts.clock.now_ms()
    return (local(hours, now_ms).date() + timedelta(days=days)).isoformat()
