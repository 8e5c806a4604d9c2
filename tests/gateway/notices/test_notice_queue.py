"""The queue of notices: which events are gathered, when they are sent, quiet hours, and failed deliveries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, time
from itertools import count
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.notices.kinds import KIND_OF_ENTRY, KINDS_OF_ROLE, NoticeEvent, NoticeKind
from gateway.notices.notice_file import NoticeDestination
from gateway.notices.notice_queue import MOST_KEYS, PARTLY_TRIES_MAX, DestinationQueue, Notice, alive_is_due, is_quiet
from gateway.notices.state_file import NoticeState, load, save, text_of
from gateway.people.rules.roles import PersonRole
from tests.house import product

ZONE = ZoneInfo("Asia/Shanghai")
K = NoticeKind
NIGHT = NoticeDestination.model_validate(
    {"form": "email", "to": ["ops@example.com"], "quiet_from": time(22), "quiet_to": time(7)}
)
OPEN = NIGHT.model_copy(update={"quiet_from": None, "quiet_to": None})


def at(hour: int, minute: int = 0, second: int = 0) -> int:
    return int(datetime(2026, 11, 30, hour, minute, second, tzinfo=ZONE).timestamp() * 1000)


def all_still(_kind: NoticeKind, keys: Sequence[str]) -> list[str]:
    return list(keys)


class DrivenQueue:
    """A queue of one destination, driven as the process drives it."""

    def __init__(self, to: NoticeDestination = OPEN) -> None:
        self.to, self.queue, self._ids = to, DestinationQueue(), count(1)

    def happens(self, kind: NoticeKind, keys: Iterable[str], now_ms: int) -> None:
        self.queue.gather([NoticeEvent(kind, key) for key in keys], self.to, now_ms)

    def due(self, now_ms: int, still: object = all_still) -> Notice | None:
        assert callable(still)
        self.queue.close(self.to, ZONE, now_ms, still, lambda: f"id{next(self._ids)}")
        return self.queue.next_due(now_ms)


def test_events_of_one_kind_are_one_notice() -> None:
    told = DrivenQueue()
    told.happens(K.HELD, ["a", "b"], at(9))
    told.happens(K.HELD, ["b", "c"], at(9, 0, 10))
    assert told.due(at(9, 0, 29)) is None
    notice = told.due(at(9, 0, 30))
    assert notice is not None and notice.keys == ("a", "b", "c") and notice.since_ms == at(9)


def test_what_is_over_meanwhile_is_not_told() -> None:
    told = DrivenQueue()
    told.happens(K.DOUBTFUL, ["a", "b"], at(9))
    assert told.due(at(9, 1), lambda _kind, _keys: []) is None and told.queue.gathered == {}
    told.happens(K.DOUBTFUL, ["a", "b"], at(9, 2))
    notice = told.due(at(9, 3), lambda _kind, keys: list(keys[1:]))
    assert notice is not None and notice.keys == ("b",)


def test_a_recipient_who_is_refused_delays_nobody_else_and_is_given_up_after_a_day() -> None:
    told = DrivenQueue()
    told.happens(K.SECURITY, ["a"], at(9))
    first = told.due(at(9, 1))
    assert first is not None
    told.queue.partly_taken(first, ("ops@example.com",), "refused 1 of 2 recipients", at(9, 1))
    assert told.queue.under_way == {} and told.queue.sent == 1 and told.queue.oldest_ms() == first.made_ms
    told.happens(K.SECURITY, ["b"], at(9, 2))
    assert told.due(at(9, 2, 30)) is not None
    second = told.queue.under_way[K.SECURITY]
    assert second.left == () and second.keys == ("b",)
    told.queue.delivered(second, at(9, 3))
    now_ms, tries = at(9, 4), 0
    while (again := told.queue.next_due(now_ms)) is not None:
        assert again.left == ("ops@example.com",) and again.id == first.id
        told.queue.refused(again, "550", now_ms)
        now_ms, tries = now_ms + 900_000, tries + 1
    assert tries == PARTLY_TRIES_MAX - 1 and told.queue.partly == {} and told.queue.oldest_ms() is None


def test_a_recipient_who_takes_it_later_has_it_once(tmp_path: Path) -> None:
    told = DrivenQueue()
    told.happens(K.SECURITY, ["a"], at(9))
    first = told.due(at(9, 1))
    assert first is not None
    told.queue.partly_taken(first, ("ops@example.com",), "550", at(9, 1))
    state = NoticeState(queues={"ops": told.queue})
    save(tmp_path / "notices.json", text_of(state))
    kept = load(tmp_path / "notices.json").queues["ops"]
    again = kept.next_due(at(9, 2))
    assert again is not None and again.left == ("ops@example.com",)
    kept.delivered(again, at(9, 2))
    assert kept.next_due(at(23)) is None and kept.oldest_ms() is None


def test_a_gap_lies_between_two_notices_of_a_kind_that_is_not_urgent() -> None:
    told = DrivenQueue()
    for kind in (K.HELD, K.SECURITY):
        told.happens(kind, ["a"], at(9))
    for _ in range(2):
        notice = told.due(at(9, 1))
        assert notice is not None
        told.queue.delivered(notice, at(9, 1))
    for kind in (K.HELD, K.SECURITY):
        told.happens(kind, ["b"], at(9, 2))
    urgent = told.due(at(9, 3))
    assert urgent is not None and urgent.kind is K.SECURITY
    told.queue.delivered(urgent, at(9, 3))
    assert told.due(at(9, 5, 59)) is None
    later = told.due(at(9, 6))
    assert later is not None and later.kind is K.HELD


@pytest.mark.parametrize("kind", NoticeKind)
def test_quiet_hours_hold_back_what_is_not_urgent_and_nothing_else(kind: NoticeKind) -> None:
    told = DrivenQueue(NIGHT)
    told.happens(kind, ["a"], at(23))
    told.happens(kind, ["b"], at(23, 0, 5))
    notice = told.due(at(23, 30))
    if kind in (K.SECURITY, K.DAEMON_STOPPED, K.CONTRADICTED, K.TROUBLE, K.APPROVAL_EXPIRING, K.EXPIRED):
        assert notice is not None and notice.kind is kind
        return
    assert notice is None and told.due(at(6, 59)) is None
    morning = told.due(at(7) + 86_400_000)
    assert morning is not None and morning.count == 2 and morning.since_ms == at(23)


def test_quiet_hours_within_a_day_and_over_midnight() -> None:
    day = NIGHT.model_copy(update={"quiet_from": time(12), "quiet_to": time(14)})
    assert [is_quiet(day, ZONE, at(hour)) for hour in (11, 12, 13, 14)] == [False, True, True, False]
    assert [is_quiet(NIGHT, ZONE, at(hour)) for hour in (21, 22, 0, 6, 7)] == [False, True, True, True, False]
    assert not is_quiet(OPEN, ZONE, at(0))


def test_a_notice_that_is_not_taken_is_sent_again_as_it_was_and_later_each_time() -> None:
    told = DrivenQueue()
    told.happens(K.HELD, ["a"], at(9))
    first = told.due(at(9, 1))
    assert first is not None
    waits, now_ms, notice = [], at(9, 1), first
    for _ in range(12):
        told.queue.refused(notice, "no", now_ms)
        again = told.queue.under_way[K.HELD]
        assert (again.id, again.keys, again.made_ms, again.why) == (first.id, first.keys, first.made_ms, "no")
        assert told.due(again.due_ms - 1) is None
        waits.append((again.due_ms - now_ms) // 1000)
        now_ms, notice = again.due_ms, again
    assert waits[:8] == [10, 20, 40, 80, 160, 320, 640, 900] and set(waits[8:]) == {900}
    assert told.queue.oldest_ms() == first.made_ms
    told.happens(K.HELD, ["b"], now_ms)
    told.happens(K.SECURITY, ["c"], now_ms)
    urgent = told.due(now_ms + 40_000)
    assert urgent is not None and urgent.kind is K.SECURITY, "one kind does not wait for another"
    told.queue.delivered(notice, now_ms)
    assert told.queue.oldest_ms() is None and told.queue.sent == 1 and told.queue.failed == 12


def test_a_flood_is_counted_and_does_not_grow() -> None:
    told = DrivenQueue()
    for n in range(5):
        told.happens(K.HELD, [f"{n}-{m}" for m in range(MOST_KEYS)], at(9))
    notice = told.due(at(10))
    assert notice is not None and len(notice.keys) == MOST_KEYS and notice.count == 5 * MOST_KEYS


def test_security_is_told_whatever_the_file_says() -> None:
    told = DrivenQueue(OPEN.model_copy(update={"kinds": ("held",)}))
    for kind in NoticeKind:
        told.happens(kind, ["a"], at(9))
    assert set(told.queue.gathered) == {K.HELD, K.SECURITY}


def test_a_second_person_is_told_of_what_lasts_and_nobody_acknowledged() -> None:
    told = DrivenQueue(OPEN.model_copy(update={"after_s": 1_800.0}))
    told.happens(K.DOUBTFUL, ["a", "b", "c"], at(9))
    told.happens(K.SECURITY, ["x"], at(9))
    told.happens(K.OVER, ["y"], at(9))
    first = told.due(at(9, 1))
    assert first is not None and first.kind is K.SECURITY, "security waits for nobody"
    told.queue.delivered(first, at(9, 1))
    told.happens(K.DOUBTFUL, ["d"], at(9, 20))
    assert told.queue.acknowledge(K.DOUBTFUL, ["b", "unknown"]) == 1
    assert told.due(at(9, 29)) is None

    def without_c(_kind: NoticeKind, keys: Sequence[str]) -> list[str]:
        return [key for key in keys if key != "c"]

    second = told.due(at(9, 30), without_c)
    assert second is not None and second.keys == ("a",) and second.since_ms == at(9)
    told.queue.delivered(second, at(9, 30))
    third = told.due(at(9, 50), without_c)
    assert third is not None and third.keys == ("d",), "each event has its own time"
    assert told.queue.later == {}


def test_a_flood_of_what_may_escalate_does_not_grow() -> None:
    told = DrivenQueue(OPEN.model_copy(update={"after_s": 1_800.0}))
    for n in range(3):
        told.happens(K.DOUBTFUL, [f"{n}-{m}" for m in range(MOST_KEYS)], at(9))
    notice = told.due(at(9, 1))
    assert len(told.queue.later[K.DOUBTFUL]) == MOST_KEYS and notice is not None and notice.count == 2 * MOST_KEYS


def test_a_destination_of_a_role_or_company_gets_its_part() -> None:
    approver = NoticeDestination.model_validate({"form": "email", "to": ["a@example.com"], "roles": ["approver"]})
    assert {kind for kind in NoticeKind if approver.tells(kind)} == {
        *(K.SECURITY, K.APPROVAL_WAITING, K.APPROVAL_EXPIRING, K.EXPIRED, K.ALIVE)
    }
    every = OPEN.model_copy(update={"companies": ("acme",)})
    events = [NoticeEvent(K.HELD, name, frozenset(of)) for name, of in (("a", {"acme"}), ("b", {"other"}), ("c", ()))]
    assert [event.key for event in events if every.concerns(event)] == ["a", "c"]
    with pytest.raises(ValueError, match="not both"):
        NoticeDestination.model_validate({**approver.model_dump(exclude_defaults=True), "kinds": ["held"]})


def test_every_kind_is_of_a_role_and_every_role_is_a_persons() -> None:
    assert set(KINDS_OF_ROLE) == {role.value for role in PersonRole}
    assert set().union(*KINDS_OF_ROLE.values()) == set(NoticeKind) - {K.ALIVE}


def test_the_daily_notice_comes_once_a_day() -> None:
    assert alive_is_due(time(8), ZONE, "", at(7, 59)) is None and alive_is_due(None, ZONE, "", at(9)) is None
    assert alive_is_due(time(8), ZONE, "2026-11-29", at(8)) == "2026-11-30"
    assert alive_is_due(time(8), ZONE, "2026-11-30", at(20)) is None


def test_every_entry_that_is_told_is_written_by_the_gateway() -> None:
    source = "\n".join(one.text for one in product() if not one.path.startswith("gateway/notices/"))
    unknown = [
        entry
        for entry in KIND_OF_ENTRY
        if f'"{entry}"' not in source and f'Rule("{entry.removeprefix("payment.")}"' not in source
    ]
    assert unknown == []
