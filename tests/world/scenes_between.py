"""Scenes of changes besides a payment: its rules, the clock, the lane's owner, other senders. See `scenes`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.erp.sender_turns import MOST_OF_ONE
from gateway.kernel.core.states import Work
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from protocols.bank import Replay, ReplayRule
from protocols.canon.outcome import Fate
from tests.world.broker import properties
from tests.world.chosen_verdicts import chosen_verdicts
from tests.world.history import violations
from tests.world.sim import replaying
from tests.world.stage import HIDDEN, LOST, NEVER, ORDER, QUARANTINE_S, SAFE, SPANS, SceneWorld, ask_now, pause, scene
from tests.world.world import World


@scene
def repeats_forbidden_while_in_doubt(folder: Path) -> World:
    """The bank's rules said that a repeat is safe when the order arrived; the settings of the next process say
    never."""
    world = SceneWorld(folder, [HIDDEN], rule=SAFE)
    world.submit(ORDER)
    world.run(10)
    assert world.state(ORDER) == "in_doubt"
    world.leave()
    world.adapters["sample"] = lambda bank: replaying(bank, NEVER)
    world.set_up_again()
    world.start()
    world.run(900)
    assert "replay" not in world.rules(), world.rules()
    return world.ends("in_doubt", "silent", sends=1)


@scene
def the_clock_was_wrong_at_the_send(folder: Path) -> World:
    """The clock is ten minutes ahead at the send and corrected later; the bank knows the reference for five minutes."""
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, timedelta(minutes=5))
    world = SceneWorld(folder, [LOST], rule=rule)
    assert world.life is not None
    world.life.clock.off_ms = 600_000
    world.submit(ORDER)
    world.run(10)
    assert world.state(ORDER) == "in_doubt"
    pause(world)
    world.run(620)
    world.life.clock.off_ms = 0
    world.run(5)
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(300)
    return world.ends("in_doubt", "silent", sends=1)


@scene
def an_answer_reaches_a_node_that_lost_the_lane(folder: Path) -> World:
    """Another node took the lane over and cannot reach the bank yet. The last owner still gets an answer, which changes
    nothing: the new owner asks again."""
    adapters = {"sample": lambda bank: chosen_verdicts(money=[Fate.PENDING]).over(replaying(bank, NEVER))}
    world = World(folder, settings={"journal": {"poll_ms": 250}}, spans=SPANS, adapters=adapters)
    first = world.start("gw1")
    world.run(5)
    second = world.start("gw2")
    world.run(5)
    world.submit(ORDER)
    world.run(2)
    assert world.state(ORDER) == "pending"
    world.bank.simbank.script.add(ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=0.5))
    ask_now(first, Work.ENQUIRE)
    world.run(0.2)
    first.clock.freeze()
    world.bank.reachable = False
    world.run(60)
    assert not second.gateway.lanes["sample.main"].standing_by
    first.clock.thaw()
    world.run(2)
    assert world.state(ORDER) == "pending", "the answer came to a node that does not own the lane"
    world.bank.reachable = True
    world.run(600)
    assert world.state(ORDER) == "settled"
    assert violations(world) == [] and first.fatal + second.fatal == []
    return world


@scene
def another_senders_message_overtakes(folder: Path) -> World:
    """A message behind many orders is answered first. Its acknowledgement covers none of them: the broker redelivers
    the orders that the daemon had not stored when it died."""
    world = SceneWorld(folder)
    ids = [f"AP-{n}" for n in range(1, MOST_OF_ONE + 40)]
    for id_ in ids:
        world.submit(id_)
    world.broker.publish("payment.submit", b"{}", properties("stranger", message_id="m-of-another"))
    while not world.query("select 1 from refusals where code != ?", ""):
        world.run(0.0002)
    world.crash()
    world.start()
    world.run(300)
    lost = [id_ for id_ in ids if world.state(id_) != "settled"]
    assert lost == [], f"acknowledged and never stored: {lost}"
    broken = violations(world, calm=False)
    assert broken == [], broken
    return world
