"""An operator's pause of a lane holds on every node, whichever node took the command, and after a take-over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.bank.lease import LEASE_MS, ORPHAN_QUIET_S
from gateway.kernel.cluster.lane_pauses import OPERATOR, PauseState
from gateway.kernel.cluster.peer_nodes import BEAT_S
from tests.gateway.cli.control_operator import Operator
from tests.world.world import Life, World

LANE = "sample.main"
MOMENT_S = 0.5


class _Two:
    """Two nodes, each with its control API: the first has the lane, the second stands by."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, settings={"journal": {"poll_ms": 250}})
        self.first = self._node("gw1")
        self.owner = Operator(self.world)
        self.second = self._node("gw2")
        self.standby = Operator(self.world)

    def _node(self, name: str) -> Life:
        life = self.world.start(name)
        self.world.run(2)
        return life

    def paid(self) -> int:
        return len(self.world.bank.ledger.executions)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[_Two]:
    made = _Two(tmp_path)
    yield made
    for life in (made.first, made.second):
        if not life.clock.dead:
            life.crash()


def test_a_pause_outlives_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    Operator(world).ask("POST", "lanes", LANE, "pause", reason="x")
    world.crash()
    life = world.start()
    world.submit("AP-1")
    world.run(30)
    assert life.gateway.lanes[LANE].paused == (OPERATOR,) and not world.bank.ledger.executions
    Operator(world).ask("POST", "lanes", LANE, "resume")
    world.run(5)
    assert world.last("AP-1")["state"] == "settled"
    world.crash()


def test_a_paused_lane_that_is_taken_over_stays_paused(two: _Two) -> None:
    two.owner.ask("POST", "lanes", LANE, "pause", reason="x")
    two.first.crash()
    two.world.submit("AP-1")
    two.world.run(LEASE_MS / 1000 + ORPHAN_QUIET_S + 30)
    assert two.second.gateway.lanes[LANE].ready and two.world.told("AP-1") == ["payment.accepted"] and not two.paid()
    assert two.standby.ask("POST", "lanes", LANE, "resume")["paused"] == []
    two.world.run(5)
    assert two.world.last("AP-1")["state"] == "settled" and two.paid() == 1


def test_who_takes_a_lane_over_knows_of_its_pause_before_it_may_send(two: _Two) -> None:
    two.second.gateway.peer_nodes.stop()
    two.owner.ask("POST", "lanes", LANE, "pause", reason="x")
    two.first.crash()
    two.world.submit("AP-1")
    two.world.run(LEASE_MS / 1000 + ORPHAN_QUIET_S + 30)
    assert two.second.gateway.lanes[LANE].paused == (OPERATOR,) and not two.paid()


def test_a_pause_given_at_the_node_that_stands_by_stops_the_owner_within_a_beat(two: _Two) -> None:
    said = two.standby.ask("POST", "lanes", LANE, "pause", reason="x")
    assert (said["condition"], said["paused"], said["owner_hears_within_s"]) == ("standing_by", [OPERATOR], BEAT_S)
    two.world.run(BEAT_S + MOMENT_S)
    assert two.first.gateway.lanes[LANE].paused == (OPERATOR,)
    two.world.submit("AP-1")
    two.world.run(30)
    assert not two.paid()
    said = two.standby.ask("POST", "lanes", LANE, "resume")
    assert (said["paused"], said["owner_hears_within_s"]) == ([], BEAT_S)
    two.world.run(BEAT_S + MOMENT_S)
    assert two.first.gateway.lanes[LANE].paused == () and two.paid() == 1


def test_a_resume_at_another_node_is_no_matter_of_the_past_before_it_heard_of_the_pause(two: _Two) -> None:
    two.second.gateway.lanes[LANE].pause("database_from_the_past")
    two.standby.no(409, "two_persons", "POST", "lanes", LANE, "resume")
    two.second.gateway.peer_nodes.stop()
    two.owner.ask("POST", "lanes", LANE, "pause", reason="x")
    two.standby.ask("POST", "lanes", LANE, "resume")
    two.world.run(BEAT_S + MOMENT_S)
    assert two.first.gateway.lanes[LANE].paused == ()


def test_a_look_that_comes_back_late_does_not_undo_what_was_said_since(tmp_path: Path) -> None:
    world = World(tmp_path)
    lane = world.start().gateway.lanes[LANE]
    world.run(1)
    told = []
    for said in (
        PauseState(2, paused=True),
        PauseState(1, paused=False),
        PauseState(3, paused=False),
        PauseState(2, paused=True),
    ):
        lane.apply_pause(said)
        told.append(lane.paused)
    assert told == [(OPERATOR,), (OPERATOR,), (), ()]
    world.crash()
