"""The gauges of the daemon's and the lanes' condition, in the words of `bankgw status`, and of the disk below them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from twisted.python.failure import Failure

from gateway import log, start_failures
from gateway.bank.lane import Lane
from gateway.clock import Clock
from gateway.journal.commit import permit_log
from gateway.journal.sql.executor import Executor
from gateway.meters import NOT_READY, Meters
from gateway.settings import PERMIT_LOG
from gateway.start_failures import StartFailure
from gateway.watch.health import Readiness
from protocols.canon.money import Money

_log = log.get("watch.condition_metrics")


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room on the disk of `state_dir`, and what the permit log takes of it, in bytes."""

    free: int
    size: int
    permit_log: int
    start_failure: StartFailure | None = None


def capacity(state_dir: Path) -> Capacity:
    """Look at the disk, and for another process that could not start here meanwhile. Raises OSError."""
    disk = os.statvfs(state_dir)
    log_bytes = int(permit_log.facts(state_dir / PERMIT_LOG)["bytes"])
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    return Capacity(free, size, log_bytes, start_failures.last(state_dir))


def lane_labels(word: str) -> set[tuple[str, str]]:
    """A lane's word as pairs of state and reason: `paused:operator,stopped` are two, `ready` is one without a reason.

    Of a reason of several parts, such as `defect:KeyError`, the first names its class.
    """
    state, _, reasons = word.partition(":")
    return {(state, reason.partition(":")[0]) for reason in reasons.split(",")}


class ConditionMetrics:
    """Sets the gauges; what a lane or a bank was in before is 0 from then on."""

    def __init__(self, meters: Meters, lanes: Mapping[str, Lane], clock: Clock) -> None:
        self._meters = meters
        self._lanes = lanes
        self._clock = clock
        self._states: dict[str, set[tuple[str, str]]] = {}
        self._since_ms: dict[str, tuple[str, int]] = {}
        self._money: set[tuple[str, str]] = set()
        self.capacity: Capacity | None = None
        self._disk_trouble = ""
        self._looking = False

    def look(self, executor: Executor, state_dir: Path) -> None:
        """Look at the disk in a thread, unless the last look has not ended: a disk that hangs takes one thread."""
        if not self._looking:
            self._looking = True
            executor.run(lambda: capacity(state_dir), self._seen)

    def since_ms(self, lane: str) -> int | None:
        """Since when a lane is in the state that it is in; None before the first look."""
        known = self._since_ms.get(lane)
        return None if known is None else known[1]

    def show(self, now: Readiness) -> None:
        """The condition of this moment."""
        meters = self._meters
        meters.ready.set(int(now.ready))
        for reason in NOT_READY:
            meters.not_ready.labels(reason).set(int(reason in now.codes))
        monotonic_s, wall_s = self._clock.monotonic_s(), self._clock.now_ms() / 1000
        for name, lane in self._lanes.items():
            bank, labels = lane.parts.bank_name, lane_labels(now.lanes[name])
            for state, reason in self._states.get(name, set()) - labels:
                meters.lane_state.labels(bank, name, state, reason).set(0)
            for state, reason in labels:
                meters.lane_state.labels(bank, name, state, reason).set(1)
            self._states[name] = labels
            if self._since_ms.get(name, ("", 0))[0] != now.lanes[name]:
                self._since_ms[name] = (now.lanes[name], self._clock.now_ms())
                meters.lane_since.labels(bank, name).set(wall_s)
            pool = lane.session_pool
            next_s = None if lane.standing_by or lane.halted else pool.next_try_s
            meters.lane_next_try.labels(bank, name).set(0 if next_s is None else wall_s + next_s)
            meters.lane_sign_on_pause.labels(bank, name).set(pool.quiet_s)
            answered_s = lane.session_pool.answered_s
            if answered_s > float("-inf"):
                meters.lane_exchange.labels(bank, name).set(wall_s - (monotonic_s - answered_s))

    def money(self, in_doubt: Mapping[tuple[str, str], tuple[int, Money]]) -> None:
        """What is in doubt by bank and currency."""
        for bank, currency in self._money - in_doubt.keys():
            self._meters.money_in_doubt.labels(bank, currency).set(0)
            self._meters.money_in_doubt_payments.labels(bank, currency).set(0)
        for (bank, currency), (number, total) in in_doubt.items():
            self._meters.money_in_doubt.labels(bank, currency).set(float(str(total)))
            self._meters.money_in_doubt_payments.labels(bank, currency).set(number)
        self._money = set(in_doubt)

    def _seen(self, seen: Capacity | Failure) -> None:
        self._looking = False
        if isinstance(seen, Failure):
            trouble = str(seen.value)
            if trouble != self._disk_trouble:
                _log.warning("disk.not_seen", error=trouble, action="the gauges of the disk keep their last values")
            self._disk_trouble = trouble
            return
        self._disk_trouble = ""
        self.capacity = seen
        self._meters.disk_free.set(seen.free)
        self._meters.disk_size.set(seen.size)
        self._meters.permit_log.set(seen.permit_log)
