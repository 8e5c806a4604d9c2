"""Has the gateway write the digests of each exchange on the lanes under test into its audit trail, and keeps them.

Bytes of an order stand in the gateway's journal. Probes, sign-ons and enquiries of no order do not: the daemon makes
their digests from the lane's own trace, writes them into the audit trail and returns them. The files of a try keep
what came since the try before, so the pack and the trail have the same list.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import DeferredLock

from gateway.control.client import NoDaemon, Refused
from gateway.jointtest.pack_check import OpenedPack
from gateway.jointtest.player import RunContext, keep

MISSED = "exchanges_missed"
"""The act in the run's journal that says why the audit trail did not get the digests of a lane's exchanges."""
_FILE = re.compile(r"evidence/[^/]+/lane-exchanges-[0-9]+\.json")


class LaneExchanges:
    """Records the exchanges on the lanes of a run's bank, each once. Tries that run side by side take turns."""

    def __init__(self, world: RunContext) -> None:
        self._world = world
        self._last: dict[str, int] = {}
        self._missed: set[str] = set()
        self._turn = DeferredLock()

    async def record(self, folder: Path) -> None:
        """Record what happened since the last call, and write it into a try's folder. Without a daemon, or where a lane
        keeps no exchanges, the run goes on, and its journal says so."""
        await self._turn.acquire()
        try:
            found = [one for lane in await self._lanes() for one in await self._of_lane(lane)]
        finally:
            self._turn.release()
        if found:
            number = len(list(folder.glob("lane-exchanges-*.json"))) + 1
            keep(folder / f"lane-exchanges-{number}.json", json.dumps(found, ensure_ascii=False, indent=1).encode())

    async def _lanes(self) -> list[str]:
        world = self._world
        try:
            lanes = (await world.elsewhere(world.desk.get, "lanes"))["lanes"]
        except (NoDaemon, Refused) as error:
            self._not_recorded("", str(error))
            return []
        return [one["lane"] for one in lanes if one["lane"].partition(".")[0] == world.plan.bank]

    async def _of_lane(self, lane: str) -> list[Mapping[str, Any]]:
        """The digests of the lane's new exchanges. The daemon gives them by pages."""
        world, found = self._world, list[Mapping[str, Any]]()
        while True:
            known = {"after": self._last[lane]} if lane in self._last else {}
            try:
                said = await world.elsewhere(world.desk.post, "joint-runs", world.store.run.id, "lanes", lane, **known)
            except (NoDaemon, Refused) as error:
                self._not_recorded(lane, str(error))
                return found
            self._last[lane] = int(said["last"])
            found += said["exchanges"]
            if not said["exchanges"]:
                return found

    def _not_recorded(self, lane: str, why: str) -> None:
        """Write an act into the run's journal, once for each lane."""
        if lane not in self._missed:
            self._missed.add(lane)
            self._world.store.act(MISSED, self._world.by, lane=lane, why=why)


@dataclass(frozen=True, slots=True)
class ExchangeComparison:
    """The number of events that pack and audit trail both have, and every difference."""

    agreed: int
    differences: tuple[str, ...]


def against_exchanges(packed: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> ExchangeComparison:
    """Compare the events in a pack with those in the audit trail about its run. The trail may go on after the pack."""
    ours, theirs = ({_key(one): one for one in some} for some in (packed, told))
    last = max((str(one["at"]) for one in packed), default="")
    wrong = [
        f"{_named(one)}: the gateway's audit trail has no such digests"
        for key, one in ours.items()
        if key not in theirs
    ]
    wrong += [
        f"{_named(one)}: the gateway's audit trail has this exchange, and the pack has not"
        for key, one in theirs.items()
        if key not in ours and str(one["at"]) < last
    ]
    return ExchangeComparison(len(ours.keys() & theirs.keys()), tuple(wrong))


def packed_exchanges(opened: OpenedPack) -> Iterator[Mapping[str, Any]]:
    """The events of lanes that a pack has."""
    with zipfile.ZipFile(opened.file) as pack:
        for name in opened.digests:
            if _FILE.fullmatch(name):
                yield from json.loads(pack.read(name))


def _key(one: Mapping[str, Any]) -> str:
    return json.dumps(one, sort_keys=True)


def _named(one: Mapping[str, Any]) -> str:
    return f"lane {one['lane']}, event {one['number']} ({one['purpose'] or '-'} {one['event']}) of {one['at']}"
