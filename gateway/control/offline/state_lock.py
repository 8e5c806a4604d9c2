"""The lock of a state folder: one process of the gateway works in it at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

LOCK = "bankgw.lock"


class AlreadyRunning(Exception):  # noqa: N818 - says who, rather than what went wrong
    """Another daemon works in this state folder."""


def lock(state_dir: Path) -> int:
    """Make this process the only daemon of the state folder until it ends. Raises AlreadyRunning, OSError.

    Without the lock, two daemons of one node would each take the other's lanes as those of an earlier process of its
    own.
    """
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = state_dir / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        raise AlreadyRunning(f"process {pid or 'unknown'} is using {state_dir}; stop it first") from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


class NotLocked(Exception):  # noqa: N818 - says who or what is in the way
    """A command did not get the state folder for itself; nothing was done."""


def lock_for_command(state_dir: Path) -> int:
    """As `lock`, for a command that root may run. The files that it leaves belong to the folder's owner. Raises
    NotLocked."""
    try:
        handle = lock(state_dir)
    except (AlreadyRunning, OSError) as error:
        raise NotLocked(str(error)) from None
    if os.geteuid() == 0:
        owner = state_dir.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
    return handle
