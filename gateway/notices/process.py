"""The notices process: reads the journal and the daemon's public page, gathers events, sends notices, keeps its state.

It asks the daemon only for `/readyz`, which any monitoring system may read.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import settings as conf
from gateway.control.offline import journal_access
from gateway.kernel import log
from gateway.kernel.meters import NoticeMeters
from gateway.kernel.sql import reading
from gateway.notices import conditions, journal_look, state_file
from gateway.notices.condition_watch import Companies, ConditionWatch
from gateway.notices.conditions import KnownCondition
from gateway.notices.couriers import Courier, NoticeNotTaken, NoticePartlyTaken
from gateway.notices.daemon_page import ReadTroubles
from gateway.notices.kinds import CONDITIONS, NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination, NoticeFile
from gateway.notices.notice_queue import DestinationQueue, Notice, Still, alive_is_due, queues_of
from gateway.notices.state_file import NoticeState

FORMER = "before_"
"""The prefix of the name under which a former destination is told that the file no longer names it."""
# About a day, because a former destination may be gone for good.
_MOST_FORMER_TRIES = 100
# The kinds of notices in the first version. That version saved this list with each destination that named no kinds.
_FIRST_KINDS = {
    *("approval_waiting", "approval_expiring", "held", "doubtful", "contradicted", "returned", "expired"),
    *("security", "alive"),
}
_STAGES = {"expired": NoticeKind.EXPIRED, "expiring": NoticeKind.APPROVAL_EXPIRING, "late": NoticeKind.APPROVAL_WAITING}
_log = log.get("notices")
MakeCourier = Callable[[NoticeDestination], Courier]


def _of_all(_subject: str) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class NoticeParts:
    """The inputs of a notice process: the journal, the file of its state, the couriers, the clock.

    `pages` read the troubles of each daemon, by its address; `companies` gives the companies that a lane or bank works
    for.
    """

    engine: Engine
    state: Path
    courier: MakeCourier
    now_ms: Callable[[], int]
    meters: NoticeMeters
    pages: Mapping[str, ReadTroubles] = field(default_factory=dict)
    companies: Companies = _of_all


def journal_of(settings: conf.Settings) -> Engine:
    """The journal for reading, without the vault, so sealed columns stay sealed. Raises journal_access.NoAccess."""
    return reading.connect(journal_access.url_of(settings, None), None, 1)


class NoticeProcess:
    """Sends notices in rounds, one round after the other. Its constructor raises state_file.BadState and OSError, a
    round OSError."""

    def __init__(self, file: NoticeFile, parts: NoticeParts) -> None:
        self._file = file
        self._parts = parts
        self._zone = ZoneInfo(file.zone)
        self._saved = ""
        self._state = state_file.load(parts.state)
        changed = _taken_over(self._state, file)
        self._to = {**file.destinations, **_former(self._state, file)}
        self._state.queues = queues_of(self._to, self._state.queues)
        if changed:
            self._gather([NoticeEvent(NoticeKind.SECURITY, f"notices.changed destination:{name}") for name in changed])
        self._couriers: Mapping[str, Courier] = {name: parts.courier(to) for name, to in self._to.items()}
        workers = len(self._to) + len(parts.pages)
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="courier")
        self._conditions = ConditionWatch(file, self._state, parts.companies)
        self._sending: dict[str, tuple[Notice, Future[None]]] = {}
        for name in self._to:
            parts.meters.sent.labels(name)
            parts.meters.failed.labels(name)

    def round(self) -> None:
        """Read the journal, gather events, save the state, and only then send. If the journal cannot be read now, a
        later round handles its events."""
        self._harvest()
        seen = self._take_acknowledgements()
        now_ms = self._parts.now_ms()
        self._gather(self._conditions.on_pages(self._parts.pages, self._pool, now_ms))
        try:
            # A read-only connection: SQLite's own transaction, or one that the server refuses to write in.
            with self._parts.engine.connect() as conn:
                self._look(conn)
            self._parts.meters.journal_read.set(self._parts.now_ms() / 1000)
        except SQLAlchemyError as error:
            _log.error(
                "notices.journal_away",
                error=type(error).__name__,
                action="nothing new of the journal is told until it answers; check the database",
            )
            self._gather(self._conditions.journal_away(now_ms))
            self._close(lambda kind, keys: conditions.still_there(self._state.conditions, kind, keys), CONDITIONS)
        self._save()
        state_file.forget_acknowledgements(self._parts.state.parent, seen)
        self._send()
        self._show()

    def settle(self, timeout_s: float) -> None:
        """Wait for the notices that are being sent, and save the results."""
        for _notice, sending in tuple(self._sending.values()):
            with suppress(TimeoutError):
                sending.exception(timeout_s)
        self._conditions.wait_for_pages(timeout_s)
        self._harvest()
        self._save()

    def close(self) -> None:
        """Stop sending. A notice whose sending was not finished is sent again by the next process, with the same id."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ---- one round ----

    def _save(self) -> None:
        text = state_file.text_of(self._state)
        if text != self._saved:
            state_file.save(self._parts.state, text)
            self._saved = text

    def _look(self, conn: Connection) -> None:
        now_ms, state = self._parts.now_ms(), self._state
        if state.cursors is None:
            state.cursors = journal_look.heads(conn)
            _log.info("notices.begun", nodes=len(state.cursors))
        part = journal_look.trail_part(conn, state.cursors)
        self._gather(part.events)
        # Cursors and gathered events are saved in one file, so that a crash neither loses an event nor reports it
        # twice.
        state.cursors.update(part.cursors)
        self._gather(self._late_requests(conn, now_ms))
        self._gather(self._conditions.in_journal(conn, now_ms))
        living = ((name, queue) for name, queue in state.queues.items() if not name.startswith(FORMER))
        self._gather(self._conditions.of_channels(living, now_ms))
        day = alive_is_due(self._file.alive_at, self._zone, state.alive_day, now_ms)
        if day is not None:
            state.alive_day = day
            lasting = conditions.told(state.conditions)
            self._gather([NoticeEvent(NoticeKind.ALIVE, day), *map(_lasts, lasting)])

        def still(kind: NoticeKind, keys: Sequence[str]) -> list[str]:
            if kind in CONDITIONS:
                return conditions.still_there(state.conditions, kind, keys)
            return journal_look.still(conn, kind, keys)

        self._close(still, frozenset(NoticeKind))

    def _close(self, still: Still, kinds: Collection[NoticeKind]) -> None:
        for name, queue in self._state.queues.items():
            queue.close(self._to[name], self._zone, self._parts.now_ms(), still, _id, kinds)

    def _late_requests(self, conn: Connection, now_ms: int) -> Iterable[NoticeEvent]:
        within_ms, told = int(self._file.expires_within_s * 1000), self._state.told
        found = journal_look.requests(conn, now_ms, within_ms)
        events = [
            NoticeEvent(_STAGES[one.stage], one.key, one.companies)
            for one in found
            if told.get(one.request) != one.stage
        ]
        self._state.told = {one.request: one.stage for one in found}
        return events

    def _gather(self, events: Iterable[NoticeEvent]) -> None:
        happened, now_ms = list(events), self._parts.now_ms()
        for name, queue in self._state.queues.items():
            # A former destination gets only the notice of its own end.
            if not name.startswith(FORMER):
                queue.gather(happened, self._to[name], now_ms)
            elif any(event.key == _ended(name) for event in happened):
                queue.gather([NoticeEvent(NoticeKind.SECURITY, _ended(name))], self._to[name], now_ms)

    def _take_acknowledgements(self) -> list[str]:
        """Take out of the queues of second persons the events of the notices that somebody has seen."""
        seen = state_file.read_acknowledgements(self._parts.state.parent)
        for notice, by in seen.items():
            known = self._state.sent.get(notice)
            if known is None:
                _log.warning("notices.acknowledged_unknown", notice=notice, by=by, action="see bankgw notices list")
                continue
            known.by = by
            taken = [queue.acknowledge(known.kind, known.keys) for queue in self._state.queues.values()]
            _log.info("notices.acknowledged", notice=notice, kind=known.kind.value, by=by, events=sum(taken))
        return list(seen)

    # ---- sending ----

    def _send(self) -> None:
        for name, queue in self._state.queues.items():
            notice = queue.next_due(self._parts.now_ms())
            if notice is not None and name not in self._sending:
                self._sending[name] = notice, self._pool.submit(self._couriers[name], notice)

    def _harvest(self) -> None:
        for name, (notice, sending) in tuple(self._sending.items()):
            if not sending.done():
                continue
            del self._sending[name]
            self._told(name, self._state.queues[name], notice, sending)

    def _told(self, name: str, queue: DestinationQueue, notice: Notice, sending: Future[None]) -> None:
        now_ms, meters = self._parts.now_ms(), self._parts.meters
        try:
            sending.result()
        except NoticePartlyTaken as error:
            if not notice.left:
                self._state.note_sent(name, notice, now_ms)
            queue.partly_taken(notice, error.left, str(error), now_ms)
            meters.failed.labels(name).inc()
            self._log_not_taken(name, notice, error)
            return
        except NoticeNotTaken as error:
            queue.refused(notice, str(error), now_ms)
            meters.failed.labels(name).inc()
            self._log_not_taken(name, notice, error)
            if name.startswith(FORMER) and notice.tries >= _MOST_FORMER_TRIES:
                del queue.under_way[notice.kind]
                self._state.former.pop(name, None)
            return
        except Exception as error:
            # A defect of a courier, or an answer that nobody expected, must not end the notices of the others.
            why = f"a defect of the courier: {type(error).__name__}"
            queue.refused(notice, why, now_ms)
            meters.failed.labels(name).inc()
            self._log_not_taken(name, notice, NoticeNotTaken(why))
            return
        self._state.note_sent(name, notice, now_ms)
        queue.delivered(notice, now_ms)
        meters.sent.labels(name).inc()
        _log.info("notices.taken", destination=name, notice=notice.id, kind=notice.kind.value, count=notice.count)
        if name.startswith(FORMER):
            self._state.former.pop(name, None)

    def _log_not_taken(self, name: str, notice: Notice, error: Exception) -> None:
        _log.warning(
            "notices.not_taken",
            destination=name,
            notice=notice.id,
            kind=notice.kind.value,
            tries=notice.tries + 1,
            why=str(error),
        )

    def _show(self) -> None:
        for name, queue in self._state.queues.items():
            self._parts.meters.waiting.labels(name).set((queue.oldest_ms() or 0) / 1000)


