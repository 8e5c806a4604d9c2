"""The notices process: looks into the journal, gathers, sends, keeps its state. It never speaks to the daemon."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway import log
from gateway import settings as conf
from gateway.control.offline import journal_access
from gateway.journal.sql import reading
from gateway.meters import NoticeMeters
from gateway.notices import journal_look, state_file
from gateway.notices.couriers import Courier, NotTaken
from gateway.notices.kinds import NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination, NoticeFile
from gateway.notices.notice_queue import DestinationQueue, Notice, alive_is_due, queues_of
from gateway.notices.state_file import NoticeState

FORMER = "before_"
"""Begins the name under which a destination is told that the file does not name it any more, or names another."""
# About a day: a destination of before may be gone for good.
_MOST_FORMER_TRIES = 100
_STAGES = {"expired": NoticeKind.EXPIRED, "expiring": NoticeKind.APPROVAL_EXPIRING, "late": NoticeKind.APPROVAL_WAITING}
_log = log.get("notices")
MakeCourier = Callable[[NoticeDestination], Courier]


@dataclass(frozen=True, slots=True)
class NoticeParts:
    """What a process is made of: the journal, the folder of its state, the couriers, the time."""

    engine: Engine
    state: Path
    courier: MakeCourier
    now_ms: Callable[[], int]
    meters: NoticeMeters


def journal_of(settings: conf.Settings) -> Engine:
    """The journal for reading, without the vault: what is sealed stays sealed. Raises journal_access.NoAccess."""
    return reading.connect(journal_access.url_of(settings, None), None, 1)


class NoticeProcess:
    """One round after the other. Raises state_file.BadState and OSError when it is made, OSError from a round."""

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
        self._pool = ThreadPoolExecutor(max_workers=len(self._to), thread_name_prefix="courier")
        self._sending: dict[str, tuple[Notice, Future[None]]] = {}
        for name in self._to:
            parts.meters.sent.labels(name)
            parts.meters.failed.labels(name)

    def round(self) -> None:
        """Look, gather, write down, and only then send. What the journal does not say now is said in a later round."""
        self._harvest()
        try:
            # A read-only connection: SQLite's own transaction, or one that the server refuses to write in.
            with self._parts.engine.connect() as conn:
                self._look(conn)
            self._parts.meters.journal_read.set(self._parts.now_ms() / 1000)
        except SQLAlchemyError as error:
            _log.error("notices.journal_away", error=type(error).__name__)
        self._save()
        self._send()
        self._show()

    def settle(self, timeout_s: float) -> None:
        """Wait for what is being sent, and write down what became of it."""
        for _notice, sending in tuple(self._sending.values()):
            try:
                sending.result(timeout_s)
            except (NotTaken, TimeoutError):
                continue
        self._harvest()
        self._save()

    def close(self) -> None:
        """Send nothing more. What is under way is sent again by the next process, with the same id."""
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
        # Cursors move in the same file as what was gathered: an event is lost by no crash, and told twice by none.
        state.cursors.update(part.cursors)
        self._gather(self._late_requests(conn, now_ms))
        day = alive_is_due(self._file.alive_at, self._zone, state.alive_day, now_ms)
        if day is not None:
            state.alive_day = day
            self._gather([NoticeEvent(NoticeKind.ALIVE, day)])

        def still(kind: NoticeKind, keys: Sequence[str]) -> list[str]:
            return journal_look.still(conn, kind, keys)

        for name, queue in state.queues.items():
            queue.close(self._to[name], self._zone, now_ms, still, _id)

    def _late_requests(self, conn: Connection, now_ms: int) -> Iterable[NoticeEvent]:
        within_ms, told = int(self._file.expires_within_s * 1000), self._state.told
        found = journal_look.requests(conn, now_ms, within_ms)
        events = [NoticeEvent(_STAGES[one.stage], one.key) for one in found if told.get(one.request) != one.stage]
        self._state.told = {one.request: one.stage for one in found}
        return events

    def _gather(self, events: Iterable[NoticeEvent]) -> None:
        happened, now_ms = list(events), self._parts.now_ms()
        for name, queue in self._state.queues.items():
            # A destination of before is told of its own end only.
            if not name.startswith(FORMER):
                queue.gather(happened, self._to[name].tells, now_ms)
            elif any(event.key == _ended(name) for event in happened):
                queue.gather([NoticeEvent(NoticeKind.SECURITY, _ended(name))], self._to[name].tells, now_ms)

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
        except NotTaken as error:
            queue.refused(notice, str(error), now_ms)
            meters.failed.labels(name).inc()
            _log.warning("notices.not_taken", destination=name, notice=notice.id, kind=notice.kind.value,
                         tries=notice.tries + 1, why=str(error))  # fmt: skip
            if name.startswith(FORMER) and notice.tries >= _MOST_FORMER_TRIES:
                del queue.under_way[notice.kind]
                self._state.former.pop(name, None)
            return
        queue.delivered(notice, now_ms)
        meters.sent.labels(name).inc()
        _log.info("notices.taken", destination=name, notice=notice.id, kind=notice.kind.value, count=notice.count)
        if name.startswith(FORMER):
            self._state.former.pop(name, None)

    def _show(self) -> None:
        for name, queue in self._state.queues.items():
            self._parts.meters.waiting.labels(name).set((queue.oldest_ms() or 0) / 1000)


def _taken_over(state: NoticeState, file: NoticeFile) -> list[str]:
    """Note the present destinations; the names of those that were others in the last life."""
    now = {name: {"to": to.model_dump(mode="json")} for name, to in file.destinations.items()}
    before, state.addresses = state.addresses, now
    if not before:
        return []
    for name, one in before.items():
        if now.get(name) != one:
            state.former[f"{FORMER}{name}"] = one["to"]
    return sorted(name for name in {*before, *now} if before.get(name) != now.get(name))


def _former(state: NoticeState, file: NoticeFile) -> dict[str, NoticeDestination]:
    """The destinations of before that still have to be told. They were checked when they were in force."""
    made = {name: NoticeDestination.model_validate(to) for name, to in state.former.items()}
    return {name: to for name, to in made.items() if to.form != "email" or file.smtp is not None}


def _ended(name: str) -> str:
    return f"notices.changed destination:{name.removeprefix(FORMER)}"


def _id() -> str:
    return secrets.token_hex(16)
