"""Keeps the gauges true, feeds the watchdog, and serves the pages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway import log
from gateway.bank.lane import Lane
from gateway.clock import Clock
from gateway.core.states import Work
from gateway.erp.wire import Amqp
from gateway.journal import outbox, schema
from gateway.journal.executor import ThreadExecutor
from gateway.journal.store import Store
from gateway.meters import Meters
from gateway.watch.health import Readiness, readiness
from gateway.watch.notify import Notify
from gateway.watch.pages import site
from protocols.canon.outcome import State

TICK_S = 1.0
COUNT_EVERY = 5
STALE_S = 15.0
_log = log.get("watch")


class Watch:
    """See the module. `start` listens, `stop` closes; `ready` is also what the control API shows."""

    def __init__(
        self, reactor: Any, store: Store, amqp: Amqp, lanes: Mapping[str, Lane], clock: Clock, meters: Meters,
        notify: Notify,
    ) -> None:  # fmt: skip
        self._reactor = reactor
        self._store = store
        self._amqp = amqp
        self._lanes = lanes
        self._clock = clock
        self._meters = meters
        self._notify = notify
        self._rendering = ThreadExecutor(reactor, "metrics")
        self._listening: Any = None
        self._timer: IDelayedCall | None = None
        self._ticks = 0
        self._expected_s = 0.0
        self._wrote_s = float("-inf")
        self._announced = False
        self.stopping = False

    def start(self, host: str, port: int, port_file: Path | None = None) -> int:
        """Serve the pages; returns the port, and writes it to `port_file` for tools when it was picked."""
        pages = site(self._meters.registry, self._rendering, self.ready, lambda: None)
        self._listening = self._reactor.listenTCP(port, pages, interface=host)
        chosen: int = self._listening.getHost().port
        if port_file is not None:
            port_file.write_text(f"{chosen}\n", "ascii")
        self._meters.start_time.set(self._clock.now_ms() / 1000)
        self._expected_s = self._clock.monotonic_s()
        self._tick()
        return chosen

    async def stop(self) -> None:
        """Stop listening and ticking."""
        self.stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._listening is not None:
            await self._listening.stopListening()
        await self._rendering.stop()

    def ready(self) -> Readiness:
        """Readiness now."""
        return readiness(self._journal_ok, self._amqp, self._lanes, stopping=self.stopping)

    def _journal_ok(self) -> bool:
        return self._clock.monotonic_s() - self._wrote_s < STALE_S

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        self._meters.reactor_delay.set(max(now_s - self._expected_s, 0.0))
        self._expected_s = now_s + TICK_S
        self._timer = self._clock.later(TICK_S, self._tick)
        # An empty unit goes the whole way of a payment's: writer thread, transaction, commit.
        self._store.write(lambda tx: None).addCallbacks(self._wrote, self._not_written)
        if self._ticks % COUNT_EVERY == 0:
            self._store.read(_count).addCallbacks(self._counted, self._not_written)
        self._ticks += 1
        if not self._announced and self._amqp.up:
            self._announced = True
            self._notify.ready("consuming commands")

    def _wrote(self, _result: None) -> None:
        self._wrote_s = self._clock.monotonic_s()
        if not self.stopping:
            self._notify.alive()

    def _not_written(self, failure: Failure) -> None:
        if not self.stopping:
            _log.error("watch.journal_failed", error=str(failure.value))

    def _counted(self, counts: _Counts) -> None:
        meters = self._meters
        for bank, (number, oldest_ms) in counts.doubt.items():
            meters.in_doubt.labels(bank).set(number)
            meters.in_doubt_oldest.labels(bank).set((oldest_ms or 0) / 1000)
        for bank in {lane.parts.bank_name for lane in self._lanes.values()} - set(counts.doubt):
            meters.in_doubt.labels(bank).set(0)
            meters.in_doubt_oldest.labels(bank).set(0)
        meters.held.set(counts.held)
        meters.outbox_depth.set(counts.mail.waiting)
        meters.outbox_oldest.set((counts.mail.oldest_ms or 0) / 1000)
        meters.parked.set(counts.mail.parked)
        for lane in self._lanes:
            for work in Work:
                meters.lane_work.labels(lane, work.value).set(counts.work.get((lane, work.value), 0))
        self._notify.status(f"{counts.mail.waiting} messages waiting, {sum(n for n, _ in counts.doubt.values())} in doubt")


class _Counts:
    """What the journal holds now, by one reader."""

    def __init__(self, conn: Connection) -> None:
        p, w = schema.payments.c, schema.work.c
        doubt = (State.IN_DOUBT.value, State.ESCALATED.value)
        self.doubt = {
            bank: (number, oldest_ms)
            for bank, number, oldest_ms in conn.execute(
                select(p.bank, func.count(), func.min(p.first_write_ms)).where(p.state.in_(doubt)).group_by(p.bank)
            )
        }
        self.held = conn.execute(select(func.count()).where(p.state == State.HELD.value)).scalar_one()
        self.work = {
            (lane, kind): number
            for lane, kind, number in conn.execute(select(w.lane, w.kind, func.count()).group_by(w.lane, w.kind))
        }
        self.mail = outbox.depth(conn)


def _count(conn: Connection) -> _Counts:
    return _Counts(conn)


def notify_from_environment() -> Notify:
    """The service manager of this process."""
    return Notify(os.environ)
