"""The faults of a start that a person can mend, and of a run that ends the process: what failed, and what to do.

Every other error is a defect of the program, and is logged with its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.bank.signers import KeyFileError
from gateway.kernel.commit.permit_access import PermitLogUnwritable, unwritable_remedy
from gateway.kernel.commit.permit_log import PermitLogBroken
from gateway.kernel.sql.migrations import TooNew
from gateway.kernel.sql.vault import VaultError
from gateway.settings import Settings

_AGAIN = "the service manager starts the daemon again"


@dataclass(frozen=True, slots=True)
class StartFault:
    """Why the daemon cannot start, and the remedy."""

    cause: str
    remedy: str


def start_fault(error: BaseException | None, settings: Settings) -> StartFault | None:
    """The cause and remedy of a failed start; None if the error is a defect of the program."""
    if isinstance(error, PermitLogUnwritable):
        return StartFault(str(error), unwritable_remedy(settings.permit_log()))
    if isinstance(error, PermitLogBroken):
        return StartFault(str(error), "docs/do/restore.md says how a damaged permit log is mended; never delete it")
    if isinstance(error, VaultError | KeyFileError):
        return StartFault(str(error), f"bankgw check names the file and the setting; {_AGAIN}")
    if isinstance(error, TooNew):
        return StartFault(str(error), "install the version that wrote this journal, or a newer one")
    if isinstance(error, OSError) and error.filename is not None:
        named = Path(str(error.filename))
        return StartFault(
            f"{named} cannot be used: {error.strerror}",
            f"give the daemon's user the right to it, or mend the disk: ls -ld {named}, df {named.parent}; {_AGAIN}",
        )
    return None


def remedy_of_fatal(reason: str) -> str:
    """The remedy for a reason that ended a running daemon."""
    if "the permit log cannot be written" in reason:
        return unwritable_remedy(None)
    if "disk is full" in reason or "No space left" in reason:
        return f"the disk is full: make room on it (df -h, du -xh of state_dir); {_AGAIN}"
    return f"mend this cause; {_AGAIN}"