def _taken_over(state: NoticeState, file: NoticeFile) -> list[str]:
    """Record the present destinations; returns the names whose address differs from that of the last process."""
    now = {name: {"to": _saved(to)} for name, to in file.destinations.items()}
    before, state.addresses = {name: _renewed(one) for name, one in state.addresses.items()}, now
    if not before:
        return []
    for name, one in before.items():
        if now.get(name) != one:
            state.former[f"{FORMER}{name}"] = one["to"]
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _saved(to: NoticeDestination) -> dict[str, Any]:
    # Settings at their defaults are left out, so that an upgrade with new settings or kinds does not count as a change.
    return to.model_dump(mode="json", exclude_defaults=True)


def _renewed(one: Mapping[str, Any]) -> dict[str, Any]:
    """A destination as this version saves it. An older version also saved settings at their defaults."""
    kept = {key: value for key, value in one["to"].items() if key != "kinds" or set(value) != _FIRST_KINDS}
    try:
        return {"to": _saved(NoticeDestination.model_validate(kept))}
    except ValidationError:
        return dict(one)


def _lasts(one: KnownCondition) -> NoticeEvent:
    return NoticeEvent(NoticeKind.ALIVE, f"{one.kind.value} {one.key}", frozenset(one.companies))


def _former(state: NoticeState, file: NoticeFile) -> dict[str, NoticeDestination]:
    """Former destinations that must still be informed of the change. Their addresses were checked when they were in
    force."""
    made = {name: NoticeDestination.model_validate(to) for name, to in state.former.items()}
    return {name: to for name, to in made.items() if to.form != "email" or file.smtp is not None}


def _ended(name: str) -> str:
    return f"notices.changed destination:{name.removeprefix(FORMER)}"


def _id() -> str:
    return secrets.token_hex(16)
