"""Tests of a lane that is stopped while an exchange or a commit is under way."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred

from gateway.kernel.asking import Unavailable
from gateway.simbank.faults import BankFault, FaultScript, ScriptedFault
from protocols.canon.outcome import State
from tests.gateway.bank.test_lane import lane_of, pays
from tests.world import files
from tests.world.world import World


def test_leaving_waits_for_an_answer_on_its_way(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=5)]))
    world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(0.5)
    before_s = world.clock.seconds()
    world.leave()
    row = files.payment(world, "AP-1")
    assert row.life.state is State.SETTLED and row.changed_ms / 1000 - before_s < 6


def test_leaving_with_a_silent_exchange_under_way_writes_down_the_doubt_in_time(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=10_000)]))
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.run(0.5)
    started_s, done = world.clock.seconds(), []
    Deferred.fromCoroutine(life.gateway.stop()).addBoth(lambda _: done.append(world.clock.seconds()))
    world.run(40)
    assert done and done[0] - started_s <= world.settings.drain_s
    row = files.payment(world, "AP-1")
    assert row.life.state is State.IN_DOUBT, "not left in sending for the next life to find"
    assert files.rules(world, "AP-1") == ["admitted", "send", "silent"]
    life.crash()
    world.bank.simbank.script.calm()
    world.start()
    world.run(60)
    assert world.told("AP-1")[-1] == "payment.settled"


def test_while_leaving_nothing_new_is_sent_or_asked(tmp_path: Path) -> None:
    world = World(tmp_path, plan=FaultScript([ScriptedFault(BankFault.DELAY, seconds=8)]), bank_options={"sessions": 1})
    life = world.start()
    world.run(1)
    world.submit("AP-1")
    world.submit("AP-2")
    world.run(0.5)
    Deferred.fromCoroutine(life.gateway.stop())
    failures: list[str] = []
    lane_of(life).ask("balance", lambda _context: iter(()), 5).addErrback(
        lambda failure: failures.append(failure.check(Unavailable) and failure.value.reason)
    )
    world.run(40)
    assert len(pays(life)) == 1 and failures == ["lane_stopped"]
    assert files.payment(world, "AP-1").life.state is State.SETTLED
    assert files.payment(world, "AP-2").life.state is State.READY
