"""Whether the disk has room for new commands. While it has none, the daemon takes no command from the broker.

A daemon whose disk is full ends, and its service manager starts it again. Each life that reads commands and ends before
they are durable uses up one of the broker's deliveries of each command. After the last delivery the broker parks the
command, and its ERP has to send it again. So a life reads no command before a look has shown that the disk can be
written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.kernel.commit.permit_access import unwritable_cause

FLOOR_BYTES = 16 * 2**20
"""The free space below which no command is taken in."""
FLOOR_SHARE = 0.05
"""The same as a share of a disk that is small."""
PROBE_BYTES = 65_536
PROBE = "intake-room.part"
"""A permit log removes the files of this suffix when it opens, so that a kill during a look leaves nothing."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """`waits` says why no command is taken in, "" if commands are. `fault` says why the permit log cannot be
    written."""

    waits: str
    fault: str = ""


class IntakeRoom:
    """Measures the room on the disk, and remembers whether commands wait. At the start they wait. Used by one thread at
    a time.
    """

    def __init__(self) -> None:
        self._waits = True

    def measure(self, permits: Path, free: int, size: int, fault: str = "") -> DiskRoom:
        """The room on the disk now. `fault` is what is known already about a permit log that cannot be written.

        Commands that wait go on when twice the floor is free, so that they do not start and stop at each payment, and
        when the permit log's folder takes a file. A daemon that takes in commands is not slowed down by that file.
        """
        floor = min(FLOOR_BYTES, int(size * FLOOR_SHARE))
        if free < (2 * floor if self._waits else floor):
            needed = f"{2 * floor / 2**20:.1f} MiB"
            why = f"{free / 2**20:.1f} MiB are free on the disk of state_dir; commands are taken in again at {needed}"
        else:
            fault = fault or (_why_unwritten(permits) if self._waits else "")
            why = fault
        self._waits = bool(why)
        return DiskRoom(why, fault)


def _why_unwritten(permits: Path) -> str:
    """Why the permit log's folder takes no file now; "" if it does, and if there is no folder yet."""
    if not permits.is_dir():
        return ""
    path = permits / PROBE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(handle, bytes(PROBE_BYTES)) < PROBE_BYTES:
                os.write(handle, bytes(PROBE_BYTES))
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return unwritable_cause(permits, error)
    finally:
        with suppress(OSError):
            path.unlink()
    return ""
