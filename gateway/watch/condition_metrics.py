"""The gauges of the daemon's and the lanes' condition, in the words of `bankgw status`, and of the disk of the state
folder.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from twisted.python.failure import Failure

from gateway.bank.lane import Lane
from gateway.kernel import log, reload_refusals, run_record, start_failures
from gateway.kernel.clock import Clock
from gateway.kernel.commit import permit_log
from gateway.kernel.commit.permit_access import why_unwritable
from gateway.kernel.meters import NOT_READY, Meters
from gateway.kernel.reload_refusals import ReloadRefusal
from gateway.kernel.sql.executor import Executor
from gateway.kernel.start_failures import StartFailure
from gateway.settings import PERMIT_LOG
from gateway.watch.disk_history import DiskForecast, DiskHistory
from gateway.watch.health import Readiness
from gateway.watch.intake_room import IntakeRoom
from protocols.canon.money import Money

MOST_COMPANIES = 200
"""The most companies that have series of their own, because each label value costs memory where it is monitored."""
_log = log.get("watch.condition_metrics")


@dataclass(frozen=True, slots=True)
class Capacity:
    """The free space on the disk of `state_dir` and the size of the permit log, in bytes, and the facts in its small
    files (a failed start, a refused reload).

    `permits` is the permit log's folder, `permit_log_fault` the reason why it cannot be written. `reload` is a refused
    reload, `settings_at` when the settings in force were read. `forecast` is the forecast of when the disk will be
    full. `waits` is the reason why no command is taken in, "" if commands are.
    """

    free: int
    size: int
    permit_log: int
    start_failure: StartFailure | None = None
    permits: Path | None = None
    permit_log_fault: str = ""
    reload: ReloadRefusal | None = None
    settings_at: str = ""
    forecast: DiskForecast | None = None
    waits: str = ""


def capacity(state_dir: Path) -> Capacity:
    """Measure the disk and the permit log, and read what other processes left in this folder: a failed start, a refused
    reload. Records that this daemon is alive. Raises OSError.
    """
    run_record.touch(state_dir)
    disk, permits = os.statvfs(state_dir), state_dir / PERMIT_LOG
    log_bytes = int(permit_log.facts(permits)["bytes"])
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    run = run_record.last(state_dir)
    return Capacity(
        free,
        size,
        log_bytes,
        start_failures.last(state_dir),
        permits,
        why_unwritable(permits),
        reload_refusals.last(state_dir),
        "" if run is None else run.settings_at,
    )


def lane_labels(word: str) -> set[tuple[str, str]]:
    """A lane's condition as pairs of state and reason: `paused:operator,stopped` are two, `ready` is one without a
    reason.

    Of a reason of several parts, such as `defect:KeyError`, the first names its class.
    """
    state, _, reasons = word.partition(":")
    return {(state, reason.partition(":")[0]) for reason in reasons.split(",")}


class ConditionMetrics:
    """Sets the gauges of lanes and banks. The gauge of an earlier state goes back to 0."""

    def __init__(
        self,
        meters: Meters,
        lanes: Mapping[str, Lane],
        clock: Clock,
        on_room: Callable[[str], None] = lambda _waits: None,
    ) -> None:
        """`on_room` is called after each look at the disk: see `Capacity.waits`."""
        self._meters = meters
        self._on_room = on_room
        self._lanes = lanes
        self._clock = clock
        self._states: dict[str, set[tuple[str, str]]] = {}
        self._since_ms: dict[str, tuple[str, int]] = {}
        self._money: set[tuple[str, str]] = set()
        self._companies: set[str] = set()
        self._shown: set[tuple[str, str, str]] = set()
        self.capacity: Capacity | None = None
        self._disk_trouble = ""
        self._looking = False
        self._history: DiskHistory | None = None
        self._room = IntakeRoom()

    def measure_disk(self, executor: Executor, state_dir: Path) -> None:
        """Measure the disk in a thread, unless the last measurement still runs, so that a disk that hangs takes only
        one thread."""
        if not self._looking:
            self._looking = True
            now_s = self._clock.now_ms() / 1000
            executor.run(lambda: self._measured(state_dir, now_s), self._seen)

    def _measured(self, state_dir: Path, now_s: float) -> Capacity:
        if self._history is None:
            self._history = DiskHistory(state_dir)
        found = capacity(state_dir)
        room = self._room.measure(state_dir / PERMIT_LOG, found.free, found.size, found.permit_log_fault)
        forecast = self._history.forecast(found.free, now_s)
        return replace(found, forecast=forecast, permit_log_fault=room.fault, waits=room.waits)

    def since_ms(self, lane: str) -> int | None:
        """The time since when a lane is in its present state; None before the first look."""
        known = self._since_ms.get(lane)
        return None if known is None else known[1]

    def show(self, now: Readiness) -> None:
        """Set the gauges to the present condition."""
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
            for key, signer in lane.parts.signers.items():
                meters.key_gone.labels(bank, name, key).set(int(signer.trouble is not None))
            pool = lane.session_pool
            next_s = None if lane.standing_by or lane.halted else pool.next_try_s
            meters.lane_next_try.labels(bank, name).set(0 if next_s is None else wall_s + next_s)
            meters.lane_sign_on_pause.labels(bank, name).set(pool.quiet_s)
            answered_s = lane.session_pool.answered_s
            if answered_s > float("-inf"):
                meters.lane_exchange.labels(bank, name).set(wall_s - (monotonic_s - answered_s))

    def money(self, in_doubt: Mapping[tuple[str, str], tuple[int, Money]]) -> None:
        """Set the gauges of amounts in doubt by bank and currency."""
        for bank, currency in self._money - in_doubt.keys():
            self._meters.money_in_doubt.labels(bank, currency).set(0)
            self._meters.money_in_doubt_payments.labels(bank, currency).set(0)
        for (bank, currency), (number, total) in in_doubt.items():
            self._meters.money_in_doubt.labels(bank, currency).set(float(str(total)))
            self._meters.money_in_doubt_payments.labels(bank, currency).set(number)
        self._money = set(in_doubt)

    def by_company(self, counts: Mapping[tuple[str, str, str], int]) -> None:
        """Set the gauges of open payments by company and bank. Beyond MOST_COMPANIES a company counts as `other`."""
        shown: Counter[tuple[str, str, str]] = Counter()
        for (company, bank, state), number in sorted(counts.items()):
            if company not in self._companies and len(self._companies) < MOST_COMPANIES:
                self._companies.add(company)
            shown[company if company in self._companies else "other", bank, state] += number
        for series in self._shown - shown.keys():
            self._meters.company_payments.labels(*series).set(0)
        for series, number in shown.items():
            self._meters.company_payments.labels(*series).set(number)
        self._shown |= shown.keys()

    def _seen(self, seen: Capacity | Failure) -> None:
        self._looking = False
        if isinstance(seen, Failure):
            trouble = str(seen.value)
            if trouble != self._disk_trouble:
                _log.warning(
                    "disk.not_seen",
                    error=trouble,
                    action="the metrics of the disk keep their last values; make state_dir readable",
                )
            self._disk_trouble = trouble
            if self.capacity is None:
                self._on_room(f"the disk of state_dir cannot be measured: {trouble}")
            return
        self._disk_trouble = ""
        self.capacity = seen
        self._meters.disk_free.set(seen.free)
        self._meters.disk_size.set(seen.size)
        self._meters.permit_log.set(seen.permit_log)
        self._meters.disk_full.set(float("inf") if seen.forecast is None else seen.forecast.days * 86_400)
        self._on_room(seen.waits)
