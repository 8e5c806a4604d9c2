"""Liveness and readiness of the daemon, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.bank.lane import Lane
from gateway.erp.amqp_types import Amqp
from gateway.kernel.cluster.stops import Stop


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the daemon is ready. `reasons` says what is missing; empty means ready.

    `codes` are the same reasons as the metric's labels. `troubles` are all troubles, also those with which the daemon
    is still ready.
    """

    reasons: tuple[str, ...]
    lanes: Mapping[str, str]
    codes: tuple[str, ...] = ()
    troubles: Sequence[Mapping[str, Any]] = ()

    @property
    def ready(self) -> bool:
        """True if commands are taken in and at least one bank can be reached."""
        return not self.reasons

    def as_json(self) -> dict[str, Any]:
        """Readiness as JSON, for the page and the control API."""
        status = "ready" if self.ready else "not_ready"
        return {
            "status": status,
            "reasons": list(self.reasons),
            "lanes": dict(self.lanes),
            "troubles": [dict(one) for one in self.troubles],
        }


def lane_word(lane: Lane) -> str:
    """A lane's condition as one word, or as a word with its reason."""
    if lane.halted:
        return f"halted:{lane.halted}"
    if lane.standing_by:
        return "standing_by"
    if lane.paused:
        return f"paused:{','.join(lane.paused)}"
    if lane.parts.keys_in_trouble():
        return f"{'ready' if lane.ready else 'down'}:key_gone"
    if lane.session_pool.ready and not lane.permitted():
        # The bank answers; nothing is sent to it before the journal has renewed the lane's lease.
        return "waiting:lease"
    if not lane.ready:
        trouble = lane.session_pool.trouble
        return f"down:{trouble}" if trouble else "down"
    return "ready" if lane.clock_trust.doubt is None else f"ready:{lane.clock_trust.doubt}"


def stop_words(stop: Stop) -> str:
    """An emergency stop as a reason not to be ready; empty if there is none."""
    if not stop.stopped:
        return ""
    since = datetime.fromtimestamp(stop.at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"stopped since {since} by {stop.by}: {stop.reason}; nothing is sent until two persons start it again"


def readiness(
    journal_ok: Callable[[], bool],
    amqp: Amqp,
    lanes: Mapping[str, Lane],
    *,
    stopping: bool,
    draining: bool = False,
    stopped: str = "",
    not_held: str = "",
    refusals: Mapping[str, str] | None = None,
    no_room: str = "",
) -> Readiness:
    """Judges readiness: the journal writes, the broker is consumed and refuses nothing, and at least one lane is ready.

    `stopped` is the text of an emergency stop; `not_held` is the reason why this journal does not hold the virtual
    host; `refusals` are the broker's texts by queue or exchange; `no_room` is the reason why commands wait for the
    disk.
    """
    reasons = {}
    if stopped:
        reasons["stopped"] = stopped
    if stopping:
        reasons["stopping"] = "stopping"
    elif draining:
        reasons["draining"] = "draining: an operator asked to take nothing in"
    if not journal_ok():
        reasons["journal"] = "the journal has not written lately"
    if not amqp.up:
        reasons["broker"] = "the gateway takes no commands from the broker"
    elif amqp.blocked:
        reasons["broker_blocked"] = "the broker takes no messages (memory or disk alarm)"
    elif not_held:
        reasons["mark"] = f"nothing is taken in: {not_held}"
    if amqp.up and refusals:
        reasons["broker_refuses"] = "the broker refuses " + "; ".join(f"{of}: {why}" for of, why in refusals.items())
    if no_room:
        reasons["disk"] = f"nothing is taken in, commands wait in the broker: {no_room}"
    words = {name: lane_word(lane) for name, lane in lanes.items()}
    own = {word.partition(":")[0] for word in words.values()} - {"standing_by"}
    if own and "ready" not in own:
        reasons["no_lane"] = "no lane is ready"
    return Readiness(tuple(reasons.values()), words, tuple(reasons))
