"""Scenes in which the very same bytes leave again, or must not: see `scenes`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from gateway.core.states import Work
from gateway.simbank.faults import BankFault, Scripted, Touch
from protocols.bank import Replay, ReplayRule
from protocols.canon.outcome import Fate
from tests.world.mouth import mouth
from tests.world.stage import (
    HIDDEN,
    LOST,
    NO_WORD,
    ORDER,
    QUARANTINE_S,
    SAFE,
    Stage,
    entry,
    no_permit,
    pause,
    resolve,
    scene,
)
from tests.world.world import World


@scene
def repeated_and_booked(folder: Path) -> World:
    """The first copy got lost; the bank knows references, so the very same bytes leave once more."""
    world = Stage(folder, [LOST], rule=SAFE)
    world.submit(ORDER)
    world.run(300)
    return world.ends("settled", "silent", "doubt_not_found", "replay", "sent_settled", sends=2)


@scene
def repeated_after_asking(folder: Path) -> World:
    """A bank that wants to be asked first, twice, after its quarantine."""
    world = Stage(folder, [LOST], rule=ReplayRule(Replay.QUERY_FIRST, timedelta(seconds=QUARANTINE_S), 2))
    world.submit(ORDER)
    world.run(600)
    return world.ends("settled", "replay", "sent_settled", sends=2)


@scene
def repeated_and_known(folder: Path) -> World:
    """The first copy was booked where nobody could see it: the repeat is refused as one."""
    world = Stage(folder, [Scripted(BankFault.HIDE, seconds=45.0)], rule=SAFE)
    world.submit(ORDER)
    world.run(900)
    return world.ends("settled", "replay", "replay_known", sends=2)


@scene
def a_repeat_does_not_leave(folder: Path) -> World:
    world = Stage(folder, [LOST], rule=SAFE)
    no_permit(world, 2)
    world.submit(ORDER)
    world.run(600)
    return world.ends("settled", "replay", "replay_not_sent", sends=2)


@scene
def a_repeat_is_refused(folder: Path) -> World:
    """The answer to a repeat is about that copy alone: an earlier one may be booked."""
    world = Stage(folder, [HIDDEN], rule=SAFE, says=mouth(repeat=[Fate.FAILED], fate=[Fate.NOT_FOUND] * 4))
    world.submit(ORDER)
    world.run(30)
    assert "repeat_refused" in world.rules(), world.rules()
    world.act(entry)
    world.run(60)
    return world.ends("settled", "replay", "repeat_refused", sends=2)


@scene
def a_no_about_an_earlier_copy(folder: Path) -> World:
    """Two copies left; a no that was asked for before the second had time to arrive is not about both."""
    world = Stage(folder, [LOST, LOST], rule=SAFE, says=mouth(fate=[None, None, None, None, Fate.FAILED]))
    world.submit(ORDER)
    world.run(900)
    assert "asked_failed_overtaken" in world.rules(), world.rules()
    return world


@scene
def a_word_while_a_repeat_is_under_way(folder: Path) -> World:
    world = Stage(folder, [LOST, Scripted(BankFault.DELAY, touch=Touch.MONEY, seconds=40.0)], rule=SAFE)
    world.submit(ORDER)
    while world.state(ORDER) != "sending" or "replay" not in world.rules():
        world.run(0.5)
    world.ask_now(Work.ENQUIRE)
    world.run(100)
    return world.ends("settled", "replay", "sent_settled", sends=2)


@scene
def an_old_no_while_a_repeat_is_under_way(folder: Path) -> World:
    """A slow enquiry of before the repeat says that the bank does not know it."""
    faults = [LOST, Scripted(BankFault.DELAY, touch=Touch.ENQUIRY, seconds=50.0, skip=2),
              Scripted(BankFault.DELAY, touch=Touch.MONEY, seconds=55.0)]  # fmt: skip
    world = Stage(folder, faults, rule=SAFE, says=mouth(fate=[None, None, None, Fate.NOT_FOUND]))
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
    """Two copies left, the second was booked; a slow answer of before says no about the first."""
    faults = [LOST, Scripted(BankFault.DELAY, touch=Touch.ENQUIRY, seconds=50.0, skip=2)]
    world = Stage(folder, faults, rule=SAFE, says=mouth(fate=[None] * 4 + [Fate.FAILED]))
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
    """The bank knows references for a minute; the lane was paused when the repeat was due."""
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, timedelta(seconds=80))
    world = Stage(folder, [LOST], rule=rule)
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
    world = Stage(folder, [LOST], rule=SAFE)
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
    world = Stage(folder, [LOST, LOST], rule=rule)
    world.submit(ORDER)
    world.run(600)
    return world.ends("escalated", "replay", "repeats_used_up", sends=2)


@scene
def enough_repeats_and_no_word(folder: Path) -> World:
    rule = ReplayRule(Replay.REPLAY_SAFE, timedelta(seconds=QUARANTINE_S), 2, most=1)
    world = Stage(folder, [LOST, LOST], rule=rule)
    world.submit(ORDER)
    while world.rules()["silent"] < 2:
        world.run(1)
    for _ in range(6):
        world.bank.simbank.script.add(NO_WORD)
    world.run(600)
    return world.ends("escalated", "replay", "repeats_used_up_in_vain", sends=2)
