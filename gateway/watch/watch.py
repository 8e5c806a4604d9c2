"""Keeps the gauges true, feeds the watchdog, and serves the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway import log
from gateway.bank.lane import Lane
from gateway.clock import Clock
from gateway.core.states import Work
from gateway.erp.wire import Amqp
from gateway.journal.executor import Executor
from gateway.journal.store import Store
from gateway.meters import Meters
from gateway.watch.counts import Counts, count
from gateway.watch.health import Readiness, readiness
from gateway.watch.notify import Notify
from gateway.watch.pages import site

TICK_S = 1.0
COUNT_EVERY = 5
STALE_S = 15.0
_log = log.get("watch")


def _never() -> None:
    return None


def _no_certificates() -> Mapping[tuple[str, str], float]:
    return {}


def _no() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Sights:
    """What is looked at. `canary_age_s` tells the age of the last heartbeat through the broker, `certificates` the end
    of validity (seconds since 1970) by bank and role."""

    store: Store
    amqp: Amqp
    lanes: Mapping[str, Lane]
    meters: Meters
    draining: Callable[[], bool] = _no
    canary_age_s: Callable[[], float | None] = field(default=_never)
    certificates: Callable[[], Mapping[tuple[str, str], float]] = _no_certificates


class Watch:
    """See the module. `start` listens, `leaving` says that the end has begun, `stop` closes.

    The watchdog is fed only when a unit has just gone through the journal, from the turn of the reactor that saw it:
    a stuck disk, a stuck writer and a stuck reactor all starve it.
    """

    def __init__(self, reactor: Any, sights: Sights, clock: Clock, notify: Notify, rendering: Executor) -> None:
        self._reactor = reactor
        self._sights = sights
        self._clock = clock
        self._notify = notify
        self._rendering = rendering
        self._listening: Any = None
        self._timer: IDelayedCall | None = None
        self._ticks = 0
        self._expected_s = 0.0
        self._wrote_s = float("-inf")
        self._announced = False
        self._stopped = False
        self.stopping = False

    def start(self, host: str, port: int, port_file: Path | None = None) -> int:
        """Serve the pages; returns the port, and writes it to `port_file` for tools. Raises CannotListenError."""
        pages = site(self._sights.meters.registry, self._rendering, self.ready)
        self._listening = self._reactor.listenTCP(port, pages, interface=host)
        chosen: int = self._listening.getHost().port
        if port_file is not None:
            port_file.write_text(f"{chosen}\n", "ascii")
        self._sights.meters.start_time.set(self._clock.now_ms() / 1000)
        self._expected_s = self._clock.monotonic_s()
        self._tick()
        return chosen

    def leaving(self) -> None:
        """The daemon begins to stop: not ready any more, still alive."""
        self.stopping = True
        self._notify.stopping()

    async def stop(self) -> None:
        """Stop listening and ticking."""
        self.stopping = self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._listening is not None:
            await self._listening.stopListening()
        await self._rendering.stop()

    def ready(self) -> Readiness:
        """Readiness now."""
        sights = self._sights
        return readiness(
            self.journal_ok, sights.amqp, sights.lanes, stopping=self.stopping, draining=sights.draining()
        )

    def journal_ok(self) -> bool:
        """Whether a unit reached the disk lately."""
        return self._clock.monotonic_s() - self._wrote_s < STALE_S

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        meters, sights = self._sights.meters, self._sights
        meters.reactor_delay.set(max(now_s - self._expected_s, 0.0))
        self._expected_s = now_s + TICK_S
        self._timer = self._clock.later(TICK_S, self._tick)
        # An empty unit goes the whole way of a payment's: writer thread, transaction, commit.
        sights.store.write(lambda tx: None).addCallbacks(self._wrote, self._not_written)
        if self._ticks % COUNT_EVERY == 0:
            sights.store.read(count).addCallbacks(self._counted, self._not_written)
            for (bank, role), not_after_s in sights.certificates().items():
                meters.certificate.labels(bank, role).set(not_after_s)
        self._ticks += 1
        age_s = sights.canary_age_s()
        if age_s is not None:
            meters.canary.set(self._clock.now_ms() / 1000 - age_s)
        for name, lane in sights.lanes.items():
            meters.lane_paused.labels(lane.parts.bank_name, name).set(int(bool(lane.paused)))
        if not self._announced and sights.amqp.up:
            self._announced = True
            self._notify.ready("consuming commands")

    def _wrote(self, _result: None) -> None:
        self._wrote_s = self._clock.monotonic_s()
        self._sights.meters.journal_written.set(self._clock.now_ms() / 1000)
        self._notify.alive()

    def _not_written(self, failure: Failure) -> None:
        if not self.stopping:
            _log.error("watch.journal_failed", error=str(failure.value),
                       action="the watchdog is not fed until it writes")  # fmt: skip

    def _counted(self, counts: Counts) -> None:
        if self._stopped:
            return
        meters = self._sights.meters
        for bank in {lane.parts.bank_name for lane in self._sights.lanes.values()} | counts.in_doubt.keys():
            number, oldest_ms = counts.in_doubt.get(bank, (0, None))
            meters.in_doubt.labels(bank).set(number)
            meters.in_doubt_oldest.labels(bank).set((oldest_ms or 0) / 1000)
            meters.held.labels(bank).set(counts.held.get(bank, 0))
        meters.outbox_depth.set(counts.waiting)
        meters.outbox_oldest.set((counts.waiting_oldest_ms or 0) / 1000)
        meters.parked.set(counts.parked)
        for lane in self._sights.lanes:
            for work in Work:
                meters.lane_work.labels(lane, work.value).set(counts.work.get((lane, work.value), 0))
        doubt = sum(number for number, _oldest in counts.in_doubt.values())
        self._notify.status(f"{counts.waiting} messages waiting, {doubt} payments in doubt")
