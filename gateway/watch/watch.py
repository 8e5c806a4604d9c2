"""Updates the gauges every second, feeds the service manager's watchdog, and serves the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway import log
from gateway.bank.lane import Lane
from gateway.bank.push_listener import NotListening
from gateway.clock import Clock
from gateway.core.states import Work
from gateway.erp.amqp_types import Amqp
from gateway.journal.cluster.stops import Stop
from gateway.journal.cluster.unknown_to_settings import KnownToSettings, Unknown, look
from gateway.journal.commit.store import Store
from gateway.journal.sql import schema
from gateway.journal.sql.executor import Executor
from gateway.journal.sql.vaults import vault_of
from gateway.meters import UNKNOWN, Meters
from gateway.watch.certificate_alarms import CertificateAlarms
from gateway.watch.condition_metrics import ConditionMetrics
from gateway.watch.counts import Counts, count
from gateway.watch.health import Readiness, readiness, stop_words
from gateway.watch.notify import Notify
from gateway.watch.pages import site
from gateway.watch.troubles import Observed, TroubleWatch, found
from protocols.erp.news import instant

TICK_S = 1.0
COUNT_EVERY = 5
DISK_EVERY = 2
UNKNOWN_EVERY = 60
STALE_S = 15.0
LOST_TICKS = 3
"""Ticks without a commit, after which the journal counts as unreachable: told within 5 s of its loss."""
TRYING_S = 20.0
"""A writer that began to try again within this time is alive, and the database is what is missing."""
TOLD_AGAIN_S = 3_600.0
_log = log.get("watch")


def _never() -> None:
    return None


def _no_certificates() -> Mapping[tuple[str, str], float]:
    return {}


def _no() -> bool:
    return False


def _not_tried() -> float:
    return float("-inf")


def _no_trouble() -> str:
    return ""


def _none() -> int:
    return 0


def _all_listening() -> Mapping[str, NotListening]:
    return {}


@dataclass(frozen=True, slots=True)
class Sights:
    """What is looked at. `canary_age_s` tells the age of the last heartbeat through the broker, `certificates` the end
    of validity (seconds since 1970) by bank and role, `tried_s` when the journal's writer last tried to reach its
    database again (by the monotonic clock), `trouble` what the database last said, `stop` the last word about an
    emergency stop. `known` is what the settings know, None where nobody wants to hear of what they do not.
    `state_dir` is the folder whose disk is looked at. `broker_trouble` is what the broker last said, `overdue` how many
    rows are past their retention, `not_listening` which banks cannot call us, and why."""

    store: Store
    amqp: Amqp
    lanes: Mapping[str, Lane]
    meters: Meters
    draining: Callable[[], bool] = _no
    canary_age_s: Callable[[], float | None] = field(default=_never)
    certificates: Callable[[], Mapping[tuple[str, str], float]] = _no_certificates
    tried_s: Callable[[], float] = _not_tried
    trouble: Callable[[], str] = _no_trouble
    stop: Callable[[], Stop] = Stop
    known: Callable[[], KnownToSettings | None] = field(default=_never)
    state_dir: Path | None = None
    broker_trouble: Callable[[], str] = _no_trouble
    overdue: Callable[[], int] = _none
    not_listening: Callable[[], Mapping[str, NotListening]] = _all_listening


def _alive(conn: Connection) -> None:
    conn.execute(select(schema.meta.c.name).limit(1))


class Watch:
    """See the module. `start` listens, `leaving` says that the end has begun, `stop` closes.

    The watchdog is fed when a unit has just gone through the journal, from the turn of the reactor that saw it: a stuck
    disk, a stuck writer and a stuck reactor all starve it. While the database is away it is fed as long as the writer
    tries again and again, and says so: the writer gives up by itself, and ends the process.
    """

    def __init__(self, reactor: Any, sights: Sights, clock: Clock, notify: Notify, rendering: Executor) -> None:
        self._reactor = reactor
        self._sights = sights
        self.conditions = ConditionMetrics(sights.meters, sights.lanes, clock)
        self._alarms = CertificateAlarms(sights.meters, sights.state_dir)
        self._troubles = TroubleWatch(sights.meters, clock, instant)
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
        self._writing = False
        self._silent_ticks = 0
        self._unknown: frozenset[tuple[str, str]] = frozenset()
        self._unknown_told_s = float("-inf")
        self._not_written_text = ""
        self._approvals_late = 0
        self.lost_ms: int | None = None
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

    def capacity_words(self) -> dict[str, int | None]:
        """The disk, the permit log and retention, as the control API says them."""
        seen = self.conditions.capacity
        disk = (None, None, None) if seen is None else (seen.free, seen.size, seen.permit_log)
        return {"disk_free_bytes": disk[0], "disk_size_bytes": disk[1], "permit_log_bytes": disk[2],
                "retention_overdue": self._sights.overdue()}  # fmt: skip

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
        now = readiness(
            self.journal_ok, sights.amqp, sights.lanes, stopping=self.stopping, draining=sights.draining(),
            stopped=stop_words(sights.stop()),
        )  # fmt: skip
        return replace(now, troubles=self._troubles.words())

    def journal_ok(self) -> bool:
        """Whether a unit reached the disk lately."""
        return self.lost_ms is None and self._clock.monotonic_s() - self._wrote_s < STALE_S

    def _tick(self) -> None:
        now_s = self._clock.monotonic_s()
        meters, sights = self._sights.meters, self._sights
        meters.reactor_delay.set(max(now_s - self._expected_s, 0.0))
        self._expected_s = now_s + TICK_S
        self._timer = self._clock.later(TICK_S, self._tick)
        self._look_at_journal(now_s)
        meters.stopped.set(int(sights.stop().stopped))
        if self._ticks % COUNT_EVERY == 0:
            if not self._silent_ticks:
                now_ms = self._clock.now_ms()
                sights.store.read(lambda conn: count(conn, now_ms)).addCallbacks(self._counted, self._not_written)
            certificates = sights.certificates()
            for (bank, role), not_after_s in certificates.items():
                meters.certificate.labels(bank, role).set(not_after_s)
            self._alarms.look(certificates, self._clock.now_ms() / 1000)
        if self._ticks % DISK_EVERY == 0 and (folder := sights.state_dir) is not None:
            self.conditions.look(self._rendering, folder)
        known = sights.known() if self._ticks % UNKNOWN_EVERY == 0 and not self._silent_ticks else None
        if known is not None:
            sights.store.read(lambda conn: look(conn, known, vault_of(conn))).addCallbacks(
                self._found_unknown, self._not_written
            )
        self._ticks += 1
        age_s = sights.canary_age_s()
        if age_s is not None:
            meters.canary.set(self._clock.now_ms() / 1000 - age_s)
        self._look_for_troubles()
        self.conditions.show(self.ready())
        for name, lane in sights.lanes.items():
            meters.lane_paused.labels(lane.parts.bank_name, name).set(int(bool(lane.paused)))
        if not self._announced and sights.amqp.up:
            self._announced = True
            self._notify.ready("consuming commands")

    def _look_for_troubles(self) -> None:
        if self.stopping:
            return
        sights = self._sights
        troubles = found(Observed(
            self.ready(), sights.lanes, sights.trouble() or self._not_written_text, sights.broker_trouble(),
            sights.canary_age_s(), sights.certificates(), self.conditions.capacity, sights.overdue(),
            self._clock.now_ms() / 1000, sights.not_listening(),
        ))  # fmt: skip
        # What has had no time yet to come up is no trouble.
        starting = self._ticks <= LOST_TICKS
        early = {"lane"} | ({"broker"} if not sights.broker_trouble() else set())
        early |= {"journal"} if self.lost_ms is None else set()
        self._troubles.look([one for one in troubles if not (starting and one.kind in early)])

    def _look_at_journal(self, now_s: float) -> None:
        if not self._writing:
            # An empty unit goes the whole way of a payment's: writer thread, transaction, commit.
            self._writing, self._silent_ticks = True, 0
            self._sights.store.write(lambda tx: None).addCallbacks(self._wrote, self._not_written)
            return
        # Ticks are counted, not seconds: a process that stood still has not lost its database.
        self._silent_ticks += 1
        if self._silent_ticks == 1:
            # What a reader hears is the reason that is told.
            self._sights.store.read(_alive).addErrback(lambda _failure: None)
        if self._silent_ticks == LOST_TICKS and not self.stopping:
            self._lost(now_s)
        if now_s - self._sights.tried_s() < TRYING_S:
            self._notify.alive()

    def _lost(self, now_s: float) -> None:
        meters = self._sights.meters
        silent_s = now_s - max(self._wrote_s, now_s - LOST_TICKS * TICK_S - TICK_S)
        self.lost_ms = self._clock.now_ms() - round(silent_s * 1000)
        meters.journal_up.set(0)
        meters.journal_failures.labels("unreachable").inc()
        self._notify.status("the journal's database cannot be reached; nothing is taken in or sent")
        _log.error("journal.unreachable", silent_s=round(silent_s, 1), error=self._sights.trouble() or "no answer",
                   action="nothing is taken in or sent; tried for ten minutes, then the process ends")  # fmt: skip

    def _wrote(self, _result: None) -> None:
        self._writing = False
        self._sights.meters.journal_up.set(1)
        if self.lost_ms is not None:
            away_s = (self._clock.now_ms() - self.lost_ms) / 1000
            self.lost_ms = None
            _log.warning("journal.back", away_s=round(away_s, 1))
        self._wrote_s, self._not_written_text = self._clock.monotonic_s(), ""
        self._sights.meters.journal_written.set(self._clock.now_ms() / 1000)
        self._notify.alive()

    def _found_unknown(self, found: list[Unknown]) -> None:
        now_s, meters = self._clock.monotonic_s(), self._sights.meters
        for what in UNKNOWN:
            meters.unknown.labels(what).set(sum(one.payments for one in found if one.what == what))
        names = frozenset((one.what, one.name) for one in found)
        if names and (names != self._unknown or now_s - self._unknown_told_s >= TOLD_AGAIN_S):
            self._unknown_told_s = now_s
            meters.alarms.labels("unknown_to_settings").inc()
            for one in found:
                _log.error("settings.unknown", what=one.what, name=one.name, payments=one.payments, action=one.remedy)
        self._unknown = names

    def _not_written(self, failure: Failure) -> None:
        self._writing = False
        self._not_written_text = str(failure.value)
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
        self.conditions.money(counts.money)
        meters.outbox_depth.set(counts.waiting)
        meters.outbox_oldest.set((counts.waiting_oldest_ms or 0) / 1000)
        meters.parked.set(counts.parked)
        meters.approvals_late.set(counts.approvals_late)
        if counts.approvals_late > self._approvals_late:
            _log.warning("approvals.late", requests=counts.approvals_late,
                         action="bankgw approvals list; tell those who may approve")  # fmt: skip
        self._approvals_late = counts.approvals_late
        for name, lane in self._sights.lanes.items():
            for work in Work:
                waiting = counts.work.get((name, work.value), 0)
                meters.lane_work.labels(lane.parts.bank_name, name, work.value).set(waiting)
        doubt = sum(number for number, _oldest in counts.in_doubt.values())
        self._notify.status(f"{counts.waiting} messages waiting, {doubt} payments in doubt")
