"""Scenes of repeats: the same bytes are sent again, or must not be. See `scenes`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.kernel.core.states import Work
from gateway.simbank.faults import BankFault, ExchangeKind, ScriptedFault
from protocols.bank import Replay, ReplayRule
from protocols.canon.outcome import Fate
from tests.world.chosen_verdicts import chosen_verdicts
from tests.world.stage import (
    HIDDEN,
    LOST,
    NO_WORD,
    ORDER,
    QUARANTINE_S,
    SAFE,
    SceneWorld,
    entry,
    no_permit,
    pause,
    resolve,
    scene,
)
from tests.world.world import World


@scene
def repeated_and_booked(folder: Path) -> World:
    """The first copy was lost. The bank recognises references, so exactly the same bytes are sent once more."""
    world = SceneWorld(folder, [LOST], rule=SAFE)
    world.submit(ORDER)
    world.run(300)
    return world.ends("settled", "silent", "doubt_not_found", "replay", "sent_settled", sends=2)


@scene
def repeated_after_asking(folder: Path) -> World:
    """The bank must be asked first, twice, after its quarantine."""
    world = SceneWorld(folder, [LOST], rule=ReplayRule(Replay.QUERY_FIRST, timedelta(seconds=QUARANTINE_S), 2))
    world.submit(ORDER)
    world.run(600)
    return world.ends("settled", "replay", "sent_settled", sends=2)


@scene
def repeated_and_known(folder: Path) -> World:
    """The first copy was booked but not visible to enquiries: the bank refuses the repeat as a duplicate."""
    world = SceneWorld(folder, [ScriptedFault(BankFault.HIDE, seconds=45.0)], rule=SAFE)
    world.submit(ORDER)
    world.run(900)
    return world.ends("settled", "replay", "replay_known", sends=2)


@scene
def a_repeat_does_not_leave(folder: Path) -> World:
    world = SceneWorld(folder, [LOST], rule=SAFE)
    no_permit(world, 2)
    world.submit(ORDER)
    world.run(600)
    return world.ends("settled", "replay", "replay_not_sent", sends=2)


@scene
def a_repeat_is_refused(folder: Path) -> World:
    """The answer to a repeat is about that copy alone: an earlier copy may be booked."""
    world = SceneWorld(
        folder, [HIDDEN], rule=SAFE, says=chosen_verdicts(repeat=[Fate.FAILED], fate=[Fate.NOT_FOUND] * 4)
    )
    world.submit(ORDER)
    world.run(30)
    assert "repeat_refused" in world.rules(), world.rules()
    world.act(entry)
    world.run(60)
    return world.ends("settled", "replay", "repeat_refused", sends=2)


@scene
def a_no_about_an_earlier_copy(folder: Path) -> World:
    """Two copies were sent. A refusal that was asked for before the second had time to arrive does not cover both."""
    world = SceneWorld(
        folder, [LOST, LOST], rule=SAFE, says=chosen_verdicts(fate=[None, None, None, None, Fate.FAILED])
    )
    world.submit(ORDER)
    world.run(900)
    assert "asked_failed_overtaken" in world.rules(), world.rules()
    return world


@scene
def a_word_while_a_repeat_is_under_way(folder: Path) -> World:
    world = SceneWorld(
        folder, [LOST, ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=40.0)], rule=SAFE
    )
    world.submit(ORDER)
    while world.state(ORDER) != "sending" or "replay" not in world.rules():
        world.run(0.5)
    world.ask_now(Work.ENQUIRE)
    world.run(100)
    return world.ends("settled", "replay", "sent_settled", sends=2)


@scene
def an_old_no_while_a_repeat_is_under_way(folder: Path) -> World:
    """A slow enquiry from before the repeat says that the bank does not know the payment."""
    faults = [
        LOST,
        ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=50.0, skip=2),
        ScriptedFault(BankFault.DELAY, touch=ExchangeKind.MONEY, seconds=55.0),
    ]
    world = SceneWorld(folder, faults, rule=SAFE, says=chosen_verdicts(fate=[None, None, None, Fate.NOT_FOUND]))
    world.submit(ORDER)
    world.run(12)
    world.ask_now(Work.ENQUIRE)
    world.run(14)
    world.ask_now(Work.ENQUIRE)
    world.run(300)
    assert "sent_overtaken" in world.rules(), world.rules()
    return world


@scene
def settled_and_an_old_no(folder: Path) -> World:
    """Two copies were sent and the second was booked. A slow earlier answer refuses the first."""
    faults = [LOST, ScriptedFault(BankFault.DELAY, touch=ExchangeKind.ENQUIRY, seconds=50.0, skip=2)]
    world = SceneWorld(folder, faults, rule=SAFE, says=chosen_verdicts(fate=[None] * 4 + [Fate.FAILED]))
    world.submit(ORDER)
    world.run(12)
    world.ask_now(Work.ENQUIRE)
    world.run(14)
    world.ask_now(Work.ENQUIRE)
    world.run(300)
    assert "settled_overtaken" in world.rules(), world.rules()
    return world


@scene
def the_window_closes_before_the_repeat(folder: Path) -> World:
    """The bank recognises references for a minute. The lane was paused when the repeat was due."""
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, timedelta(seconds=80))
    world = SceneWorld(folder, [LOST], rule=rule)
    world.submit(ORDER)
    world.run(10)
    pause(world)
    world.run(90)
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(300)
    return world.ends("in_doubt", "replay_refused", sends=1)


@scene
def a_repeat_comes_too_late(folder: Path) -> World:
    """Persons decide while the repeat waits for its commit."""
    world = SceneWorld(folder, [LOST], rule=SAFE)
    world.submit(ORDER)
    world.run(10)
    pause(world)
    world.run(50)
    world.act(resolve(Fate.FAILED))
    world.run(0)
    assert world.life is not None
    world.life.gateway.lanes["sample.main"].resume("test")
    world.run(120)
    assert "replay" not in world.rules()
    return world.ends("failed", "resolved_failed")


@scene
def enough_repeats(folder: Path) -> World:
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, most=1)
    world = SceneWorld(folder, [LOST, LOST], rule=rule)
    world.submit(ORDER)
    world.run(600)
    return world.ends("escalated", "replay", "repeats_used_up", sends=2)


@scene
def enough_repeats_and_no_word(folder: Path) -> World:
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, most=1)
    world = SceneWorld(folder, [LOST, LOST], rule=rule)
    world.submit(ORDER)
    while world.rules()["silent"] < 2:
        world.run(1)
    for _ in range(6):
        world.bank.simbank.script.add(NO_WORD)
    world.run(600)
    return world.ends("escalated", "replay", "repeats_used_up_in_vain", sends=2)
