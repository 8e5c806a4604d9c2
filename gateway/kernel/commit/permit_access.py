"""Whether the permit log can be written, and the messages about it, which are the same at the start and in a running
daemon.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path


class PermitLogUnwritable(Exception):  # noqa: N818 - says what a person must mend
    """The permit log cannot be opened for writing; the message says where, and the system's reason."""


def unwritable_cause(folder: Path, error: OSError) -> str:
    """The sentence about a permit log that cannot be written, the same at the start and in a running daemon."""
    return f"the permit log {folder} cannot be written: {error.strerror or error}"


def why_unwritable(folder: Path) -> str:
    """Why the permit log in this folder cannot be written now, as a sentence; "" if it can. Writes nothing."""
    if not folder.is_dir():
        return unwritable_cause(folder, NotADirectoryError(errno.ENOTDIR, "it is no folder")) if folder.exists() else ""
    newest = max(folder.glob("*.log"), default=folder)
    for path in (folder, newest):
        if not os.access(path, os.W_OK):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            return unwritable_cause(folder, OSError(code, os.strerror(code)))
    return ""


def unwritable_remedy(folder: Path | None) -> str:
    """The remedy for a permit log that cannot be written."""
    where = "/var/lib/bankgw/permits" if folder is None else str(folder)
    return (
        f"make it writable for the daemon's user (ls -ld {where}, df {where}, mount); never delete or move it; the "
        "service manager starts the daemon again"
    )
