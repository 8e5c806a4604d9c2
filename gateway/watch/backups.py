"""Looks at the folder of backups: the newest backup, and the results of the last backup and the last restore drill.

A thread reads only names, sizes and two small files, never a backup itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, func, select
from twisted.python.failure import Failure

from gateway.kernel import backup_results
from gateway.kernel.backup_results import BackupResult
from gateway.kernel.clock import Clock
from gateway.kernel.commit.store import Store
from gateway.kernel.meters import Meters
from gateway.kernel.sql import schema
from gateway.kernel.sql.executor import Executor
from gateway.settings import Settings

AHEAD_S = 3_600.0
"""A backup whose name is further than this in the future was made while a clock was ahead. It does not count."""


@dataclass(frozen=True, slots=True)
class BackupLimits:
    """The limits for watched backups. An age of 0 is not watched. `production`: a journal without any backup is a
    trouble at once.
    """

    folder: Path
    max_age_s: float
    drill_max_age_s: float
    production: bool

    @staticmethod
    def of(settings: Settings) -> BackupLimits:
        """The limits in the settings."""
        told = settings.backups
        ages = told.max_age_hours * 3_600, told.drill_max_age_days * 86_400
        return BackupLimits(settings.backups_folder(), *ages, settings.mode == "production")


@dataclass(frozen=True, slots=True)
class SeenBackups:
    """The folder of backups as it was seen last. `newest_s` is None if it has no whole backup.

    `error` says why the folder could not be read; `began_s` is the time of the journal's first entry, None while it is
    not known.
    """

    limits: BackupLimits
    newest: str = ""
    newest_s: float | None = None
    bytes: int = 0
    backup: BackupResult | None = None
    drill: BackupResult | None = None
    error: str = ""
    began_s: float | None = None

    @property
    def drill_s(self) -> float | None:
        """The time of the last successful drill."""
        held = self.drill.held_at if self.drill is not None else ""
        return backup_results.seconds(held) if held else None


def see_backups(limits: BackupLimits, now_s: float) -> SeenBackups:
    """Look at the folder. A backup is whole if its manifest is there. A folder that is not there has no backups."""
    seen = SeenBackups(limits)
    try:
        names = set(os.listdir(limits.folder))
    except FileNotFoundError:
        return seen
    except OSError as error:
        return replace(seen, error=error.strerror or str(error))
    try:
        dated = ((at.timestamp(), name) for name in names if (at := backup_results.made_at(name)) is not None)
        whole = [one for one in dated if f"{one[1]}.json" in names and one[0] <= now_s + AHEAD_S]
        if whole:
            newest_s, newest = max(whole)
            size = (limits.folder / newest).stat().st_size
            seen = replace(seen, newest=newest, newest_s=newest_s, bytes=size)
        last = (backup_results.last(limits.folder, "backup"), backup_results.last(limits.folder, "drill"))
        return replace(seen, backup=last[0], drill=last[1])
    except OSError as error:
        return replace(seen, error=error.strerror or str(error))


def journal_began_s(conn: Connection) -> float | None:
    """When the first entry of the journal was written; None for an empty journal."""
    nodes, audit = select(schema.units.c.node), schema.audit.c
    first_ms = conn.execute(select(func.min(audit.at_ms)).where(audit.node.in_(nodes), audit.seq == 1)).scalar_one()
    return None if first_ms is None else int(first_ms) / 1000


class BackupWatch:
    """Keeps the last look at the folder, and sets the gauges. Without limits, or if both ages are 0, nothing is looked
    at.
    """

    def __init__(self, meters: Meters, clock: Clock, limits: BackupLimits | None) -> None:
        self._meters = meters
        self._clock = clock
        self._limits = limits if limits is not None and (limits.max_age_s or limits.drill_max_age_s) else None
        self._seen: SeenBackups | None = None
        self._began_s: float | None = None
        self._looking = False

    @property
    def seen(self) -> SeenBackups | None:
        """What was seen last; None before the first look."""
        return None if self._seen is None else replace(self._seen, began_s=self._began_s)

    def see_backups(self, executor: Executor, store: Store | None) -> None:
        """Look in a thread, unless the last look still runs. The journal is asked for its age once; `store` is None
        while it does not answer."""
        limits = self._limits
        if limits is None:
            return
        if self._began_s is None and store is not None:
            store.read(journal_began_s).addCallbacks(self._began, lambda _failure: None)
        if not self._looking:
            self._looking = True
            now_s = self._clock.now_ms() / 1000
            executor.run(lambda: see_backups(limits, now_s), self._looked)

    def _began(self, began_s: float | None) -> None:
        self._began_s = began_s

    def _looked(self, seen: SeenBackups | Failure) -> None:
        self._looking = False
        if isinstance(seen, Failure):
            assert self._limits is not None
            self._seen = SeenBackups(self._limits, error=str(seen.value))
            return
        self._seen, meters = seen, self._meters
        meters.backup_time.set(seen.newest_s or 0)
        meters.backup_bytes.set(seen.bytes)
        meters.backup_failed.set(int(seen.backup is not None and not seen.backup.ok))
        meters.drill_time.set(seen.drill_s or 0)
        meters.drill_failed.set(int(seen.drill is not None and not seen.drill.ok))
