"""Back up and restore the journal that the settings name; `gateway.kernel.backup` does the work."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.control.offline.journal_access import Access
from gateway.control.offline.state_lock import lock_for_command
from gateway.kernel.backup import backup as copies
from gateway.kernel.backup.backup import NoBackup
from gateway.kernel.commit.permit_log import LEGACY
from gateway.settings import Settings


def back_up(settings: Settings, access: Access, version: str, now: datetime, target: Path) -> dict[str, Any]:
    """Copy the journal to the file `target`, with its manifest beside it. Returns the manifest.

    `access` is the journal's URL with its password, and its vault. Raises NoBackup.
    """
    url, vault = access
    origin = copies.Origin(url, vault, settings.node, version, settings.permit_log(), now.isoformat(timespec="seconds"))
    return copies.make(origin, target).as_json()


def put_back(settings: Settings, access: Access, copy: Path) -> dict[str, Any]:
    """Restore a copy into the empty database of the settings, with the daemon kept out.

    Returns the manifest, the number of sends that the copy has forgotten, and the gaps for which lanes wait.

    Raises NotLocked if another process works in the state folder, and NoBackup.
    """
    url, vault = access
    held = lock_for_command(settings.state_dir)
    try:
        done = copies.restore(url, vault, settings.permit_log(), copy, settings.node)
    finally:
        os.close(held)
    return {**done.manifest.as_json(), "forgotten": done.forgotten, "gaps": list(done.gaps)}


def has_permit_log(settings: Settings) -> bool:
    """Whether this machine has a permit log, in today's form or an earlier one."""
    log = settings.permit_log()
    return log.exists() or log.with_name(LEGACY).exists()


__all__ = ["NoBackup", "back_up", "has_permit_log", "put_back"]
