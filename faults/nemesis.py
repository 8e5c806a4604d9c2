"""Who does it, and when: kills without end, and streams of incidents side by side, drawn from a seed."""

from __future__ import annotations

import signal
from collections import Counter

from faults import copies, machine, mail, network_faults, process_faults, storage
from faults.field import Field
from faults.kinds import Kind
from faults.proxy import Weather

PAUSE_S = (0.3, 2.0)


def kinds(crash_loop: int) -> tuple[Kind, ...]:
    """Every kind of incident there is."""
    named = (network_faults, mail, storage, copies, process_faults, machine)
    return (*(kind for part in named for kind in part.KINDS), process_faults.crash_loop(crash_loop))


class Nemesis:
    """See the module."""

    def __init__(
        self, field: Field, *, long: bool, crash_loop: int = 5, zombies: int = 0, kills: int = 0, within_s: float = 1.0
    ) -> None:
        """Incidents wait while there were fewer kills, or rounds of zombies, than were asked for within `within_s`."""
        self._field = field
        self._kills, self._within_s = kills, within_s
        self._begun_s = field.clock.monotonic_s()
        self._kinds = {kind.name: kind for kind in kinds(crash_loop) if kind.fits(field) and (long or not kind.long)}
        self._bag: list[str] = []
        self._met: Counter[str] = Counter()
        self._zombies = zombies

    @property
    def missing(self) -> list[str]:
        """Kinds that have not been played yet."""
        return sorted(self._kinds.keys() - self._met)

    def matrix(self) -> list[tuple[str, str, int]]:
        """Line of the fault matrix, kind of incident, how often it was played."""
        return sorted((kind.faults, name, self._met[name]) for name, kind in self._kinds.items())

    async def kill_for_ever(self, mean_gap_s: float) -> None:
        """One kill after the other; some lives end as soon as they have begun."""
        field = self._field
        while not field.stopping:
            node = await field.leader(free=True)
            if node is None:
                continue
            begun_s = field.clock.monotonic_s()
            await field.between(0.02, mean_gap_s)
            if field.dice.random() < 0.5:
                # A rush of orders just before, so that the daemon dies with its hands full.
                field.erp.hurry(10)
                await field.between(0.0, 0.25)
            async with field.hands_on(node):
                if node.child.ended() is None and not field.stopping:
                    await field.kill(node, f"after {field.clock.monotonic_s() - begun_s:.2f} s")

    async def weather_for_ever(self) -> None:
        """One incident after the other; each kind once before any comes again."""
        while True:
            await self._field.between(*PAUSE_S)
            if self._field.stopping:
                return
            if self._behind():
                continue
            if not self._bag:
                self._bag = sorted(self._kinds)
                self._field.dice.shuffle(self._bag)
            name = self._bag.pop()
            await self._kinds[name].play(self._field)
            self._met[name] += 1

    def _behind(self) -> bool:
        """Whether incidents have kept the daemons from being killed, or haunted, as often as was asked for."""
        field = self._field
        share = min(1.0, (field.clock.monotonic_s() - self._begun_s) / self._within_s)
        return field.diary.kills < share * self._kills or len(field.grounds.zombies) < share * self._zombies

    async def haunt(self) -> None:
        """One zombie after the other, until there were as many as were asked for."""
        field = self._field
        while len(field.grounds.zombies) < self._zombies and not field.stopping:
            await process_faults.zombie(field)
            await field.wait(0.5)

    def calm(self) -> None:
        """Every proxy carries again, every cable is in, and nobody stands still."""
        self._field.stopping = True
        for node in self._field.nodes:
            node.child.signal(signal.SIGCONT)
            for proxy in node.proxies:
                proxy.halve(0)
                proxy.lose(None)
                proxy.shuts(False)
                proxy.set(Weather.FAIR)
            if node.links:
                node.links.plug()
