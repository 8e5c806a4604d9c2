"""The settings' table of backups: their folder, and the age from which the daemon reports one as too old."""

from __future__ import annotations

from pydantic import Field

from gateway.settings.strict_table import StrictTable
from gateway.settings.values import SettingsPath


class BackupSettings(StrictTable):
    """How the daemon watches backups and restore drills. `bankgw backup` and `bankgw restore --drill` make them."""

    folder: SettingsPath | None = Field(
        None, description="Folder of the backups, readable by the daemon's user; default: `backups` in `state_dir`."
    )
    max_age_hours: float = Field(
        26.0,
        ge=0,
        le=8_760,
        description="Hours after which the newest backup counts as too old. 0: backups are not watched, as where the "
        "database's own means make them.",
    )
    drill_max_age_days: float = Field(
        32.0,
        ge=0,
        le=3_660,
        description="Days after which the last restore drill that held counts as too old; a drill that a month leaves "
        "out is told within a day. 0: drills are not watched.",
    )
