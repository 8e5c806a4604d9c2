"""The verb `GET /lanes/LANE/trace`: the last connections and exchanges of a lane, with their bytes.

Bank messages are whole here: only the login's secrets are cut out. So only root and the daemon's own user may look, and
the audit trail names them; `after`, with which a follower asks for what is new, is not noted again.
"""

from __future__ import annotations

from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from typing import Any

from gateway.bank.exchange_trace import TracedEvent, TracePart
from gateway.control.daemon_handle import DaemonHandle
from gateway.control.server import Call, Denied, Verb
from gateway.journal.commit import audit
from protocols.erp.news import instant

MOST_EVENTS = 1_000
MOST_BYTES = 4_194_304
"""An answer holds no more bytes of messages; a follower gets the rest with its next question."""


def verbs(daemon_handle: DaemonHandle) -> Sequence[Verb]:
    """What can be asked about a lane's exchanges."""
    return (Verb("GET", "/lanes/([^/]+)/trace", _Acts(daemon_handle).trace),)


class _Acts:
    def __init__(self, daemon_handle: DaemonHandle) -> None:
        self._daemon_handle = daemon_handle

    async def trace(self, call: Call) -> Any:
        """The events above the number `after`, or the `last` ones."""
        name, lane = call.parts[0], self._daemon_handle.lanes.get(call.parts[0])
        if lane is None:
            there = ", ".join(sorted(self._daemon_handle.lanes))
            raise Denied(404, "no_such_lane", f"there is no lane {name}; there are {there}")
        last = int(call.number("last", 40, MOST_EVENTS))
        after = _after(call)
        if not lane.trace.kept:
            raise Denied(409, "not_kept", f"lane {name} keeps no exchanges: set trace_kib above 0 and restart; if it "
                         "is, the log says why the file could not be opened")  # fmt: skip
        if after is None:
            await self._daemon_handle.store.write(
                lambda tx: audit.append(tx, call.peer.actor, "lane.trace_shown", name, {"last": last})
            )
            events = list(deque(lane.trace.read(), last))
        else:
            events = _first(lane.trace.read(after))
        return {"lane": name, "events": [shown(event) for event in events],
                "last": events[-1].number if events else after or lane.trace.last}  # fmt: skip


def _after(call: Call) -> int | None:
    given = call.query.get("after")
    if given is None:
        return None
    if not given.isascii() or not given.isdigit():
        raise Denied(400, "bad_number", "`after` must be the number of an event, or 0")
    return int(given)


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
        "number": event.number, "at": instant(event.at_ms), "session": event.session, "connection": event.connection,
        "exchange": event.exchange, "event": event.event.value, "purpose": event.purpose, "port": event.port,
        "note": event.note, "parts": [_part(part) for part in event.parts],
    }  # fmt: skip


def _part(part: TracePart) -> dict[str, Any]:
    try:
        text, charset = part.octets.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        text, charset = part.octets.decode("gb18030", "backslashreplace"), "GB18030"
    return {"name": part.name, "bytes": part.whole, "cut_after": len(part.octets) if len(part.octets) < part.whole else
            None, "read_as": charset, "text": text, "base64": b64encode(part.octets).decode("ascii")}  # fmt: skip
