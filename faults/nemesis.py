"""Schedules the faults: kills, and several parallel streams of incidents, drawn from a seed."""

from __future__ import annotations

import signal
from collections import Counter

from faults import broker_faults, copies, machine, network_faults, process_faults, storage
from faults.kinds import Kind
from faults.proxy import LinkState
from faults.running_system import RunningSystem

PAUSE_S = (0.3, 2.0)
LONGEST_WAIT_S = 15.0
"""How long an incident waits for delayed kills. On a busy machine they are always delayed."""


def kinds(crash_loop: int) -> tuple[Kind, ...]:
    """Every kind of incident."""
    named = (network_faults, broker_faults, storage, copies, process_faults, machine)
    return (*(kind for part in named for kind in part.KINDS), process_faults.crash_loop(crash_loop))


class Nemesis:
    """Plays the faults of a campaign: kills, and several parallel streams of incidents, drawn from a seed."""

    def __init__(
        self,
        system: RunningSystem,
        *,
        long: bool,
        crash_loop: int = 5,
        zombies: int = 0,
        kills: int = 0,
        within_s: float = 1.0,
    ) -> None:
        """Incidents wait while fewer kills or zombie rounds have happened than requested within `within_s`, but at most
        LONGEST_WAIT_S."""
        self._system = system
        self._kills, self._within_s = kills, within_s
        self._begun_s = system.clock.monotonic_s()
        self._kinds = {kind.name: kind for kind in kinds(crash_loop) if kind.fits(system) and (long or not kind.long)}
        self._bag: list[str] = []
        self._met: Counter[str] = Counter()
        self._zombies = zombies

    @property
    def missing(self) -> list[str]:
        """The kinds of incident that have not been played yet."""
        return sorted(self._kinds.keys() - self._met)

    def matrix(self) -> list[tuple[str, str, int]]:
        """The lines of the fault matrix, each with a kind of incident and how often it was played."""
        return sorted((kind.faults, name, self._met[name]) for name, kind in self._kinds.items())

    async def kill_for_ever(self, mean_gap_s: float) -> None:
        """Kill daemons one after the other without end. Some are killed as soon as they have begun."""
        system = self._system
        while not system.stopping:
            node = await system.leader(free=True)
            if node is None:
                continue
            begun_s = system.clock.monotonic_s()
            await system.between(0.02, mean_gap_s)
            if system.dice.random() < 0.5:
                # A burst of orders just before, so that the daemon dies with work under way.
                system.erp.hurry(10)
                await system.between(0.0, 0.25)
            async with system.hands_on(node):
                if node.child.ended() is None and not system.stopping:
                    await system.kill(node, f"after {system.clock.monotonic_s() - begun_s:.2f} s")

    async def faults_for_ever(self) -> None:
        """Play incidents one after the other without end; each kind once before any is repeated."""
        clock = self._system.clock
        played_s = clock.monotonic_s()
        while True:
            await self._system.between(*PAUSE_S)
            if self._system.stopping:
                return
            if self._behind() and clock.monotonic_s() < played_s + LONGEST_WAIT_S:
                continue
            if not self._bag:
                self._bag = sorted(self._kinds)
                self._system.dice.shuffle(self._bag)
            name = self._bag.pop()
            await self._kinds[name].play(self._system)
            self._met[name] += 1
            played_s = clock.monotonic_s()

    def _behind(self) -> bool:
        """Whether fewer kills or zombie rounds were played than planned by now, because incidents delayed them."""
        system = self._system
        share = min(1.0, (system.clock.monotonic_s() - self._begun_s) / self._within_s)
        return system.diary.kills < share * self._kills or len(system.grounds.zombies) < share * self._zombies

    async def haunt(self) -> None:
        """Suspend daemons one after the other until the requested number of zombies is reached."""
        system = self._system
        while len(system.grounds.zombies) < self._zombies and not system.stopping:
            await process_faults.zombie(system)
            await system.wait(0.5)

    def calm(self) -> None:
        """End all faults: proxies carry again, links are up, and no daemon is suspended."""
        self._system.stopping = True
        for node in self._system.nodes:
            node.child.signal(signal.SIGCONT)
            for proxy in node.proxies:
                proxy.halve(0)
                proxy.lose(None)
                proxy.shuts(False)
                proxy.set(LinkState.FAIR)
            if node.links:
                node.links.plug()
