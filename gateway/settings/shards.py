"""Shards: processes with the same settings over one journal, each of which serves its part of the lanes.

A shard is a node like any other. Its name, state folder, socket and watch port are those of the settings with its
number, so that one set of files does for all. Any shard takes orders in; the lane's own shard sends them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.settings.tables import LaneSettings, Settings

SHARD_VARIABLE: Final = "BANKGW__SHARD"
"""The environment variable that says which shard a command means, as any setting may be given by one."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The `number`th of `count`; numbers begin with 1."""

    number: int
    count: int

    @staticmethod
    def of(text: str) -> Shard:
        """Read `k/n`. Raises ValueError."""
        found = re.fullmatch(r"([0-9]{1,2})/([0-9]{1,2})", text)
        if found is None or not 1 <= int(found.group(1)) <= int(found.group(2)):
            raise ValueError("write k/n, such as 1/2 for the first of two shards")
        return Shard(int(found.group(1)), int(found.group(2)))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def narrowed(settings: Settings) -> Settings:
    """These settings as their shard has them: a name, a state folder, a socket and a watch port of its own."""
    shard = Shard.of(settings.shard)
    if shard.count == 1:
        return settings
    watch, control = settings.watch, settings.control
    socket = None if control.socket is None else shard_socket(control.socket, shard.number)
    return settings.model_copy(update={
        "node": f"{settings.node}_{shard.number}", "state_dir": state_folder(settings.state_dir, shard.number),
        "watch": watch.model_copy(update={"port": watch.port and watch.port + shard.number - 1}),
        "control": control.model_copy(update={"socket": socket}),
    })  # fmt: skip


def state_folder(state_dir: Path, number: int) -> Path:
    """The state folder of one shard, within that of the settings."""
    return state_dir / f"shard-{number}"


def shard_socket(socket: Path, number: int) -> Path:
    """The control socket of one shard where the settings name one for all."""
    return socket.with_name(f"{socket.stem}-{number}{socket.suffix}")


def lanes_of(settings: Settings) -> dict[str, tuple[str, LaneSettings]]:
    """The lanes that a process with these settings serves, by full name, with the bank's name.

    Dealt in turn in the order of their names. Lanes that log in at one bank with the same credentials stay together,
    because they share the pace that the bank allows a login.
    """
    shard = Shard.of(settings.shard)
    groups = list(_logins(settings).values())
    dealt = {name for group in groups[shard.number - 1 :: shard.count] for name in group}
    return {name: (bank, lane) for name, bank, lane in _all(settings) if name in dealt}


def logins_to_deal(settings: Settings) -> int:
    """How many shards can have a lane at most."""
    return len(_logins(settings))


def _logins(settings: Settings) -> dict[tuple[str, str], list[str]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for name, bank, lane in sorted(_all(settings), key=lambda one: one[0]):
        login = ",".join(f"{key}={secret!r}" for key, secret in sorted(lane.credentials.items()))
        groups.setdefault((bank, login), []).append(name)
    return groups


def _all(settings: Settings) -> Iterator[tuple[str, str, LaneSettings]]:
    for bank_name, bank in settings.banks.items():
        for lane_name, lane in bank.lanes.items():
            yield f"{bank_name}.{lane_name}", bank_name, lane
