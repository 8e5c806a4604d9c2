"""Updates the gauges every second, feeds the service manager's watchdog, and serves the pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from gateway.bank.credential_expiry import CredentialEnds
from gateway.bank.lane import Lane
from gateway.bank.push_listener import NotListening
from gateway.erp.amqp_types import Amqp
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.cluster.unknown_to_settings import KnownToSettings, Unknown, find_unknown
from gateway.kernel.commit.store import Store
from gateway.kernel.core.states import Work
from gateway.kernel.meters import UNKNOWN, Meters
from gateway.kernel.sql import schema
from gateway.kernel.sql.executor import Executor
from gateway.kernel.sql.progress import WriterState
from gateway.kernel.sql.vaults import vault_of
from gateway.watch.backups import BackupLimits, BackupWatch
from gateway.watch.certificate_alarms import CertificateAlarms
from gateway.watch.condition_metrics import ConditionMetrics
from gateway.watch.counts import JournalCounts, count
from gateway.watch.health import Readiness, readiness, stop_words
from gateway.watch.notify import Notify
from gateway.watch.pages import site
from gateway.watch.queue_growth import QueueGrowth
from gateway.watch.troubles import ObservedState, TroubleWatch, found
from protocols.erp.news import instant

TICK_S = 1.0
COUNT_EVERY = 5
DISK_EVERY = 2
UNKNOWN_EVERY = 60
BACKUPS_EVERY = 3
STALE_S = 15.0
LOST_TICKS = 3
"""Ticks without a commit or another statement of the running transaction after which the journal counts as unreachable.

