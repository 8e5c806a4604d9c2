"""Shards: processes with the same settings on one journal. Each serves its part of the lanes.

A shard is a node like any other. Its name, state folder, socket and watch port are those of the settings with its
number, so that one set of files serves all shards. Any shard takes orders in; the lane's own shard sends them.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.settings.tables import LaneSettings, Settings
from gateway.settings_files import Shard, shard_socket, state_folder


def narrowed(settings: Settings) -> Settings:
    """These settings for their shard, with its own name, state folder, socket and watch port. The journal's backups
    are in one folder for all."""
    shard = Shard.of(settings.shard)
    if shard.count == 1:
        return settings
    watch, control = settings.watch, settings.control
    socket = None if control.socket is None else shard_socket(control.socket, shard.number)
    return settings.model_copy(
        update={
            "node": f"{settings.node}_{shard.number}",
            "state_dir": state_folder(settings.state_dir, shard.number),
            "watch": watch.model_copy(update={"port": watch.port and watch.port + shard.number - 1}),
            "backups": settings.backups.model_copy(update={"folder": settings.backups_folder()}),
            "control": control.model_copy(update={"socket": socket}),
        }
    )


def lanes_of(settings: Settings) -> dict[str, tuple[str, LaneSettings]]:
    """The lanes that a process with these settings serves, by full name, with the bank's name.

    Lanes are assigned in turn in the order of their names. Lanes that log in at one bank with the same credentials stay
    together, because they share the pace that the bank allows a login.
    """
    shard = Shard.of(settings.shard)
    groups = list(_logins(settings).values())
    dealt = {name for group in groups[shard.number - 1 :: shard.count] for name in group}
    return {name: (bank, lane) for name, bank, lane in _all(settings) if name in dealt}


def logins_to_deal(settings: Settings) -> int:
    """The largest number of shards of which each can have a lane."""
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
