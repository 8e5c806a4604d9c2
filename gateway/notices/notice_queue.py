"""The queue of notices: what is gathered for each destination, what is on its way, what was sent. Pure.

It does not grow with what happens: of each kind a destination has at most one gathering and one notice on its way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

from gateway.notices.kinds import URGENT, NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination

MOST_KEYS = 1_000
_FIRST_WAIT_MS, _MOST_WAIT_MS = 10_000, 900_000
Still = Callable[[NoticeKind, Sequence[str]], list[str]]
"""Those of the keys of a kind that are still worth a notice."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """Events of one kind that no notice tells yet. `more`: how many there are beyond the keys that are kept."""

    since_ms: int
    keys: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice as it is sent, and sent again: its id and its content never change.

    `tries` were in vain, the last because of `why`; it is not sent before `due_ms`.
    """

    id: str
    kind: NoticeKind
    made_ms: int
    since_ms: int
    keys: tuple[str, ...]
    more: int
    tries: int = 0
    due_ms: int = 0
    why: str = ""

    @property
    def count(self) -> int:
        """How many events it tells."""
        return len(self.keys) + self.more


@dataclass(slots=True)
class DestinationQueue:
    """One destination's queue."""

    gathered: dict[NoticeKind, Gathering] = field(default_factory=dict)
    under_way: dict[NoticeKind, Notice] = field(default_factory=dict)
    sent_ms: dict[NoticeKind, int] = field(default_factory=dict)
    sent: int = 0
    failed: int = 0
    last_why: str = ""

    def gather(self, events: Iterable[NoticeEvent], told: Callable[[NoticeKind], bool], now_ms: int) -> None:
        """Take what happened. The same key of one kind is one event until it is told."""
        fresh: dict[NoticeKind, dict[str, None]] = {}
        for event in events:
            if told(event.kind):
                fresh.setdefault(event.kind, {})[event.key] = None
        for kind, keys in fresh.items():
            now = self.gathered.get(kind, Gathering(now_ms, ()))
            added = list(dict.fromkeys((*now.keys, *keys)))
            more = now.more + max(len(added) - MOST_KEYS, 0)
            self.gathered[kind] = Gathering(now.since_ms, tuple(added[:MOST_KEYS]), more)

    def close(
        self, to: NoticeDestination, zone: ZoneInfo, now_ms: int, still: Still, new_id: Callable[[], str]
    ) -> None:
        """Make notices of what was gathered for long enough. A kind that is under way is gathered on."""
        quiet = is_quiet(to, zone, now_ms)
        for kind in tuple(self.gathered):
            urgent = kind in URGENT
            gathering = self.gathered[kind]
            gap_ms = (to.gather_s if urgent else to.gap_s) * 1000
            ripe_ms = max(gathering.since_ms + to.gather_s * 1000, self.sent_ms.get(kind, -gap_ms) + gap_ms)
            if kind in self.under_way or now_ms < ripe_ms or (quiet and not urgent):
                continue
            keys = tuple(still(kind, gathering.keys))
            del self.gathered[kind]
            if keys or gathering.more:
                self.under_way[kind] = Notice(
                    new_id(), kind, now_ms, gathering.since_ms, keys, gathering.more, due_ms=now_ms
                )

    def next_due(self, now_ms: int) -> Notice | None:
        """The notice to send now, the most urgent first."""
        due = [one for one in self.under_way.values() if one.due_ms <= now_ms]
        order = list(NoticeKind)
        return min(due, key=lambda one: (order.index(one.kind), one.made_ms), default=None)

    def delivered(self, notice: Notice, now_ms: int) -> None:
        """It was taken."""
        del self.under_way[notice.kind]
        self.sent_ms[notice.kind] = now_ms
        self.sent += 1
        self.last_why = ""

    def refused(self, notice: Notice, why: str, now_ms: int) -> None:
        """It was not taken, or nobody knows: it is sent again later, as it is, for as long as it takes."""
        wait_ms = min(_FIRST_WAIT_MS << min(notice.tries, 10), _MOST_WAIT_MS)
        self.under_way[notice.kind] = replace(notice, tries=notice.tries + 1, due_ms=now_ms + wait_ms, why=why)
        self.failed += 1
        self.last_why = why

    def oldest_ms(self) -> int | None:
        """Since when the oldest notice that failed waits; None if none did."""
        return min((one.made_ms for one in self.under_way.values() if one.tries), default=None)


def is_quiet(to: NoticeDestination, zone: ZoneInfo, now_ms: int) -> bool:
    """Whether it is within a destination's quiet hours."""
    if to.quiet_from is None or to.quiet_to is None:
        return False
    now = local_time(zone, now_ms).time()
    begin, end = to.quiet_from, to.quiet_to
    return begin <= now < end if begin < end else now >= begin or now < end


def local_time(zone: ZoneInfo, at_ms: int) -> datetime:
    """A time as people read it."""
    return datetime.fromtimestamp(at_ms / 1000, zone)


def alive_is_due(at: time | None, zone: ZoneInfo, last_day: str, now_ms: int) -> str | None:
    """The day on which the daily notice is due now, None if it is not."""
    now = local_time(zone, now_ms)
    day = now.date().isoformat()
    return day if at is not None and day != last_day and now.time() >= at else None


def queues_of(names: Iterable[str], kept: Mapping[str, DestinationQueue]) -> dict[str, DestinationQueue]:
    """A queue for each destination."""
    return {name: kept.get(name, DestinationQueue()) for name in names}
