"""Finds the conditions that persons are notified of: in the journal, on the daemon's page, and at the destinations
themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.kernel import log
from gateway.notices import conditions, journal_conditions
from gateway.notices.conditions import Condition
from gateway.notices.daemon_page import PageNotRead, ReadTroubles
from gateway.notices.journal_conditions import LateTerms
from gateway.notices.kinds import NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeFile
from gateway.notices.notice_queue import DestinationQueue
from gateway.notices.state_file import NoticeState

LATE_EVERY_MS = 600_000
"""Reports, statements and receipts are looked for every ten minutes, because their tables are large."""
_NODES, _LATE, _JOURNAL, _CHANNELS = "nodes", "late", "journal", "channels"
_log = log.get("notices.condition_watch")
Companies = Callable[[str], frozenset[str]]


class ConditionWatch:
    """Keeps the conditions of the state up to date. Each method returns the events of its source."""

    def __init__(self, file: NoticeFile, state: NoticeState, companies: Companies) -> None:
        self._state, self._companies = state, companies
        self._zone = ZoneInfo(file.zone)
        self._lasting_ms = int(file.lasting_s * 1000)
        self._channel_ms = int(file.channel_broken_s * 1000)
        self._terms = LateTerms(
            int(file.daemon_silent_s * 1000),
            int(file.report_late_s * 1000),
            int(file.statement_late_h * 3_600_000),
            int(file.receipt_late_days * 86_400_000),
        )
        self._looked_ms = 0
        self._pages: dict[str, Future[Sequence[Mapping[str, Any]]]] = {}
        self._unread: set[str] = set()
        self._runs = False

    def in_journal(self, conn: Connection, now_ms: int) -> list[NoticeEvent]:
        """The conditions that the journal shows."""
        state = self._state
        silent = journal_conditions.silent_nodes(conn, state.nodes, now_ms, self._terms.daemon_silent_ms)
        self._runs = bool(state.nodes) and len(silent) < len(state.nodes)
        # A node's silence has a limit of its own, and it ends as soon as the node writes again.
        events = self._update(_NODES, silent, now_ms, 0)
        events += self._update(_JOURNAL, (), now_ms)
        if not 0 <= now_ms - self._looked_ms < LATE_EVERY_MS:
            self._looked_ms = now_ms
            found = journal_conditions.late(conn, self._terms, self._zone, now_ms, self._companies)
            events += self._update(_LATE, found, now_ms, 0)
        return events

    def journal_away(self, now_ms: int) -> list[NoticeEvent]:
        """The condition that this process cannot read the journal."""
        return self._update(_JOURNAL, (Condition(NoticeKind.TROUBLE, "notices cannot read the journal"),), now_ms)

    def on_pages(self, pages: Mapping[str, ReadTroubles], pool: Executor, now_ms: int) -> list[NoticeEvent]:
        """The conditions on the pages that were read since the last call. Begins to read each page again."""
        events: list[NoticeEvent] = []
        for name, read in pages.items():
            reading = self._pages.get(name)
            if reading is not None and not reading.done():
                continue
            if reading is not None:
                events += self._read(name, reading, now_ms)
            self._pages[name] = pool.submit(read)
        return events

    def wait_for_pages(self, timeout_s: float) -> None:
        """Wait until the pages that are being read were read."""
        for reading in self._pages.values():
            with suppress(TimeoutError):
                reading.exception(timeout_s)

    def _read(self, name: str, reading: Future[Sequence[Mapping[str, Any]]], now_ms: int) -> list[NoticeEvent]:
        unread = Condition(NoticeKind.UPKEEP, f"the page of {name} cannot be read")
        try:
            said = reading.result()
        except PageNotRead as error:
            if name not in self._unread:
                self._unread.add(name)
                _log.warning(
                    "notices.page_unread",
                    page=name,
                    why=str(error),
                    action="troubles of this daemon are not told; see that it runs, and `daemons` in notices.toml",
                )
            # While no daemon runs, only that condition is reported.
            return self._update(f"unread {name}", (unread,) if self._runs else (), now_ms)
        self._unread.discard(name)
        events = self._update(f"unread {name}", (), now_ms)
        return events + self._update(f"page {name}", conditions.of_troubles(said, self._companies), now_ms)

    def of_channels(self, queues: Iterable[tuple[str, DestinationQueue]], now_ms: int) -> list[NoticeEvent]:
        """The destinations that have accepted no notice for long, although one waits."""
        broken = [
            Condition(NoticeKind.CHANNEL_BROKEN, name)
            for name, queue in queues
            if (since_ms := queue.oldest_ms()) is not None and now_ms - since_ms >= self._channel_ms
        ]
        return self._update(_CHANNELS, broken, now_ms, 0)

    def _update(
        self, source: str, present: Sequence[Condition], now_ms: int, lasting_ms: int | None = None
    ) -> list[NoticeEvent]:
        lasting_ms = self._lasting_ms if lasting_ms is None else lasting_ms
        return conditions.update(self._state.conditions, source, present, now_ms, lasting_ms)