A loss is told within 5 s.
"""
BUSY_MOST_S = 60.0
"""The time after which a running transaction counts as silence, because it holds up all others."""
TRYING_S = 20.0
"""The time within which a writer that began to try again counts as alive, so that the database is missing, not the
writer.
"""
TOLD_AGAIN_S = 3_600.0
_log = log.get("watch")


def _never() -> None:
    return None


def _no_certificates() -> Mapping[tuple[str, str], float]:
    return {}


def _no() -> bool:
    return False


def _no_trouble() -> str:
    return ""


def _nobody(_waits: str) -> None:
    return None


def _none() -> int:
    return 0


def _all_listening() -> Mapping[str, NotListening]:
    return {}


@dataclass(frozen=True, slots=True)
class WatchedParts:
    """The inputs of Watch. `canary_age_s` is the age of the last heartbeat through the broker, `certificates` the end
    of validity (seconds since 1970) by bank and role.

    `writer` is the state of the journal's writer, `stop` the last entry about an emergency stop. `known` are the names
    in the settings, None if unknown names are not reported. `state_dir` is the folder whose disk is measured.
    `broker_trouble` is the broker's last message, `overdue` the number of rows past their retention. `not_listening`
    says which banks cannot call us, and why; `not_held` why this journal does not hold the virtual host. `not_sealed`
    is the text about a journal that waits for its first seals only, `newcomer` that about a node that only lacks the
    other nodes' permit logs. `refusals` are the operations that the broker refuses, with its texts. `backups` says
    which backups are watched, None for none. `credentials` is when passwords and UKeys end. `queues` are the messages
    that wait in the broker's queues. `lock_holder` finds out, blocking, who holds a lock for which the journal waits.
    `no_room` is the reason why commands wait for the disk, and `on_room` gets it after each check of the disk.
    """

    store: Store
    amqp: Amqp
    lanes: Mapping[str, Lane]
    meters: Meters
    draining: Callable[[], bool] = _no
    canary_age_s: Callable[[], float | None] = field(default=_never)
    certificates: Callable[[], Mapping[tuple[str, str], float]] = _no_certificates
    writer: Callable[[], WriterState] = WriterState
    stop: Callable[[], Stop] = Stop
    known: Callable[[], KnownToSettings | None] = field(default=_never)
    state_dir: Path | None = None
    broker_trouble: Callable[[], str] = _no_trouble
    overdue: Callable[[], int] = _none
    not_listening: Callable[[], Mapping[str, NotListening]] = _all_listening
    not_held: Callable[[], str] = _no_trouble
    not_sealed: Callable[[], str] = _no_trouble
    newcomer: Callable[[], str] = _no_trouble
    refusals: Callable[[], Mapping[str, str]] = dict
    backups: BackupLimits | None = None
    credentials: Callable[[], CredentialEnds] = dict
    queues: Callable[[], Mapping[str, int]] = dict
    lock_holder: Callable[[], str] = _no_trouble
    no_room: Callable[[], str] = _no_trouble
    on_room: Callable[[str], None] = _nobody


def _alive(conn: Connection) -> None:
    conn.execute(select(schema.meta.c.name).limit(1))


class Watch:
    """Updates gauges, feeds the watchdog and serves the pages. `start` begins to listen, `leaving` marks the daemon as
    stopping, `stop` ends both.

    The watchdog is fed when a unit has just been committed, from the reactor turn that saw it. So it is not fed if the
    disk, the writer or the reactor is stuck. It is also fed while one long transaction, as of a batch of 1,000 orders,
    advances statement by statement, because the journal is then busy and not lost. While the database is away it is fed
    as long as the writer tries again and again and reports it; the writer gives up by itself, and ends the process.
    """

    def __init__(self, reactor: Any, sights: WatchedParts, clock: Clock, notify: Notify, rendering: Executor) -> None:
        self._reactor = reactor
        self._sights = sights
        self.conditions = ConditionMetrics(sights.meters, sights.lanes, clock, sights.on_room)
        self._alarms = CertificateAlarms(sights.meters, sights.state_dir)
        self._backups = BackupWatch(sights.meters, clock, sights.backups)
        self._troubles = TroubleWatch(sights.meters, clock, instant)
        self._growth = QueueGrowth()
        self._holder, self._asking_holder = "", False
        self._clock = clock
        self._notify = notify
        self._rendering = rendering
        self._listening: Any = None
        self._timer: IDelayedCall | None = None
        self._ticks = 0
        self._expected_s = 0.0
        self._wrote_s = self._busy_since_s = self._went_on_s = float("-inf")
        self._progress = (0, 0)
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
        """Note that the daemon begins to stop: from now on it is not ready, but alive."""
        self.stopping = True
        self._notify.stopping()

    def capacity_words(self) -> dict[str, int | None]:
        """The disk, the permit log and retention in the form of the control API."""
        seen = self.conditions.capacity
        disk = (None, None, None) if seen is None else (seen.free, seen.size, seen.permit_log)
        return {
            "disk_free_bytes": disk[0],
            "disk_size_bytes": disk[1],
            "permit_log_bytes": disk[2],
            "retention_overdue": self._sights.overdue(),
        }

    async def stop(self) -> None:
        """Stop listening and ticking."""
        self.stopping = self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._listening is not None:
            await self._listening.stopListening()
        await self._rendering.stop()

    def ready(self) -> Readiness:
        """The present readiness."""
        sights = self._sights
        now = readiness(
            self.journal_ok,
            sights.amqp,
            sights.lanes,
            stopping=self.stopping,
            draining=sights.draining(),
            stopped=stop_words(sights.stop()),
            not_held=sights.not_held(),
            refusals=sights.refusals(),
            no_room=sights.no_room(),
        )
        return replace(now, troubles=self._troubles.as_json())

    def journal_ok(self) -> bool:
        """Whether a unit was committed, or made progress, recently."""
        now_s = self._clock.monotonic_s()
        return self.lost_ms is None and now_s - max(self._wrote_s, self._went_on_s) < STALE_S

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
            for (login, credential), end_s in sights.credentials().items():
                meters.credential.labels(login.partition(".")[0], login, credential).set(end_s)
            self._alarms.tell_ending(sights.certificates(), self._clock.now_ms() / 1000)
        for (bank, role), not_after_s in sights.certificates().items():
            meters.certificate.labels(bank, role).set(not_after_s)
        if self._ticks % DISK_EVERY == 0 and (folder := sights.state_dir) is not None:
            self.conditions.measure_disk(self._rendering, folder)
        if self._ticks % BACKUPS_EVERY == 0:
            self._backups.see_backups(self._rendering, None if self._silent_ticks else sights.store)
        known = sights.known() if self._ticks % UNKNOWN_EVERY == 0 and not self._silent_ticks else None
        if known is not None:
            sights.store.read(lambda conn: find_unknown(conn, known, vault_of(conn))).addCallbacks(
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
        troubles = found(
            ObservedState(
                self.ready(),
                sights.lanes,
                sights.writer().trouble or self._not_written_text,
                sights.broker_trouble(),
                sights.canary_age_s(),
                sights.certificates(),
                self.conditions.capacity,
                sights.overdue(),
                self._clock.now_ms() / 1000,
                sights.not_listening(),
                sights.not_sealed(),
                sights.newcomer(),
                sights.stop().altered,
                sights.refusals(),
                self._backups.seen,
                sights.credentials(),
                self._holder,
                self._growing(),
            )
        )
        # A part that has had no time yet to start is no trouble.
        starting = self._ticks <= LOST_TICKS
        early = {"lane", "mark"} | ({"broker"} if not sights.broker_trouble() else set())
        early |= {"journal"} if self.lost_ms is None else set()
        early |= {"disk"} if self.conditions.capacity is None else set()
        self._troubles.update([one for one in troubles if not (starting and one.kind in early)])

    def _growing(self) -> Mapping[str, int]:
        depths = self._sights.queues()
        for queue, depth in depths.items():
            self._sights.meters.queue_depth.labels(queue).set(depth)
        return self._growth.growing(depths)

    def _ask_for_holder(self) -> None:
        """Find out in a thread who holds a lock for which the journal waits."""
        if self._asking_holder:
            return
        self._asking_holder = True
        self._rendering.run(self._sights.lock_holder, self._found_holder)

    def _found_holder(self, found: str | Failure) -> None:
        self._asking_holder = False
        if isinstance(found, Failure):
            _log.warning("journal.holder_unknown", error=found.getErrorMessage(), action="the cause lacks the holder")
        elif self._silent_ticks:
            self._holder = found

    def _look_at_journal(self, now_s: float) -> None:
        if not self._writing:
            # An empty unit takes the same way as a payment's: writer thread, transaction, commit.
            self._writing, self._silent_ticks, self._holder = True, 0, ""
            self._sights.store.write(lambda tx: None).addCallbacks(self._wrote, self._not_written)
            return
        if self._goes_on(now_s):
            self._silent_ticks = 0
            self._notify.alive()
            return
        # Ticks are counted, not seconds: a process that stood still has not lost its database.
        self._silent_ticks += 1
        if self._silent_ticks == 1:
            # The error of the reading connection is reported as the reason.
            self._sights.store.read(_alive).addErrback(lambda _failure: None)
        if self._silent_ticks >= LOST_TICKS - 1:
            self._ask_for_holder()
        if self._silent_ticks == LOST_TICKS and not self.stopping:
            self._lost(now_s)
        if now_s - self._sights.writer().tried_s < TRYING_S:
            self._notify.alive()

    def _goes_on(self, now_s: float) -> bool:
        """Whether the last tick's transaction has begun another statement since then, and is not older than allowed."""
        before, self._progress = self._progress, self._sights.writer().reached
        if self._progress[0] != before[0]:
            self._busy_since_s = now_s
            return False
        if self._progress[1] == before[1] or now_s - self._busy_since_s > BUSY_MOST_S or self.lost_ms is not None:
            return False
        self._went_on_s = now_s
        return True

    def _lost(self, now_s: float) -> None:
        meters = self._sights.meters
        silent_s = now_s - max(self._wrote_s, now_s - LOST_TICKS * TICK_S - TICK_S)
        self.lost_ms = self._clock.now_ms() - round(silent_s * 1000)
        meters.journal_up.set(0)
        meters.journal_failures.labels("unreachable").inc()
        self._notify.status("the journal's database cannot be reached; nothing is taken in or sent")
        _log.error(
            "journal.unreachable",
            silent_s=round(silent_s, 1),
            error=self._sights.writer().trouble or (self._holder and f"locked by {self._holder}") or "no answer",
            action=(
                "nothing is taken in or sent; the daemon tries for ten minutes, then its process ends; check the "
                "database"
            ),
        )

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
            _log.error(
                "watch.journal_failed",
                error=str(failure.value),
                action=(
                    "systemd's watchdog is not notified until the journal writes again, and systemd restarts the "
                    "daemon if that takes long"
                ),
            )

    def _counted(self, counts: JournalCounts) -> None:
        if self._stopped:
            return
        meters = self._sights.meters
        for bank in {lane.parts.bank_name for lane in self._sights.lanes.values()} | counts.in_doubt.keys():
            number, oldest_ms = counts.in_doubt.get(bank, (0, None))
            meters.in_doubt.labels(bank).set(number)
            meters.in_doubt_oldest.labels(bank).set((oldest_ms or 0) / 1000)
            meters.held.labels(bank).set(counts.held.get(bank, 0))
        self.conditions.money(counts.money)
        self.conditions.by_company(counts.companies)
        meters.outbox_depth.set(counts.waiting)
        meters.outbox_oldest.set((counts.waiting_oldest_ms or 0) / 1000)
        meters.parked.set(counts.parked)
        meters.approvals_late.set(counts.approvals_late)
        if counts.approvals_late > self._approvals_late:
            _log.warning(
                "approvals.late",
                requests=counts.approvals_late,
                action=(
                    "payments wait for approval too long: see bankgw approvals list, and tell those who may approve"
                ),
            )
        self._approvals_late = counts.approvals_late
        for name, lane in self._sights.lanes.items():
            for work in Work:
                waiting = counts.work.get((name, work.value), 0)
                meters.lane_work.labels(lane.parts.bank_name, name, work.value).set(waiting)
        doubt = sum(number for number, _oldest in counts.in_doubt.values())
        self._notify.status(f"{counts.waiting} messages wait for the broker, {doubt} payments in doubt")
