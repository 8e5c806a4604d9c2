"""What is wrong now, each trouble with its cause, its remedy and a page, in the same words in status, log and metric.

`TroubleWatch.look` is called every second: a trouble that is new, or over, is a line of the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import log
from gateway.bank.fault_reasons import remedy as remedy_of
from gateway.bank.lane import Lane
from gateway.bank.push_listener import NotListening
from gateway.clock import Clock
from gateway.journal.cluster.lane_pauses import FROM_THE_PAST
from gateway.meters import TROUBLES, Meters
from gateway.watch.condition_metrics import Capacity
from gateway.watch.health import Readiness

RUNBOOKS = {
    "stopped": "BankgwStopped", "safe_mode": "BankgwDatabaseFromThePast", "journal": "BankgwJournalDown",
    "broker": "BankgwBrokerDown", "broker_blocked": "BankgwBrokerBlocked", "heartbeat": "BankgwHeartbeatLate",
    "lane": "BankgwLaneDown", "clock": "BankgwAlarmClockSet", "disk": "BankgwDiskNearlyFull",
    "permit_log": "BankgwPermitLogLarge", "certificate": "BankgwCertificateEndsSoon",
    "retention": "BankgwRetentionBehind", "pushes": "BankgwPushesNotHeard", "start_failed": "BankgwStartFailed",
}  # fmt: skip
"""The page of each kind."""
DISK_SHARE = 0.10
PERMIT_LOG_BYTES = 1024**3
HEARTBEAT_S = 180.0
CERTIFICATE_DAYS = 30
CRL_DAYS = 2
_DAY_S = 86_400
_CLOCK = {
    "clock_set": ("this machine's clock was set by more than a minute while the daemon ran",
                  "set the clock right and restart the daemon; until then nothing is sent a second time"),
    "clock_differs": ("this machine's clock is {} s off the bank's",
                      "set this machine's clock right; until then nothing is sent a second time"),
}  # fmt: skip
_log = log.get("watch.troubles")


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. `kind` is one of `meters.TROUBLES`; `subject` names the lane, bank or part."""

    kind: str
    subject: str
    cause: str
    remedy: str

    def words(self, since: str) -> dict[str, str]:
        """As status and the pages say it."""
        return {"trouble": self.kind, "subject": self.subject, "cause": self.cause, "remedy": self.remedy,
                "since": since, "runbook": RUNBOOKS[self.kind]}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Observed:
    """What a look has to go by. `journal` and `broker` are what these last said; `heartbeat_s` is the age of the last
    message that came back through the broker, `overdue` how many rows are past their retention, `not_listening` why a
    bank that calls us cannot."""

    ready: Readiness
    lanes: Mapping[str, Lane]
    journal: str
    broker: str
    heartbeat_s: float | None
    certificates: Mapping[tuple[str, str], float]
    capacity: Capacity | None
    overdue: int
    now_s: float
    not_listening: Mapping[str, NotListening] = field(default_factory=dict)


def found(seen: Observed) -> Iterator[Trouble]:
    """Everything that is wrong."""
    by_code = dict(zip(seen.ready.codes, seen.ready.reasons, strict=True))
    if "stopped" in by_code:
        yield Trouble("stopped", "all lanes", by_code["stopped"], "when the reason is over: bankgw restart-all, by two "
                      "persons")  # fmt: skip
    if "journal" in by_code:
        yield Trouble("journal", "database", f"the database of the journal cannot be written: "
                      f"{seen.journal or 'no answer'}", _journal_remedy(seen.journal))  # fmt: skip
    yield from _broker(seen, by_code)
    for name, lane in seen.lanes.items():
        yield from _lane(name, lane, seen.ready.lanes[name])
    yield from _clock(seen)
    yield from _disk(seen.capacity)
    for (bank, role), at_s in seen.certificates.items():
        left = (at_s - seen.now_s) / _DAY_S
        if left < (CRL_DAYS if role == "crl" else CERTIFICATE_DAYS):
            cause = f"over since {-left:.0f} days" if left <= 0 else f"ends in {int(left)} days"
            remedy = "bankgw certificates list; then docs/do/certificates.md"
            yield Trouble("certificate", f"{bank} {role}", cause, remedy)
    for bank, why in seen.not_listening.items():
        yield Trouble("pushes", bank, why.cause, why.remedy)
    if seen.overdue:
        yield Trouble("retention", "journal", f"{seen.overdue} rows are past their retention and still there",
                      "the log says why (retention.failed)")  # fmt: skip


def _journal_remedy(said: str) -> str:
    if "full" in said.lower() or "no space" in said.lower():
        return "the disk is full: make room on it; the gateway goes on by itself"
    if "authentication" in said.lower() or "access denied" in said.lower():
        return "the database refuses the user or password: check journal.url and journal.password"
    return "start the database, or mend the way to it; the gateway goes on by itself, and ends after ten minutes"


