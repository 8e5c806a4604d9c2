"""The last gate alone, in borderline cases: the lease, its epoch, its age, and the effects of acquiring, renewing and
losing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy.exc import DBAPIError, OperationalError
from structlog.testing import capture_logs
from twisted.internet.defer import Deferred, fail, succeed

from gateway.bank.lease import RENEW_S, Lease
from gateway.kernel.cluster.lane_leases import LaneRow, NewLease
from gateway.kernel.cluster.stops import Stop
from gateway.kernel.tasks import Tasks
from tests.world.clock import HeapClock
from tests.world.life_clock import LifeClock

LEASE_S = 15.0


class _Store:
    """A journal whose answers the test sets: whether the lane is free, the result of acquiring, whether renewing
    works."""

    def __init__(self) -> None:
        self.free = True
        self.lease = LaneRow("b.main", 7, "gw2", 2**60)
        self.taken: NewLease | Exception | None = NewLease(1, orphaned=False)
        self.renewed: list[bool | Deferred[bool]] = []
        self.said: list[str] = []
        self.stop = Stop()

    def read(self, _fn: Callable[..., Any]) -> Deferred[Any]:
        self.said.append("look")
        return succeed(None if self.free else self.lease)

    def write(self, unit: Callable[..., Any]) -> Deferred[Any]:
        word = next(word for word in ("acquire", "renew", "release") if word in unit.__code__.co_names)
        self.said.append(word)
        if word == "acquire":
            return fail(self.taken) if isinstance(self.taken, Exception) else succeed((self.taken, self.stop))
        if word == "renew":
            answer = self.renewed.pop(0) if self.renewed else True
            said = answer if isinstance(answer, Deferred) else succeed(answer)
            return said.addCallback(lambda renewed: (renewed, self.stop))
        return succeed(True)


class _Gate:
    def __init__(self) -> None:
        self.clock = HeapClock(1_000.0)
        self.store = cast(Any, _Store())  # a lease uses only read and write of the store
        self.life = LifeClock(self.clock)
        self.gained: list[bool] = []
        self.lost: list[float] = []
        self.failed: list[Any] = []
        self.rung: list[float] = []
        self.stops: list[Stop] = []
        self.lease = Lease(
            "b.main",
            "gw1",
            self.store,
            self.life,
            Tasks(self.failed.append),
            self._gain,
            self._lose,
            lambda: self.rung.append(self.clock.seconds()),
            self.stops.append,
        )

    async def _gain(self, orphaned: bool) -> None:
        self.gained.append(orphaned)

    async def _lose(self) -> None:
        self.lost.append(self.clock.seconds())

    def holds(self) -> bool:
        return self.lease.holds

    def clock_set(self) -> bool:
        return self.lease.clock_set

    def lasted_s(self) -> float:
        return self.lease.lasted_s

    def begin(self) -> _Gate:
        done: list[object] = []
        Deferred.fromCoroutine(self.lease.begin()).addBoth(done.append)
        assert done == [None]
        return self

    def end(self) -> None:
        done: list[object] = []
        Deferred.fromCoroutine(self.lease.end()).addBoth(done.append)
        assert done == [None]


def test_how_long_it_lasts_is_counted_from_the_taking_and_from_nothing_without_it() -> None:
    gate = _Gate()
    gate.clock.advance(7.0)
    assert gate.lease.lasted_s == 0.0
    gate.begin()
    assert gate.lease.lasted_s == 0.0
    gate.clock.advance(12.5)
    assert gate.lease.lasted_s == 12.5
    gate.end()
    assert gate.lease.lasted_s == 0.0


def test_a_permit_needs_the_epoch_it_was_written_under() -> None:
    gate = _Gate().begin()
    assert gate.gained == [False] and gate.lease.epoch == 1
    assert gate.lease.permits(1, 1_000.0)
    assert not gate.lease.permits(0, 1_000.0) and not gate.lease.permits(2, 1_000.0)


def test_a_permit_ends_with_the_lease_to_the_moment() -> None:
    gate = _Gate()
    gate.store.renewed = [Deferred()]  # the journal does not answer any more
    gate.begin()
    gate.clock.advance(LEASE_S - 0.001)
    assert gate.holds() and gate.lease.permits(1, 1_010.0)
    gate.clock.advance(0.001)
    assert not gate.holds() and not gate.lease.permits(1, 1_010.0)


def test_what_was_written_down_a_lease_ago_may_not_leave_though_the_lease_was_renewed() -> None:
    gate = _Gate().begin()
    gate.clock.advance(14.0)
    assert gate.lease.permits(1, 1_000.0)
    gate.clock.advance(1.0)
    assert gate.holds() and not gate.lease.permits(1, 1_000.0)
    assert gate.lease.permits(1, 1_000.001)


def test_a_lease_is_renewed_every_third_of_it_and_counts_from_the_asking() -> None:
    gate = _Gate()
    late: Deferred[bool] = Deferred()
    never: Deferred[bool] = Deferred()
    gate.store.renewed = [late, never]
    gate.begin()
    gate.clock.advance(4.999)
    assert "renew" not in gate.store.said
    gate.clock.advance(0.001)
    assert gate.store.said.count("renew") == 1
    gate.clock.advance(4.0)
    late.callback(True)
    gate.clock.advance(10.999)
    assert gate.holds(), "asked at 5, so it ends at 20"
    gate.clock.advance(0.001)
    assert not gate.holds()


def test_a_renewal_that_came_too_late_is_followed_by_another_at_once() -> None:
    gate = _Gate()
    late: Deferred[bool] = Deferred()
    gate.store.renewed = [late]
    gate.begin()
    gate.clock.advance(60.0)  # the database is away: a renewal requested at 5 is committed at 60
    assert gate.store.said.count("renew") == 1 and not gate.holds()
    late.callback(True)
    gate.clock.advance(0.0)
    assert gate.store.said.count("renew") == 2 and gate.holds(), "nothing may be sent before, so nobody waits for it"
    gate.clock.advance(4.999)
    assert gate.store.said.count("renew") == 2
    gate.clock.advance(0.001)
    assert gate.store.said.count("renew") == 3


def test_a_lost_lease_gives_no_permit_and_is_not_sought_again_for_a_lease() -> None:
    gate = _Gate()
    gate.store.renewed = [False]
    gate.begin()
    gate.clock.advance(5.0)
    assert gate.lost == [1_005.0] and gate.lease.epoch == 0
    assert not gate.holds() and not gate.lease.permits(0, 1_005.0) and not gate.lease.permits(1, 1_005.0)
    gate.store.taken = NewLease(3, orphaned=True)
    gate.clock.advance(LEASE_S + 0.999)
    assert gate.gained == [False]
    gate.clock.advance(0.001)
    assert gate.gained == [False, True] and gate.lease.permits(3, 1_021.0)


def test_a_lane_that_is_not_free_is_looked_at_every_second() -> None:
    gate = _Gate()
    gate.store.free = False
    gate.begin()
    assert gate.gained == [] and gate.store.said == ["look"] and gate.lease.epoch == 0
    gate.clock.advance(3.0)
    assert gate.store.said == ["look"] * 4
    gate.store.free, gate.store.taken = True, None
    gate.clock.advance(1.0)
    assert gate.gained == [] and gate.lease.epoch == 0 and not gate.holds(), "another node was faster"
    gate.store.taken = NewLease(2, orphaned=True)
    gate.clock.advance(1.0)
    assert gate.gained == [True] and gate.lease.epoch == 2 and gate.holds()
    gate.clock.advance(4.0)
    assert gate.store.said.count("look") == 6, "it has it, and looks no more"


def test_a_lease_that_is_not_renewed_is_dead_when_it_has_been_seen_for_longer_than_it_lasts() -> None:
    gate = _Gate()
    gate.store.free, gate.store.taken = False, NewLease(8, orphaned=True)
    gate.begin()
    gate.clock.advance(20.0)
    assert "acquire" not in gate.store.said and LEASE_S < 20.0
    gate.clock.advance(1.0)
    assert gate.gained == [True] and gate.lease.epoch == 8


def test_a_lease_that_is_renewed_is_alive_whatever_its_clock() -> None:
    gate = _Gate()
    gate.store.free = False
    gate.begin()
    for n in range(1, 10):
        gate.clock.advance(19.0)
        gate.store.lease = LaneRow("b.main", 7, "gw2", 2**60 + n)
    gate.clock.advance(20.0)
    assert "acquire" not in gate.store.said


def _said(code: int) -> DBAPIError:
    """An error of MariaDB, as SQLAlchemy raises it: 1205 for a lock time-out, 1054 for a missing column."""
    return OperationalError("update lanes", None, Exception(code, "said the database"))


def test_a_renewal_that_others_were_in_the_way_of_is_tried_again_and_nothing_leaves_meanwhile() -> None:
    gate = _Gate()
    slow: Deferred[bool] = Deferred()
    gate.store.renewed = [fail(_said(1205)), slow, Deferred()]
    gate.begin()
    with capture_logs() as said:
        gate.clock.advance(5.0)
        assert gate.failed == [] and gate.holds()
        gate.clock.advance(20.0)
        assert not gate.holds()
        slow.errback(_said(1205))
        gate.clock.advance(0.0)
    assert [(line["event"], line["log_level"], line["lane"]) for line in said] == [
        ("lane.not_renewed", "warning", "b.main")
    ] * 2
    assert gate.failed == [] and gate.lost == [] and gate.lease.epoch == 1
    assert gate.store.said.count("renew") == 3, "the next at once: it is late"


def test_a_lane_that_others_were_in_the_way_of_taking_is_stood_by_for() -> None:
    gate = _Gate()
    gate.store.taken = _said(1205)
    with capture_logs() as said:
        gate.begin()
        gate.clock.advance(3.0)
    assert [line["event"] for line in said if line["log_level"] == "warning"] == ["lane.not_looked_at"] * 4
    gate.store.taken = NewLease(2, orphaned=True)
    gate.clock.advance(1.0)
    assert gate.gained == [True] and gate.failed == []


def test_a_defect_in_a_renewal_is_one() -> None:
    gate = _Gate()
    gate.store.renewed = [fail(_said(1054))]
    gate.begin()
    gate.clock.advance(5.0)
    assert len(gate.failed) == 1


def test_letting_go_ends_everything_at_once() -> None:
    gate = _Gate().begin()
    gate.end()
    assert gate.lease.epoch == 0 and not gate.holds() and not gate.lease.permits(0, 1_000.0)
    assert gate.store.said[-1] == "release"
    gate.clock.advance(100.0)
    assert gate.store.said[-1] == "release" and gate.lost == [], "it neither renews nor complains"


def test_letting_go_of_nothing_writes_nothing() -> None:
    gate = _Gate()
    gate.store.free = False
    gate.begin()
    gate.end()
    gate.clock.advance(10.0)
    assert gate.store.said == ["look"]


def test_letting_go_while_a_renewal_is_under_way_is_no_loss() -> None:
    gate = _Gate()
    slow: Deferred[bool] = Deferred()
    gate.store.renewed = [slow]
    gate.begin()
    gate.clock.advance(5.0)
    gate.end()
    slow.callback(False)
    gate.clock.advance(60.0)
    assert gate.lost == [] and gate.failed == [] and gate.gained == [False]


def test_a_clock_that_was_set_is_noticed_beyond_a_minute() -> None:
    gate = _Gate().begin()
    now_ms = gate.life.now_ms
    gate.life.now_ms = lambda: now_ms() + 60_000  # type: ignore[method-assign]
    assert not gate.clock_set()
    gate.life.now_ms = lambda: now_ms() - 60_001  # type: ignore[method-assign]
    assert gate.clock_set()


def test_the_clocks_difference_counts_from_when_the_lease_was_taken() -> None:
    gate = _Gate()
    now_ms = gate.life.now_ms
    gate.life.now_ms = lambda: now_ms() + 3_600_000  # type: ignore[method-assign]
    gate.begin()
    assert not gate.clock_set()
    gate.life.now_ms = now_ms  # type: ignore[method-assign]
    assert gate.clock_set()


@pytest.mark.parametrize("look", ["permits", "holds", "renewal", "clock_set"])
def test_a_clock_that_was_set_right_again_stays_one_that_was_set(look: str) -> None:
    gate = _Gate().begin()
    gate.life.off_ms = -60_001
    if look == "permits":
        assert gate.lease.permits(1, 1_000.0)
    elif look == "renewal":
        gate.clock.advance(5.0)
    else:
        assert getattr(gate.lease, look)
    gate.life.off_ms = 0
    gate.clock.advance(3_600.0)
    assert gate.clock_set(), "what was sent in between has its time from the wrong one"


def test_spans_are_believed_again_from_the_moment_at_which_the_clock_was_last_seen_to_be_set() -> None:
    gate = _Gate().begin()
    gate.clock.advance(100.0)
    assert gate.lasted_s() == 100.0
    gate.life.off_ms = -60_001
    assert gate.lasted_s() == 0.0
    gate.clock.advance(32.0)
    assert gate.lasted_s() == 32.0, "wrong or right, it is the clock that times what is sent from now on"
    gate.life.off_ms = 0
    assert gate.lasted_s() == 0.0
    gate.clock.advance(30.0)
    assert gate.lasted_s() == 30.0 and gate.clock_set(), "repeats wait for the lane to be taken anew"


def test_a_clock_that_was_wrong_at_the_taking_and_is_set_right_is_believed_like_any_other() -> None:
    gate = _Gate()
    gate.life.off_ms = -7_200_000
    gate.begin()
    gate.clock.advance(1_200.0)
    gate.life.off_ms = 0
    assert gate.lasted_s() == 0.0
    gate.clock.advance(3_600.0)
    assert gate.lasted_s() == 3_600.0 and gate.clock_set()


def test_each_setting_of_the_clock_is_told_once_to_whoever_has_the_lane() -> None:
    gate = _Gate()
    gate.life.off_ms = 3_600_000
    assert not gate.holds() and gate.rung == [], "whoever has no lane has nothing that depends on it"
    gate.begin()
    for off_ms, rung in ((3_600_000, []), (0, [1_010.0]), (0, []), (60_000, []), (-60_000, []), (-60_001, [1_030.0])):
        gate.life.off_ms = off_ms
        gate.rung.clear()
        gate.clock.advance(5.0)
        assert gate.holds() and gate.rung == rung


def test_what_was_known_of_the_clock_ends_with_the_lease() -> None:
    gate = _Gate().begin()
    gate.life.off_ms = 60_001
    assert gate.clock_set()
    gate.store.renewed = [False]
    gate.clock.advance(5.0)
    assert gate.lost and gate.clock_set()
    gate.clock.advance(LEASE_S + 1.0)
    assert gate.gained == [False, False] and not gate.clock_set()


def test_a_stop_is_heard_with_the_lease_and_with_each_renewal() -> None:
    gate = _Gate()
    gate.begin()
    assert gate.stops == [Stop()]
    gate.store.stop = Stop(1, True, 5, "uid:root", "x")
    gate.clock.advance(RENEW_S)
    # The renewal that permits also reads the stop, so that every permitted node knows the stop.
    assert gate.stops[-1] == gate.store.stop and gate.holds()
