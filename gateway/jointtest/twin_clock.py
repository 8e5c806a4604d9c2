"""Moves a twin's business date for the cases that ask about a past day.

The gateway's clock stays. For the change of the day the twin begins a day behind: the payment is booked on its
yesterday, then its clock comes back. For what the bank makes of past days only, the twin goes a day ahead for the
question. Each move is an act in the run's journal before the twin hears of it; no bank and no production is ever told.

At some banks what is booked in the evening carries the next accounting date. So in the evening the twin's clock goes
back to noon of that day: a case has the same result at every hour.
"""

from __future__ import annotations

from datetime import datetime

from gateway.jointtest.player import CHINA, Player, RunContext
from gateway.jointtest.verdicts import SeenAt
from gateway.simbank import control_line
from gateway.simbank.control_line import NobodyListens

ACT = "twin_clock"
DAY_S = 86_400
EVENING_HOUR = 17
"""The hour from which a booking may carry the next accounting date."""
_NOON_HOUR = 12


async def move(player: Player, days: int) -> bool:
    """Set the twin's clock so many days ahead of ours, or behind it, in the evening to noon of that earlier day. False
    if there is no twin, or if its books forbid it."""
    world = player.world
    if world.plan.seen is not SeenAt.TWIN or world.plan.production:
        return False
    try:
        await _told(world, days, _evening_s(world.now()) if days < 0 else 0)
    except NobodyListens:
        # The twin's clock would be earlier than its own entries.
        world.store.act(ACT, world.by, days=0, refused=days)
        return False
    return True


async def back(world: RunContext) -> None:
    """Reset the twin's clock if an interrupted session left it changed. Raises NobodyListens."""
    if world.plan.seen is SeenAt.TWIN and _standing(world):
        await _told(world, 0)


async def _told(world: RunContext, days: int, back_s: int = 0) -> None:
    access = world.plan.told.twin
    assert access is not None
    ahead_s = days * DAY_S - back_s
    world.store.act(ACT, world.by, days=days, ahead_s=ahead_s)
    command = {"do": "clock", "ahead_s": ahead_s}
    await world.elsewhere(control_line.tell, world.plan.path(access.control), command)


def _evening_s(now: datetime) -> int:
    """The seconds since noon in China, if it is evening there; else 0."""
    local = now.astimezone(CHINA)
    since_noon = local - local.replace(hour=_NOON_HOUR, minute=0, second=0, microsecond=0)
    return int(since_noon.total_seconds()) if local.hour >= EVENING_HOUR else 0


def _standing(world: RunContext) -> int:
    """The number of days by which the journal says that the twin's clock is ahead."""
    return next((int(one["days"]) for one in reversed(world.store.run.acts) if one.get("act") == ACT), 0)
