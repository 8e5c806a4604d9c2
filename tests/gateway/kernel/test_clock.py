from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock as TaskClock

from gateway.kernel.clock import SystemClock, SystemEntropy, Ulids, steady_s, uuid7
from tests.world.entropy import SeededEntropy

NOW_MS = 1_795_500_000_000


def test_ulids_sort_by_time_and_never_go_backwards() -> None:
    entropy = SystemEntropy()
    made = [entropy.ulid(at_ms) for at_ms in (NOW_MS, NOW_MS, NOW_MS + 1, NOW_MS - 60_000, NOW_MS + 1, NOW_MS + 2)]
    assert made == sorted(set(made))
    assert all(len(ulid) == 26 for ulid in made)


def test_a_ulid_begins_with_its_time() -> None:
    # The example of the ULID specification: 1469918176385 ms is 01ARYZ6S41.
    assert SystemEntropy().ulid(1_469_918_176_385)[:10] == "01ARYZ6S41"


def test_ulids_of_one_source_differ_over_threads() -> None:
    entropy, made = SystemEntropy(), []

    def draw() -> None:
        made.extend([entropy.ulid(NOW_MS) for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_a_full_millisecond_runs_over_into_the_next_and_time_catches_up() -> None:
    ulids = Ulids(lambda n: b"\xff" * n)
    made = [ulids.next(NOW_MS), ulids.next(NOW_MS), ulids.next(NOW_MS + 1), ulids.next(NOW_MS + 2)]
    assert made == sorted(set(made))


def test_the_same_seed_gives_the_same_chance() -> None:
    one, two = SeededEntropy(7), SeededEntropy(7)
    assert [one.ulid(NOW_MS), one.random(), one.bytes(4)] == [two.ulid(NOW_MS), two.random(), two.bytes(4)]
    assert SeededEntropy(8).ulid(NOW_MS) != SeededEntropy(7).ulid(NOW_MS)


@given(st.integers(0, 2**48 - 2), st.integers(0, 2**16))
def test_uuid7_is_one_and_keeps_order(at_ms: int, seed: int) -> None:
    entropy = SeededEntropy(seed)
    made = [uuid7(entropy.ulid(at)) for at in (at_ms, at_ms, at_ms + 1)]
    assert made == sorted(set(made))
    parsed = uuid.UUID(made[0])
    assert (parsed.version, parsed.variant, parsed.int >> 80) == (7, uuid.RFC_4122, at_ms)
    assert str(parsed) == made[0]


def test_the_systems_clock_calls_later() -> None:
    reactor, called = TaskClock(), list[str]()
    clock = SystemClock(reactor)
    clock.later(2.0, called.append, "x")
    reactor.advance(1.9)
    assert called == []
    reactor.advance(0.1)
    assert called == ["x"]
    assert clock.now_ms() > NOW_MS - 86_400_000 * 3650
    assert clock.monotonic_s() <= clock.monotonic_s()


_SET_BACK = """
import sys, threading, time
from twisted.internet import base
ahead_s = [0.0]
base.ReactorBase.seconds = staticmethod(lambda: time.time() + ahead_s[0])  # as if somebody ran `date --set`
from gateway.__main__ import environment
from twisted.internet import reactor
if sys.argv[1] == "kept":
    environment().reactor()

def set_clock():
    ahead_s[0] = float(sys.argv[2])

def fired():
    print(time.monotonic() - since)
    reactor.stop()

def begin():
    global since
    since = time.monotonic()
    reactor.callLater(0.1, set_clock)
    reactor.callLater(1.0, fired)

reactor.callWhenRunning(begin)
guard = threading.Timer(5.0, lambda: reactor.callFromThread(reactor.stop))
guard.start()
reactor.run()
guard.cancel()
"""


@pytest.mark.parametrize("ahead_s", ["-3600", "3600"])
def test_timers_do_not_follow_a_clock_that_is_set(ahead_s: str) -> None:
    def in_time(what: str) -> bool:
        program = [sys.executable, "-c", _SET_BACK, what, ahead_s]
        said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
        return bool(said) and float(said) >= 1.0

    assert in_time("kept")
    assert not in_time("as it comes"), "Twisted's own timers follow it: they come at once, or not within the test"


def test_the_steady_clock_goes_on_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = {time.CLOCK_BOOTTIME: 7_200.0, time.CLOCK_MONOTONIC: 3_600.0, time.CLOCK_REALTIME: 1.8e9}
    monkeypatch.setattr(time, "clock_gettime", slept.__getitem__)
    monkeypatch.setattr(time, "monotonic", lambda: slept[time.CLOCK_MONOTONIC])
    assert steady_s() == SystemClock(TaskClock()).monotonic_s() == 7_200.0
