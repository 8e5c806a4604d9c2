"""An emergency stop: nothing that moves money is sent, on any node, until two persons end the stop; questions
continue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from gateway.bank.lease import LEASE_MS, ORPHAN_QUIET_S
from gateway.bank.send_gate import SendGate
from gateway.control.node_answers import STOP_WAIT_S
from gateway.kernel.cluster import stops
from gateway.kernel.cluster.peer_nodes import STOP_LOOK_S
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from tests.gateway.cli.control_operator import Operator
from tests.gateway.cli.resolving import LI, WANG, approve, draft, enrol, made_of
from tests.world.batching import batch
from tests.world.world import Life, World

LANE = "sample.main"
WISH = {"kind": "restart", "subject": "gateway", "to": "send", "note": "false alarm"}


def stop(operator: Operator) -> Any:
    return operator.ask("POST", "stop", reason="fraud?")


def paid(world: World) -> int:
    return len(world.bank.ledger.executions)


def restart(operator: Operator) -> None:
    made = made_of(draft(operator, WANG, WISH), WANG, WISH)
    key = operator.ask("POST", "proposals", peer=WANG.peer, **made)["proposal"]
    assert approve(operator, LI, key)["state"] == "done"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.start()
    made.run(1)
    yield made
    if made.life is not None:
        made.crash()


def test_nothing_leaves_from_that_moment_on_and_over_restarts_until_two_persons_say_so(world: World) -> None:
    operator = Operator(world)
    enrol(operator, WANG, LI)
    said = stop(operator)
    assert said["written"] and said["by"] == "uid:root" and said["number"] == 1
    world.submit("AP-1")
    world.run(30)
    assert world.told("AP-1") == ["payment.accepted"] and not paid(world)
    status = operator.ask("GET", "status")
    assert status["companies"] == [{"company": "jia", "bank": LANE.partition(".")[0], "orders": {"ready": 1}}]
    assert status["stop"]["reason"] == "fraud?" and status["lanes"][LANE] == "paused:stopped"
    life = world.life
    assert life is not None
    assert life.sample("bankgw_stopped") == 1 and life.sample("bankgw_alarms_total", alarm="stopped") == 1
    # One person, or the act that resumes a lane, does not end it.
    operator.ask("POST", "lanes", LANE, "resume")
    world.crash()
    life = world.start()
    world.run(30)
    assert life.sample("bankgw_stopped") == 1 and not paid(world)
    operator = Operator(world)
    restart(operator)
    world.run(10)
    assert world.last("AP-1")["state"] == "settled" and paid(world) == 1 and life.sample("bankgw_stopped") == 0
    assert [entry for _actor, entry in operator.trail(stops.SUBJECT) if entry.startswith("gateway.")] == [
        "gateway.stopped",
        "gateway.restarted",
    ]
    assert operator.ask("GET", "status")["stop"] is None


def test_what_was_sent_is_asked_about_all_the_same(tmp_path: Path) -> None:
    world = World(
        tmp_path, plan=FaultScript([ScriptedFault(BankFault.DROP_AFTER)]), bank_options={"first_enquiry_s": 20.0}
    )
    world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(3)
    assert world.last("AP-1")["state"] == "in_doubt"
    stop(Operator(world))
    world.run(120)
    assert world.last("AP-1")["state"] == "settled"
    world.crash()


def _at_the_gate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declare the emergency stop when the bytes are recorded and wait at the last gate."""
    refusal: Callable[..., Any] = SendGate.refusal
    stopped: list[object] = []

    def late(self: Any, *about: Any) -> Any:
        assert world.life is not None
        if not stopped:
            world.life.gateway.emergency.stop_all("uid:root", "x").addCallback(stopped.append)
            stopped.append("asked")
        return refusal(self, *about)

    monkeypatch.setattr(SendGate, "refusal", late)


def test_bytes_that_stand_at_the_last_gate_do_not_leave(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _at_the_gate(world, monkeypatch)
    world.submit("AP-1")
    world.run(20)
    assert world.state("AP-1") == "ready" and not paid(world)


def test_nor_does_a_message_with_many_orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path)
    world.start()
    world.run(1)
    _at_the_gate(world, monkeypatch)
    world.submit_batch("batch.submit", batch(world, "B", [100, 200]))
    world.run(20)
    assert {world.state("B-1"), world.state("B-2")} == {"ready"} and not paid(world)
    world.crash()


