"""Network faults between a daemon and its banks, broker and database: cut, black hole, slow, unplugged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import combinations

from faults.kinds import Kind
from faults.links import ROLES
from faults.proxy import LinkState, Proxy
from faults.running_system import RunningSystem

Where = Callable[[RunningSystem], tuple[str, Proxy]]
Play = Callable[[RunningSystem], Awaitable[None]]


def _bank(system: RunningSystem) -> tuple[str, Proxy]:
    node = system.dice.choice(system.nodes)
    bank = system.dice.choice(sorted(node.banks))
    return f"{bank} for {node.name}", node.banks[bank]


def _broker(system: RunningSystem) -> tuple[str, Proxy]:
    node = system.dice.choice(system.nodes)
    return node.name, node.broker


def _database(system: RunningSystem) -> tuple[str, Proxy]:
    node = system.dice.choice(system.nodes)
    assert node.database is not None
    return node.name, node.database


def _cut(kind: str, where: Where) -> Play:
    async def play(system: RunningSystem) -> None:
        target, proxy = where(system)
        with system.told(kind, target) as incident:
            incident.detail = f"{proxy.cut()} connections"

    return play


def _half(kind: str, where: Where) -> Play:
    async def play(system: RunningSystem) -> None:
        target, proxy = where(system)
        with system.told(kind, target) as incident:
            proxy.halve()
            await system.until(lambda: not proxy.halves, 1.5)
            incident.detail = "not met" if proxy.halves else ""
            proxy.halve(0)

    return play


def _link(kind: str, where: Where, state: LinkState, most_s: float, delay_s: float = 0.0) -> Play:
    async def play(system: RunningSystem) -> None:
        target, proxy = where(system)
        with system.told(kind, target), system.trouble():
            proxy.set(state, delay_s)
            try:
                await system.between(0.5, most_s)
            finally:
                proxy.set(LinkState.FAIR)

    return play


def _outage(kind: str, role: str) -> Play:
    """Make the play that cuts all daemons off from one peer for a while. They must go on by themselves afterwards."""

    async def play(system: RunningSystem) -> None:
        roads = [proxy for node in system.nodes for proxy in node.roads(role)]
        with system.told(kind, "all daemons"), system.trouble():
            try:
                for proxy in roads:
                    proxy.set(LinkState.REFUSE)
                await system.between(4.0, 9.0)
            finally:
                for proxy in roads:
                    proxy.set(LinkState.FAIR)

    return play


async def _bank_dead(system: RunningSystem) -> None:
    bank = system.dice.choice(system.grounds.banks)
    with system.told("one bank dead for everybody", bank):
        try:
            for node in system.nodes:
                node.banks[bank].set(LinkState.REFUSE)
            await system.between(3.0, 7.0)
        finally:
            for node in system.nodes:
                node.banks[bank].set(LinkState.FAIR)


async def _bank_killed(system: RunningSystem) -> None:
    bank = system.dice.choice(system.grounds.banks)
    with system.told("bank process killed", bank):
        await system.grounds.restart_bank(bank)


async def _partition(system: RunningSystem) -> None:
    """Cut one daemon off from some of its three peers."""
    node = system.dice.choice(system.nodes)
    there = [role for role in ROLES if node.roads(role)]
    subsets = [some for size in range(1, len(there) + 1) for some in combinations(there, size)]
    cut_off = system.dice.choice(subsets)
    how = "cables pulled out" if node.links else "swallowed"
    with system.told("cut off", node.name, f"from {' and '.join(cut_off)}: {how}"), system.trouble():
        try:
            if node.links:
                node.links.pull(cut_off)
            else:
                for proxy in (proxy for role in cut_off for proxy in node.roads(role)):
                    proxy.set(LinkState.HOLE)
            await system.between(2.0, 9.0)
        finally:
            if node.links:
                node.links.plug(cut_off)
            for proxy in node.proxies:
                proxy.set(LinkState.FAIR)


def _on_server(system: RunningSystem) -> bool:
    return system.on_server


KINDS = (
    Kind("bank cut", "F-18", _cut("bank cut", _bank)),
    Kind("bank black hole", "F-17", _link("bank black hole", _bank, LinkState.HOLE, 4.0)),
    Kind("bank slow", "F-16", _link("bank slow", _bank, LinkState.SLOW, 4.0, 0.7)),
    Kind("bank unreachable", "F-37", _link("bank unreachable", _bank, LinkState.REFUSE, 4.0)),
    Kind("bank half message", "F-20", _half("bank half message", _bank)),
    Kind("bank process killed", "F-18", _bank_killed),
    Kind("one bank dead for everybody", "F-37", _bank_dead),
    Kind("broker cut", "F-08", _cut("broker cut", _broker)),
    Kind("broker black hole", "F-10", _link("broker black hole", _broker, LinkState.HOLE, 4.0)),
    Kind("broker slow", "F-10", _link("broker slow", _broker, LinkState.SLOW, 4.0, 0.3)),
    Kind("broker half frame", "F-10", _half("broker half frame", _broker)),
    Kind("broker out of reach", "F-08", _outage("broker out of reach", "broker")),
    Kind("database cut", "F-05", _cut("database cut", _database), _on_server),
    Kind("database black hole", "F-25", _link("database black hole", _database, LinkState.HOLE, 6.0), _on_server),
    Kind("database slow", "F-06", _link("database slow", _database, LinkState.SLOW, 5.0, 0.4), _on_server),
    Kind(
        "database very slow",
        "F-06",
        _link("database very slow", _database, LinkState.SLOW, 12.0, 5.0),
        _on_server,
        long=True,
    ),
    Kind("database half message", "F-05", _half("database half message", _database), _on_server),
    Kind("database out of reach", "F-05", _outage("database out of reach", "database"), _on_server),
    Kind("cut off", "F-25", _partition),
)
