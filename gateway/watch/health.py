"""Liveness and readiness of the daemon, each with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.bank.lane import Lane
from gateway.erp.amqp_types import Amqp
from gateway.journal.cluster.stops import Stop


@dataclass(frozen=True, slots=True)
class Readiness:
    """`reasons` says what is missing; empty means ready. `codes` are the same reasons as the metric names them.
    `troubles` are all that is wrong, also what leaves the daemon ready."""

    reasons: tuple[str, ...]
    lanes: Mapping[str, str]
    codes: tuple[str, ...] = ()
    troubles: Sequence[Mapping[str, Any]] = ()

    @property
    def ready(self) -> bool:
        """Whether commands are taken in and at least one bank can be reached."""
        return not self.reasons

    def words(self) -> dict[str, Any]:
        """As the page and the control API say it."""
        status = "ready" if self.ready else "not_ready"
        return {"status": status, "reasons": list(self.reasons), "lanes": dict(self.lanes),
                "troubles": [dict(one) for one in self.troubles]}  # fmt: skip


def lane_word(lane: Lane) -> str:
    """One word, or a word and its reason, for a lane's condition."""
    if lane.halted:
        return f"halted:{lane.halted}"
    if lane.standing_by:
        return "standing_by"
    if lane.paused:
        return f"paused:{','.join(lane.paused)}"
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
    journal_ok: Callable[[], bool], amqp: Amqp, lanes: Mapping[str, Lane], *, stopping: bool, draining: bool = False,
    stopped: str = "",
) -> Readiness:
    """The journal writes, the broker is consumed, and at least one lane is ready. `stopped` are an emergency stop's
    words."""
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
        reasons["broker"] = "the broker is not consumed"
    elif amqp.blocked:
        reasons["broker_blocked"] = "the broker takes no messages (memory or disk alarm)"
    words = {name: lane_word(lane) for name, lane in lanes.items()}
    own = {word.partition(":")[0] for word in words.values()} - {"standing_by"}
    if own and "ready" not in own:
        reasons["no_lane"] = "no lane is ready"
    return Readiness(tuple(reasons.values()), words, tuple(reasons))
