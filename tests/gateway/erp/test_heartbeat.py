from __future__ import annotations

from twisted.internet.task import Clock

from gateway.erp.heartbeat import Heartbeat
from tests.world.clock import HeapClock


def test_three_songs_without_an_answer_are_silence() -> None:
    clock = HeapClock()
    songs: list[float] = []
    silences: list[float] = []
    canary = Heartbeat(clock, 5.0, lambda: songs.append(clock.seconds()), silences.append)
    canary.start()
    clock.pump([1.0] * 12)
    assert (songs, silences) == ([0.0, 5.0, 10.0], [])
    canary.returned()
    assert canary.heard_at_s == 12.0
    clock.pump([1.0] * 30)
    assert songs == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]
    assert silences == [15.0]


def test_a_stopped_canary_is_silent_and_starts_anew() -> None:
    clock = HeapClock()
    songs: list[float] = []
    silences: list[float] = []
    canary = Heartbeat(clock, 5.0, lambda: songs.append(clock.seconds()), silences.append)
    canary.start()
    clock.pump([5.0, 5.0])
    canary.stop()
    clock.pump([5.0] * 10)
    canary.start()
    clock.pump([1.0] * 14)
    assert silences == []
    canary.stop()
    assert clock.getDelayedCalls() == []


def test_a_pause_of_the_process_is_not_silence() -> None:
    # Twisted's own test clock, because it jumps as a real clock does while a process is suspended.
    clock = Clock()
    silences: list[float] = []
    canary = Heartbeat(clock, 5.0, lambda: None, silences.append)
    canary.start()
    clock.advance(3600)
    assert silences == []
    canary.returned()
    clock.advance(5)
    assert silences == []
    canary.stop()
