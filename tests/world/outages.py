"""Random outages of a site: kills, orderly restarts, a broker and banks that are away for a while."""

from __future__ import annotations

import random

from tests.world.world import BankSite, World

KINDS = ("broker", "block", "confirm lost", "outage", "pause")


def kill(world: World, chance: random.Random) -> None:
    """Kill the daemon, often at a point of its work, and start it again after a while."""
    node = world.node
    if chance.random() < 0.5:
        world.points.kill_at = world.points.passed + chance.randrange(1, 60)
        world.run(2.0)
        world.points.kill_at = None
    if world.life is not None:
        world.crash()
    world.run(chance.choice((0.0, 1.0, 40.0)))
    world.start(node)


def restart(world: World) -> None:
    """Stop the daemon in order (SIGTERM, drain), and start it again."""
    world.leave()
    world.start(world.node)


def happen(world: World, chance: random.Random, action: str, banks: list[str]) -> None:
    """Play one outage of KINDS."""
    if action == "broker":
        for client in list(world.broker.clients):
            client.drop(chance.choice((0.1, 5.0)))
    elif action == "block":
        for client in list(world.broker.clients):
            client.block(not client.blocked)
    elif action == "confirm lost":
        world.broker.confirms_to_lose = chance.randrange(1, 4)
    elif action == "outage":
        shut(world, world.banks[chance.choice(banks)], chance.choice((2.0, 10.0, 40.0)))
    else:
        world.run(chance.random() * 30)


def shut(world: World, site: BankSite, for_s: float) -> None:
    """Close the bank's port for `for_s` seconds, and break off every connection."""

    def open_again() -> None:
        site.reachable = True

    site.reachable = False
    world.clock.callLater(for_s, open_again)
    for pipe in world.life.pipes if world.life else []:
        pipe.abortConnection()