def _broker(seen: Observed, by_code: Mapping[str, str]) -> Iterator[Trouble]:
    if "broker" in by_code and "draining" not in by_code and "stopping" not in by_code:
        yield Trouble("broker", "RabbitMQ", seen.broker or "not connected yet", _broker_remedy(seen.broker))
    elif "broker_blocked" in by_code:
        yield Trouble("broker_blocked", "RabbitMQ", by_code["broker_blocked"], "free memory or disk on the broker's "
                      "machine; what was accepted waits in the journal")  # fmt: skip
    elif seen.heartbeat_s is not None and seen.heartbeat_s > HEARTBEAT_S:
        yield Trouble("heartbeat", "RabbitMQ", f"the last heartbeat message came back {seen.heartbeat_s:.0f} s ago",
                      "look at the broker: it is connected and delivers nothing")  # fmt: skip


def _broker_remedy(said: str) -> str:
    if "ACCESS_REFUSED" in said or "403" in said:
        return "the broker refuses the user or its password: check broker.user and broker.password, then rabbitmqctl"
    return "start RabbitMQ, or mend the way to it: check broker.host and broker.port; orders wait in the broker"


def _lane(name: str, lane: Lane, word: str) -> Iterator[Trouble]:
    state, _, reason = word.partition(":")
    pool = lane.session_pool
    if FROM_THE_PAST in lane.paused:
        yield Trouble("safe_mode", name, "SAFE MODE: the database is older than what this node has sent; nothing is "
                      "sent", "put the newest database back, or ask the bank about each send (bankgw lanes forgotten); "
                      "then bankgw leave-safe-mode, by two persons")  # fmt: skip
    if state == "halted":
        yield Trouble("lane", name, f"halted: {reason}", "mend the cause that the log names, then restart the daemon")
    elif state == "down":
        cause = pool.trouble_text or reason or "no session yet"
        remedy = remedy_of(pool.trouble) or "look at bankgw lanes probe"
        if pool.quiet_s > 0:
            remedy = "the bank refused the sign-on: check the login's password, then restart the daemon"
        yield Trouble("lane", name, cause, remedy)


def _clock(seen: Observed) -> Iterator[Trouble]:
    for name, lane in seen.lanes.items():
        doubt = lane.clock_trust.doubt
        if doubt is not None and not lane.standing_by:
            cause, remedy = _CLOCK[doubt]
            yield Trouble("clock", name, cause.format(round((lane.clock_trust.ahead_ms or 0) / 1000)), remedy)


def _disk(seen: Capacity | None) -> Iterator[Trouble]:
    if seen is None:
        return
    if seen.free < seen.size * DISK_SHARE:
        yield Trouble("disk", "state_dir", f"{seen.free / 2**20:.0f} MiB are free on the disk of state_dir, of "
                      f"{seen.size / 2**20:.0f}", "make room: without it nothing is taken in or sent")  # fmt: skip
    if seen.permit_log > PERMIT_LOG_BYTES:
        yield Trouble("permit_log", "permits", f"the permit log takes {seen.permit_log / 2**20:.0f} MiB",
                      "see whether old segments stay; never delete one by hand")  # fmt: skip
    failure = seen.start_failure
    if failure is not None:
        yield Trouble("start_failed", "second daemon", f"process {failure.pid} could not start at {failure.at}: "
                      f"{failure.cause}", failure.remedy)  # fmt: skip


class TroubleWatch:
    """Remembers since when, tells the log of changes, and keeps the gauge."""

    def __init__(self, meters: Meters, clock: Clock, instant: Callable[[int], str]) -> None:
        self._meters = meters
        self._clock = clock
        self._instant = instant
        self._now: dict[tuple[str, str], tuple[Trouble, int]] = {}

    def look(self, troubles: Sequence[Trouble]) -> None:
        """These are what there is now."""
        there = {(one.kind, one.subject): one for one in troubles}
        for key, one in there.items():
            known = self._now.get(key)
            if known is None or (known[0].cause != one.cause and one.kind in ("broker", "journal", "lane")):
                _log.error("trouble.began", trouble=one.kind, subject=one.subject, error=one.cause, action=one.remedy)
            self._now[key] = (one, self._clock.now_ms() if known is None else known[1])
        for key in [key for key in self._now if key not in there]:
            over, since_ms = self._now.pop(key)
            lasted_s = round((self._clock.now_ms() - since_ms) / 1000)
            _log.info("trouble.over", trouble=over.kind, subject=over.subject, lasted_s=lasted_s)
        kinds = [kind for kind, _subject in there]
        for kind in TROUBLES:
            self._meters.troubles.labels(kind).set(kinds.count(kind))

    def words(self) -> list[dict[str, Any]]:
        """As status and the pages say them, the longest lasting first within the order of the kinds."""
        rows = sorted(self._now.values(), key=lambda row: (TROUBLES.index(row[0].kind), row[1], row[0].subject))
        return [one.words(self._instant(since_ms)) for one, since_ms in rows]
