"""Which command starts the daemon or reloads its settings here: systemctl where a unit is installed, else by hand."""

from __future__ import annotations

from pathlib import Path

UNIT_FOLDERS = tuple(
    map(Path, ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
               "/lib/systemd/system"))
)  # fmt: skip


def installed() -> bool:
    """Whether this machine has a unit of ours, of one gateway or of several."""
    return any((folder / name).exists() for folder in UNIT_FOLDERS for name in ("bankgw.service", "bankgw@.service"))


def start() -> str:
    """What to type to start the daemon."""
    return "`systemctl start bankgw`" if installed() else "`bankgw run --config FILE`"


def reload() -> str:
    """What makes the daemon read senders, accounts and certificates again."""
    return "`systemctl reload bankgw`" if installed() else "send SIGHUP to the daemon"


def restart() -> str:
    """What makes the daemon read everything again."""
    return "`systemctl restart bankgw`" if installed() else "stop the daemon and start it again"
