"""The queue of notices for each destination: pending events, the notice on its way, the notices that were sent. Pure.

Its size does not grow with the number of events: of each kind, a destination has at most one notice that is being
gathered and one that is being sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from zoneinfo import ZoneInfo

from gateway.notices.kinds import URGENT, NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination

MOST_KEYS = 1_000
PARTLY_TRIES_MAX = 96
"""About a day of tries for recipients that a mail server refuses while it takes the others."""
_AT_ONCE = frozenset({NoticeKind.SECURITY, NoticeKind.ALIVE})
_FIRST_WAIT_MS, _MOST_WAIT_MS = 10_000, 900_000
Still = Callable[[NoticeKind, Sequence[str]], list[str]]
"""Filters the keys of a kind to those that still deserve a notice."""


@dataclass(frozen=True, slots=True)
class PendingEvents:
    """Events of one kind for which no notice was made yet. `more` is the number of events beyond the kept keys."""

    since_ms: int
    keys: tuple[str, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice. Its id and its content never change, also when it is sent again.

    `tries` failed, the last one because of `why`; the notice is not sent before `due_ms`. `left`: the recipients that
    have not accepted the notice although the others have; empty if all recipients still need it.
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
    left: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of events in the notice."""
        return len(self.keys) + self.more


@dataclass(slots=True)
class DestinationQueue:
    """One destination's queue. `partly` are notices that some recipients refused: they delay no other notice.

    `later` are the events of which a second person is notified if they last, by kind and key, each with its time.
    """

    gathered: dict[NoticeKind, PendingEvents] = field(default_factory=dict)
    under_way: dict[NoticeKind, Notice] = field(default_factory=dict)
    sent_ms: dict[NoticeKind, int] = field(default_factory=dict)
    sent: int = 0
    failed: int = 0
    last_why: str = ""
    partly: dict[NoticeKind, Notice] = field(default_factory=dict)
    later: dict[NoticeKind, dict[str, int]] = field(default_factory=dict)

    def gather(self, events: Iterable[NoticeEvent], to: NoticeDestination, now_ms: int) -> None:
        """Add events to the queue. Events with the same key and kind count as one until their notice is made."""
        fresh: dict[NoticeKind, dict[str, None]] = {}
        for event in events:
            if not to.concerns(event):
                continue
            waiting = self.later.setdefault(event.kind, {}) if to.after_s and event.kind not in _AT_ONCE else None
            if waiting is not None and (event.key in waiting or len(waiting) < MOST_KEYS):
                waiting.setdefault(event.key, now_ms)
            else:
                fresh.setdefault(event.kind, {})[event.key] = None
        for kind, keys in fresh.items():
            self._add(kind, keys, now_ms)

    def _add(self, kind: NoticeKind, keys: Iterable[str], since_ms: int) -> None:
        now = self.gathered.get(kind, PendingEvents(since_ms, ()))
        added = list(dict.fromkeys((*now.keys, *keys)))
        more = now.more + max(len(added) - MOST_KEYS, 0)
        self.gathered[kind] = PendingEvents(now.since_ms, tuple(added[:MOST_KEYS]), more)

    def acknowledge(self, kind: NoticeKind, keys: Iterable[str]) -> int:
        """Take out the events that a person has seen, so that no second person is notified; returns their number."""
        waiting = self.later.get(kind, {})
        return sum(waiting.pop(key, None) is not None for key in keys)

    def _escalate(self, to: NoticeDestination, now_ms: int, still: Still, kinds: Collection[NoticeKind]) -> None:
        """Gather the events that have lasted for `after_s`. An event that is over is forgotten."""
        for kind, waiting in [(kind, waiting) for kind, waiting in self.later.items() if kind in kinds]:
            ripe = [key for key, at_ms in waiting.items() if now_ms - at_ms >= to.after_s * 1000]
            since_ms = min((waiting[key] for key in ripe), default=now_ms)
            for key in ripe:
                del waiting[key]
            if keys := still(kind, ripe) if ripe else []:
                self._add(kind, keys, since_ms)
            if not waiting:
                del self.later[kind]

    def close(
        self,
        to: NoticeDestination,
        zone: ZoneInfo,
        now_ms: int,
        still: Still,
        new_id: Callable[[], str],
        kinds: Collection[NoticeKind] = frozenset(NoticeKind),
    ) -> None:
        """Make notices of the events of these kinds that were gathered for long enough. While a notice of a kind is
        being sent, events of this kind are gathered further."""
        self._escalate(to, now_ms, still, kinds)
        quiet = is_quiet(to, zone, now_ms)
        for kind in [kind for kind in self.gathered if kind in kinds]:
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
        """The notice to send now: of those that are due, the most urgent one."""
        due = [one for one in (*self.under_way.values(), *self.partly.values()) if one.due_ms <= now_ms]
        order = list(NoticeKind)
        return min(due, key=lambda one: (order.index(one.kind), one.made_ms), default=None)

    def delivered(self, notice: Notice, now_ms: int) -> None:
        """Record that the notice was accepted by every recipient that had not taken it."""
        del (self.partly if notice.left else self.under_way)[notice.kind]
        self.sent_ms[notice.kind] = now_ms
        self.sent += 1
        self.last_why = ""

    def refused(self, notice: Notice, why: str, now_ms: int) -> None:
        """Record that the notice was not accepted, or that this is unknown. It is sent again unchanged until it is
        accepted."""
        again = self._again(notice, why, now_ms)
        if not notice.left:
            self.under_way[notice.kind] = again
        elif again.tries < PARTLY_TRIES_MAX:
            self.partly[notice.kind] = again
        else:
            del self.partly[notice.kind]
        self.failed += 1
        self.last_why = why

    def partly_taken(self, notice: Notice, left: tuple[str, ...], why: str, now_ms: int) -> None:
        """Record that only `left` did not accept the notice.

        The notice is sent to them again, at most `PARTLY_TRIES_MAX` times, beside the notices that follow. A newer
        partly refused notice of the same kind replaces it.
        """
        if not notice.left:
            self.delivered(notice, now_ms)
        again = self._again(replace(notice, left=left), why, now_ms)
        self.partly[notice.kind] = again
        if again.tries >= PARTLY_TRIES_MAX:
            del self.partly[notice.kind]
        self.failed += 1
        self.last_why = why

    @staticmethod
    def _again(notice: Notice, why: str, now_ms: int) -> Notice:
        wait_ms = min(_FIRST_WAIT_MS << min(notice.tries, 10), _MOST_WAIT_MS)
        return replace(notice, tries=notice.tries + 1, due_ms=now_ms + wait_ms, why=why)

    def oldest_ms(self) -> int | None:
        """The time of the oldest failed notice that still waits; None if no notice failed."""
        waiting = (*self.under_way.values(), *self.partly.values())
        return min((one.made_ms for one in waiting if one.tries), default=None)


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
