"""The present troubles, each with its cause, its remedy and a page, in the same words in status, log and metric.

`TroubleWatch.look` is called every second. A trouble that begins or ends is logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.bank.credential_expiry import CredentialEnds
from gateway.bank.fault_reasons import remedy as remedy_of
from gateway.bank.lane import Lane
from gateway.bank.overdue import overdue_exchanges
from gateway.bank.push_listener import NotListening
from gateway.kernel import log
from gateway.kernel.clock import Clock
from gateway.kernel.cluster.lane_pauses import FROM_THE_PAST
from gateway.kernel.meters import TROUBLES, Meters
from gateway.kernel.sql.lock_holder import lock_remedy
from gateway.kernel.sql.sealed import ROW_ALTERED
from gateway.watch.backups import SeenBackups
from gateway.watch.condition_metrics import Capacity
from gateway.watch.health import Readiness
from gateway.watch.machine_troubles import (
    backup_troubles,
    certificate_troubles,
    credential_troubles,
    drill_troubles,
    machine_troubles,
)
from gateway.watch.trouble import Trouble
from protocols.erp.news import instant

HEARTBEAT_S = 180.0
_CLOCK = {
    "clock_set": (
        "this machine's clock was set by more than a minute while the daemon ran",
        "set the clock right and restart the daemon; until then no payment is sent a second time",
    ),
    "clock_differs": (
        "this machine's clock is {} s off the bank's",
        "set this machine's clock right; until then no payment is sent a second time",
    ),
    "host_date": (
        "the bank's answers state a date {} days off this machine's, more than the settings allow",
        "compare the date with the bank's; a date that the bank confirms is allowed by host_date_days",
    ),
}
_ROWS = {
    "persons": ("the person cannot act", "two administrators remove the person, who enrols again"),
    "delegations": ("it lets nobody act", "one of its two persons ends it: bankgw delegations end"),
    "approval_policies": ("no payment leaves", "two persons put a policy in force: bankgw policy propose"),
    "stops": ("it counts as a stop", "two persons end it: bankgw restart-all"),
    "proposals": ("it cannot be approved", "have it proposed again"),
    "approval_requests": ("it takes no approval", "have it asked anew"),
    "approvals": ("the approval does not count", "the person approves again"),
    "password_factors": ("the password is not taken", "the person sets it up again"),
    "payees_registered": ("the payee counts as not registered", "look into the audit trail"),
}
"""The effect of an altered row, and its remedy, by table of the registers."""
_TOLD_AGAIN = ("broker", "broker_refuses", "journal", "lane", "key", "settings", "permit_log_unwritable")
"""The kinds that are logged again when their cause changes."""
_log = log.get("watch.troubles")


@dataclass(frozen=True, slots=True)
class ObservedState:
    """The observations from which problems are found. `journal` and `broker` are their last messages.

    `heartbeat_s` is the age of the last message that came back through the broker, `overdue` the number of rows past
    their retention. `not_listening` is the reason why a bank cannot connect to us, `not_sealed` is the text about a
    journal that waits for its first seals only, `newcomer` that about a node that only lacks the other nodes' permit
    logs, `altered` the rows of registers that were found altered, `refusals` the operations that the broker refuses,
    with its texts. `backups` is None where backups are not watched. `credentials` is when passwords and UKeys end.
    `lock_holder` says who holds a lock for which the journal waits, `queues` are the broker's queues that grow, with
    their messages.
    """

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
    not_sealed: str = ""
    newcomer: str = ""
    altered: Sequence[str] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    backups: SeenBackups | None = None
    credentials: CredentialEnds = field(default_factory=dict)
    lock_holder: str = ""
    queues: Mapping[str, int] = field(default_factory=dict)


def found(seen: ObservedState) -> Iterator[Trouble]:
    """All problems that the observations show."""
    by_code = dict(zip(seen.ready.codes, seen.ready.reasons, strict=True))
    if "stopped" in by_code:
        yield Trouble(
            "stopped", "all lanes", by_code["stopped"], "when the reason is over: bankgw restart-all, by two persons"
        )
    if "journal" in by_code:
        yield Trouble(
            "journal",
            "database",
            f"the database of the journal cannot be written: {_journal_cause(seen)}",
            lock_remedy(seen.lock_holder) if seen.lock_holder else _journal_remedy(seen.journal),
        )
    yield from _broker(seen, by_code)
    for name, lane in seen.lanes.items():
        if FROM_THE_PAST in lane.paused:
            yield Trouble("safe_mode", name, *_safe_mode(seen))
        yield from _lane(name, lane, seen.ready.lanes[name])
        yield from _hanging(name, lane, lambda waited_s: instant(round((seen.now_s - waited_s) * 1000)))
    for row in seen.altered:
        means, remedy = _ROWS.get(row.partition("/")[0], ("nothing is decided on it", "look into the audit trail"))
        yield Trouble("row_altered", row, f"the row differs from what the gateway wrote last: {means}", remedy)
    yield from _clock(seen)
    if seen.capacity is None and "disk" in by_code:
        remedy = "let the daemon's user read and write state_dir (ls -ld, df, mount); the gateway goes on by itself"
        yield Trouble("disk", "state_dir", by_code["disk"], remedy)
    yield from machine_troubles(seen.capacity)
    yield from certificate_troubles(seen.certificates, seen.now_s)
    yield from credential_troubles(seen.credentials, seen.now_s)
    for bank, why in seen.not_listening.items():
        yield Trouble("pushes", bank, why.cause, why.remedy)
    if seen.overdue:
        yield Trouble(
            "retention",
            "journal",
            f"{seen.overdue} rows are past their retention and still there",
            "the log says why (retention.failed)",
        )
    if seen.backups is not None:
        yield from backup_troubles(seen.backups, seen.now_s)
        yield from drill_troubles(seen.backups, seen.now_s)


def _journal_cause(seen: ObservedState) -> str:
    return f"it is locked by {seen.lock_holder}" if seen.lock_holder else seen.journal or "no answer"


def _journal_remedy(said: str) -> str:
    if any(words in said.lower() for words in ("is full", "disk full", "no space")):
        return "the disk is full: make room on it; the gateway goes on by itself"
    if "authentication" in said.lower() or "access denied" in said.lower():
        return "the database refuses the user or password: check journal.url and journal.password"
    return "start the database, or mend the way to it; the gateway goes on by itself, and ends after ten minutes"


def _broker(seen: ObservedState, by_code: Mapping[str, str]) -> Iterator[Trouble]:
    for subject, why in seen.refusals.items():
        yield Trouble("broker_refuses", subject, why, _refusal_remedy(subject, why))
    if "broker" in by_code and seen.refusals:
        return
    if "broker" in by_code and "draining" not in by_code and "stopping" not in by_code:
        yield Trouble("broker", "RabbitMQ", seen.broker or "not connected yet", _broker_remedy(seen.broker))
    elif "broker_blocked" in by_code:
        yield Trouble(
            "broker_blocked",
            "RabbitMQ",
            by_code["broker_blocked"],
            "free memory or disk on the broker's machine; what was accepted waits in the journal",
        )
    elif "mark" in by_code:
        yield Trouble(
            "mark",
            "virtual host",
            by_code["mark"],
            "look at the node or gateway that the cause names; payments go on to the banks, orders wait in the broker",
        )
    elif seen.heartbeat_s is not None and seen.heartbeat_s > HEARTBEAT_S:
        yield Trouble(
            "heartbeat",
            "RabbitMQ",
            f"the last heartbeat message came back {seen.heartbeat_s:.0f} s ago",
            "look at the broker: the gateway is connected, but its messages do not come back",
        )
    for queue, depth in seen.queues.items():
        yield Trouble(
            "broker_queue",
            queue,
            f"{depth} messages wait in {queue}, and their number does not fall",
            "mend what keeps the gateway from taking them (another trouble here, or a drain: bankgw drain --off); if "
            "nothing does, the ERP sends faster than the journal commits",
        )


def _refusal_remedy(subject: str, said: str) -> str:
    if subject == "topology" and " — " in said:
        return "do what stands behind each dash; the gateway waits, tries again, and goes on by itself"
    if "ACCESS_REFUSED" in said:
        return (
            "give the gateway's broker user its rights back (conf/rabbitmq/definitions.json lists them); what waits "
            "goes out by itself, in order"
        )
    return (
        'an exchange or queue is missing: the gateway declares it by itself where it may; with topology = "verify" '
        "import conf/rabbitmq/definitions.json"
    )


def _broker_remedy(said: str) -> str:
    if "ACCESS_REFUSED" in said:
        return "the broker refuses the user or its password: check broker.user and broker.password, then rabbitmqctl"
    return "start RabbitMQ, or mend the way to it: check broker.host and broker.port; orders wait in the broker"


def _hanging(name: str, lane: Lane, instant_at: Callable[[float], str]) -> Iterator[Trouble]:
    """Exchanges that the bank leaves without an answer: one line for a lane, about the oldest."""
    if lane.standing_by or lane.halted:
        return
    late = list(overdue_exchanges(lane.session_pool))
    if not late:
        return
    first = late[0]
    about = f"{first.purpose} of payment {first.payment}" if first.payment else first.purpose or "a connection"
    more = f"; {len(late) - 1} more exchanges wait too" if len(late) > 1 else ""
    yield Trouble(
        "bank_hangs",
        name,
        f"the bank has not answered since {instant_at(first.waited_s)}: {about} (overdue after {first.limit_s:.0f} s)"
        f"{more}",
        "ask the bank whether its front end hangs; the gateway gives the exchange up by itself, and asks about the "
        "payment; never send it again",
    )


def _safe_mode(seen: ObservedState) -> tuple[str, str]:
    """Why nothing is sent in SAFE MODE, and what ends it."""
    if seen.not_sealed:
        return (
            f"SAFE MODE: the journal is not sealed yet; nothing is sent. {seen.not_sealed}",
            "compare the numbers, and mend what `bankgw audit verify` names; then bankgw leave-safe-mode, by "
            "two persons",
        )
    if seen.newcomer:
        return (
            f"SAFE MODE: this node does not have the other nodes' permit logs; nothing is sent. {seen.newcomer}",
            "a node that runs lets it in within seconds; if none does, stop this node, copy the permit logs of the "
            "others into state_dir/permits-of-others, and start it",
        )
    return (
        "SAFE MODE: the database is older than what this node has sent; nothing is sent",
        "put the newest database back, or ask the bank about each send (bankgw lanes forgotten); "
        "then bankgw leave-safe-mode, by two persons",
    )


def _lane(name: str, lane: Lane, word: str) -> Iterator[Trouble]:
    state, _, reason = word.partition(":")
    pool = lane.session_pool
    for key, gone in lane.parts.keys_in_trouble().items():
        yield Trouble("key", f"{name} {key}", f"key gone: {gone.cause}", gone.remedy)
    if state == "halted":
        remedy = "mend the cause that the log names, then restart the daemon"
        if reason.startswith(ROW_ALTERED):
            remedy = "a row was changed past the gateway: see docs/do/runbooks/BankgwAlarmRowAltered.md"
        yield Trouble("lane", name, f"halted: {reason}", remedy)
    elif state == "down" and reason != "key_gone":
        cause = pool.trouble_text or reason or "no session yet"
        remedy = remedy_of(pool.trouble) or f"find the cause: bankgw lanes probe {name}"
        if pool.quiet_s > 0:
            remedy = "the bank refused the sign-on: check the login's password, then restart the daemon"
        yield Trouble("lane", name, cause, remedy)


def _clock(seen: ObservedState) -> Iterator[Trouble]:
    for name, lane in seen.lanes.items():
        doubt = lane.clock_trust.doubt
        if doubt is not None and not lane.standing_by:
            cause, remedy = _CLOCK[doubt]
            yield Trouble("clock", name, cause.format(round((lane.clock_trust.ahead_ms or 0) / 1000)), remedy)
        elif lane.host_date.is_refused and not lane.standing_by:
            cause, remedy = _CLOCK["host_date"]
            yield Trouble("clock", name, cause.format(f"{lane.host_date.stated_days or 0:+d}"), remedy)


class TroubleWatch:
    """Remembers since when each problem exists, logs changes, and keeps the gauge."""

    def __init__(self, meters: Meters, clock: Clock, instant: Callable[[int], str]) -> None:
        self._meters = meters
        self._clock = clock
        self._instant = instant
        self._now: dict[tuple[str, str], tuple[Trouble, int]] = {}

    def update(self, troubles: Sequence[Trouble]) -> None:
        """Replace the present problems by these."""
        there = {(one.kind, one.subject): one for one in troubles}
        for key, one in there.items():
            known = self._now.get(key)
            worse = known is not None and known[0].step != one.step
            if known is None or worse or (known[0].cause != one.cause and one.kind in _TOLD_AGAIN):
                _log.error("trouble.began", trouble=one.kind, subject=one.subject, error=one.cause, action=one.remedy)
            self._now[key] = (one, self._clock.now_ms() if known is None else known[1])
        for key in [key for key in self._now if key not in there]:
            over, since_ms = self._now.pop(key)
            lasted_s = round((self._clock.now_ms() - since_ms) / 1000)
            _log.info("trouble.over", trouble=over.kind, subject=over.subject, lasted_s=lasted_s)
        kinds = [kind for kind, _subject in there]
        for kind in TROUBLES:
            self._meters.troubles.labels(kind).set(kinds.count(kind))

    def as_json(self) -> list[dict[str, Any]]:
        """The problems as JSON, for the status and the pages: in the order of the kinds, within a kind the longest
        lasting first."""
        rows = sorted(self._now.values(), key=lambda row: (TROUBLES.index(row[0].kind), row[1], row[0].subject))
        return [one.as_json(self._instant(since_ms)) for one, since_ms in rows]
