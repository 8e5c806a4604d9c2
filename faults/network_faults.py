"""What lines do: they break, swallow, drag, and are pulled out, between a daemon and its banks, broker and database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import combinations

from faults.field import Field
from faults.kinds import Kind
from faults.links import ROLES
from faults.proxy import Proxy, Weather

Where = Callable[[Field], tuple[str, Proxy]]
Play = Callable[[Field], Awaitable[None]]


def _bank(field: Field) -> tuple[str, Proxy]:
    node = field.dice.choice(field.nodes)
    bank = field.dice.choice(sorted(node.banks))
    return f"{bank} for {node.name}", node.banks[bank]


def _broker(field: Field) -> tuple[str, Proxy]:
    node = field.dice.choice(field.nodes)
    return node.name, node.broker


def _database(field: Field) -> tuple[str, Proxy]:
    node = field.dice.choice(field.nodes)
    assert node.database is not None
    return node.name, node.database


def _cut(kind: str, where: Where) -> Play:
    async def play(field: Field) -> None:
        target, proxy = where(field)
        with field.told(kind, target) as incident:
            incident.detail = f"{proxy.cut()} connections"

    return play


def _half(kind: str, where: Where) -> Play:
    async def play(field: Field) -> None:
        target, proxy = where(field)
        with field.told(kind, target) as incident:
            proxy.halve()
            await field.until(lambda: not proxy.halves, 1.5)
            incident.detail = "not met" if proxy.halves else ""
            proxy.halve(0)

    return play


def _sky(kind: str, where: Where, weather: Weather, most_s: float, delay_s: float = 0.0) -> Play:
    async def play(field: Field) -> None:
        target, proxy = where(field)
        with field.told(kind, target), field.trouble():
            proxy.set(weather, delay_s)
            try:
                await field.between(0.5, most_s)
            finally:
                proxy.set(Weather.FAIR)

    return play


def _outage(kind: str, role: str) -> Play:
    """Nobody reaches it for a while: what is left standing must go on by itself when it is back."""

    async def play(field: Field) -> None:
        roads = [proxy for node in field.nodes for proxy in node.roads(role)]
        with field.told(kind, "all daemons"), field.trouble():
            try:
                for proxy in roads:
                    proxy.set(Weather.REFUSE)
                await field.between(4.0, 9.0)
            finally:
                for proxy in roads:
                    proxy.set(Weather.FAIR)

    return play


async def _bank_dead(field: Field) -> None:
    bank = field.dice.choice(field.grounds.banks)
    with field.told("one bank dead for everybody", bank):
        try:
            for node in field.nodes:
                node.banks[bank].set(Weather.REFUSE)
            await field.between(3.0, 7.0)
        finally:
            for node in field.nodes:
                node.banks[bank].set(Weather.FAIR)


async def _bank_killed(field: Field) -> None:
    bank = field.dice.choice(field.grounds.banks)
    with field.told("bank process killed", bank):
        await field.grounds.restart_bank(bank)


async def _partition(field: Field) -> None:
    """One daemon is cut off from some of the three things that it speaks to."""
    node = field.dice.choice(field.nodes)
    there = [role for role in ROLES if node.roads(role)]
    subsets = [some for size in range(1, len(there) + 1) for some in combinations(there, size)]
    cut_off = field.dice.choice(subsets)
    how = "cables pulled out" if node.links else "swallowed"
    with field.told("cut off", node.name, f"from {' and '.join(cut_off)}: {how}"), field.trouble():
        try:
            if node.links:
                node.links.pull(cut_off)
            else:
                for proxy in (proxy for role in cut_off for proxy in node.roads(role)):
                    proxy.set(Weather.HOLE)
            await field.between(2.0, 9.0)
        finally:
            if node.links:
                node.links.plug(cut_off)
            for proxy in node.proxies:
                proxy.set(Weather.FAIR)


def _on_server(field: Field) -> bool:
    return field.on_server


KINDS = (
    Kind("bank cut", "F-18", _cut("bank cut", _bank)),
    Kind("bank black hole", "F-17", _sky("bank black hole", _bank, Weather.HOLE, 4.0)),
    Kind("bank slow", "F-16", _sky("bank slow", _bank, Weather.SLOW, 4.0, 0.7)),
    Kind("bank unreachable", "F-37", _sky("bank unreachable", _bank, Weather.REFUSE, 4.0)),
    Kind("bank half message", "F-20", _half("bank half message", _bank)),
    Kind("bank process killed", "F-18", _bank_killed),
    Kind("one bank dead for everybody", "F-37", _bank_dead),
    Kind("broker cut", "F-08", _cut("broker cut", _broker)),
    Kind("broker black hole", "F-10", _sky("broker black hole", _broker, Weather.HOLE, 4.0)),
    Kind("broker slow", "F-10", _sky("broker slow", _broker, Weather.SLOW, 4.0, 0.3)),
    Kind("broker half frame", "F-10", _half("broker half frame", _broker)),
    Kind("broker out of reach", "F-08", _outage("broker out of reach", "broker")),
    Kind("database cut", "F-05", _cut("database cut", _database), _on_server),
    Kind("database black hole", "F-25", _sky("database black hole", _database, Weather.HOLE, 6.0), _on_server),
    Kind("database slow", "F-06", _sky("database slow", _database, Weather.SLOW, 5.0, 0.4), _on_server),
    Kind("database very slow", "F-06", _sky("database very slow", _database, Weather.SLOW, 12.0, 5.0), _on_server,
         long=True),
    Kind("database half message", "F-05", _half("database half message", _database), _on_server),
    Kind("database out of reach", "F-05", _outage("database out of reach", "database"), _on_server),
    Kind("cut off", "F-25", _partition),
)  # fmt: skip
