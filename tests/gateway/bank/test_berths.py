"""Sessions: ready after the first application answer, re-proven, and never a password tried in a loop."""

from __future__ import annotations

from pathlib import Path

from gateway.simbank.faults import Fault, Script, Scripted
from tests.world.world import Life, World


def ready(life: Life) -> bool:
    return life.gateway.lanes["sample.main"].ready


def test_a_declined_sign_on_is_tried_once_by_one_berth_and_then_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.credentials = {"user": "u", "password": "wrong"}
    life = world.start()
    world.run(250)
    lane = life.gateway.lanes["sample.main"]
    assert not lane.ready
    assert world.declined(life) == 1, "four berths, one attempt"
    world.run(60)
    assert world.declined(life) == 2, "once more after five minutes, not a loop"


def test_a_lane_is_not_ready_before_the_bank_has_answered(tmp_path: Path) -> None:
    world = World(tmp_path, plan=Script([Scripted(Fault.PROBE_SILENCE) for _ in range(4)]),
                  bank_options={"answer_s": 5.0})  # fmt: skip
    life = world.start()
    world.submit("AP-1")
    world.run(3)
    assert ready(life) is False
    assert world.told("AP-1") == ["payment.accepted"], "nothing is sent on an unproven session"
    world.run(30)
    assert ready(life) is True
    assert world.told("AP-1")[-1] == "payment.settled"


def test_an_idle_session_is_proven_again_by_its_heartbeat(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"heartbeat_s": 10.0, "sessions": 1})
    life = world.start()
    world.run(1)
    before = world.exchanges(life, "session")
    world.run(35)
    assert world.exchanges(life, "session") - before == 3


def test_a_lost_session_comes_back(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    world.bank.reachable = False
    life.pipes[-1].abortConnection()
    world.run(0.01)
    assert ready(life) is False
    world.bank.reachable = True
    world.run(5)
    assert ready(life) is True


def test_a_bank_that_cannot_be_reached_is_dialled_ever_more_slowly(tmp_path: Path) -> None:
    world = World(tmp_path, bank_options={"sessions": 1})
    world.bank.reachable = False
    life = world.start()
    world.run(60)
    first_minute = world.dials
    world.run(600)
    assert first_minute < 14
    assert (world.dials - first_minute) / 10 < 4, "settles near one attempt in half a minute"
    world.bank.reachable = True
    world.run(60)
    assert ready(life) is True
