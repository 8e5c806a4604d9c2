"""The verb `GET /lanes/LANE/trace`: the last connections and exchanges of a lane, with their bytes.

Bank messages are shown whole; only the login's secrets are cut out. Therefore only root and the daemon's own user may
look, and the audit trail names them. A request with `after`, by which a follower asks for new events, is not recorded
again.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from typing import Any

from gateway.bank.exchange_trace import LaneTrace, TracedEvent, TracePart
from gateway.call import Call, Denied, answers
from gateway.control.acts.lanes import TraceLane
from gateway.control.ports import LanePort
from gateway.kernel.commit import audit
from gateway.kernel.commit.store import Store
from protocols.erp.news import instant

MOST_EVENTS = 1_000
MOST_BYTES = 4_194_304
"""An answer holds no more bytes of messages; a follower gets the rest with its next question."""


@dataclass(frozen=True, slots=True)
class TraceAnswers:
    """Answers the act that shows a lane's exchanges."""

    store: Store
    lanes: LanePort

    @answers("lanes.trace")
    async def trace(self, call: Call, params: TraceLane) -> Any:
        """The lane's events after the number `after`, or the `last` ones."""
        name, kept = params.lane, trace_of(self.lanes, params.lane)
        last, after = params.last, params.after
        if after is None:
            await self.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "lane.trace_shown", name, {"last": last})
            )
            events = list(deque(kept.events_after(), last))
        else:
            events = _first(kept.events_after(after))
        return {
            "lane": name,
            "events": [shown(event) for event in events],
            "last": events[-1].number if events else after or kept.last,
        }


def trace_of(lanes: LanePort, name: str) -> LaneTrace:
    """The exchange trace of a lane. Raises Denied for a lane that does not exist, or keeps no exchanges."""
    lane = lanes.lanes.get(name)
    if lane is None:
        there = ", ".join(sorted(lanes.lanes))
        raise Denied(404, "no_such_lane", f"there is no lane {name}; there are {there}")
    if not lane.trace.kept:
        raise Denied(
            409,
            "not_kept",
            f"lane {name} keeps no exchanges: set trace_kib above 0 and restart; if it "
            "is, the log says why the file could not be opened",
        )
    return lane.trace


def _first(events: Any) -> list[TracedEvent]:
    taken: list[TracedEvent] = []
    room = MOST_BYTES
    for event in events:
        room -= sum(len(part.octets) for part in event.parts)
        if taken and (room < 0 or len(taken) == MOST_EVENTS):
            break
        taken.append(event)
    return taken


def shown(event: TracedEvent) -> dict[str, Any]:
    """One event as JSON."""
    return {
        "number": event.number,
        "at": instant(event.at_ms),
        "session": event.session,
        "connection": event.connection,
        "exchange": event.exchange,
        "event": event.event.value,
        "purpose": event.purpose,
        "port": event.port,
        "note": event.note,
        "parts": [_part(part) for part in event.parts],
    }


def _part(part: TracePart) -> dict[str, Any]:
    try:
        text, charset = part.octets.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        text, charset = part.octets.decode("gb18030", "backslashreplace"), "GB18030"
    return {
        "name": part.name,
        "bytes": part.whole,
        "cut_after": len(part.octets) if len(part.octets) < part.whole else None,
        "read_as": charset,
        "text": text,
        "base64": b64encode(part.octets).decode("ascii"),
    }