def test_with_the_journal_away_this_node_stops_all_the_same_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.life is not None
    life = world.life
    waiting: list[tuple[Any, Deferred[Any]]] = []
    write = life.store.write

    def away(unit: Any, **_more: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        waiting.append((unit, done))
        return done

    monkeypatch.setattr(life.store, "write", away)
    said = stop(Operator(world))
    assert said == {**said, "stopped": True, "written": False, "number": None}
    assert life.gateway.lanes[LANE].paused == (stops.STOPPED,)
    # States that other nodes report meanwhile do not end it: the journal does not have this stop yet.
    life.gateway.emergency.apply(stops.Stop(1, False))
    assert life.gateway.lanes[LANE].paused == (stops.STOPPED,)
    monkeypatch.setattr(life.store, "write", write)
    for unit, done in waiting:
        write(unit).chainDeferred(done)
    world.run(STOP_WAIT_S)
    assert world.read(stops.last).stopped and life.gateway.emergency.word.number == 1


# ---- several nodes ----


class _Two:
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


@pytest.fixture
def two(tmp_path: Path) -> Iterator[_Two]:
    made = _Two(tmp_path)
    yield made
    for life in (made.first, made.second):
        if not life.clock.dead:
            life.crash()


def test_a_stop_given_at_one_node_holds_at_the_other_within_a_second(two: _Two) -> None:
    stop(two.standby)
    two.world.run(STOP_LOOK_S)
    assert stops.STOPPED in two.first.gateway.lanes[LANE].paused
    two.world.submit("AP-1")
    two.world.run(20)
    assert not paid(two.world)


def test_a_broker_that_is_away_does_not_hold_up_a_stop_anywhere(two: _Two) -> None:
    for life in (two.first, two.second):
        life.amqp.drop(away_s=300)
    two.world.run(1)
    assert not two.first.amqp.up and not two.second.amqp.up
    assert stop(two.standby)["written"]
    two.world.run(STOP_LOOK_S)
    assert stops.STOPPED in two.first.gateway.lanes[LANE].paused


def test_a_node_that_hears_of_nothing_else_hears_it_with_its_lease(two: _Two) -> None:
    two.first.gateway.peer_nodes.stop()
    stop(two.standby)
    two.world.run(LEASE_MS / 1000)
    two.world.submit("AP-1")
    two.world.run(60)
    assert not paid(two.world) and two.first.sample("bankgw_stopped") == 1


def test_a_node_that_cannot_hear_it_has_no_lease_when_it_must_be_silent(
    two: _Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.first.gateway.peer_nodes.stop()
    stop(two.standby)
    monkeypatch.setattr(two.first.store, "write", lambda unit, **_more: Deferred())
    two.world.run(LEASE_MS / 1000)
    assert not two.first.gateway.lanes[LANE].permitted()


def test_who_takes_a_lane_over_has_heard_it_before_it_may_send(two: _Two) -> None:
    two.second.gateway.peer_nodes.stop()
    stop(two.owner)
    two.second.gateway.emergency.word = stops.Stop()
    two.first.crash()
    two.world.submit("AP-1")
    two.world.run(LEASE_MS / 1000 + ORPHAN_QUIET_S + 30)
    assert two.second.gateway.lanes[LANE].epoch and not paid(two.world)


def test_an_old_word_does_not_undo_a_newer_one(world: World) -> None:
    assert world.life is not None
    emergency = world.life.gateway.emergency
    stop(Operator(world))
    emergency.apply(stops.Stop())
    assert world.life.gateway.lanes[LANE].paused == (stops.STOPPED,)


def test_a_proposal_is_stale_when_another_stop_was_said_since(world: World) -> None:
    operator = Operator(world)
    enrol(operator, WANG, LI)
    no = operator.no(409, "not_now", "POST", "proposals", "draft", peer=WANG.peer, **WISH)
    assert "no emergency stop" in no
    stop(operator)
    first = operator.ask("POST", "proposals", peer=WANG.peer, **made_of(draft(operator, WANG, WISH), WANG, WISH))[
        "proposal"
    ]
    restart_word = operator.ask("GET", "proposals", first)
    assert "stopped-because: fraud?" in restart_word["text"]
    approve(operator, LI, first)
    stop(operator)
    with pytest.raises(Exception, match="done already"):
        approve(operator, LI, first)
    assert world.read(stops.last).stopped
