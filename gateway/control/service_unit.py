"""The commands that start the daemon or reload its settings on this machine: systemctl where a unit is installed, else
by hand.
"""

from __future__ import annotations

from pathlib import Path

from gateway.act import Bilingual

UNIT_FOLDERS = tuple(
    map(
        Path, ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
    )
)


def installed() -> bool:
    """Whether this machine has a systemd unit of the gateway, for one gateway or for several."""
    return any((folder / name).exists() for folder in UNIT_FOLDERS for name in ("bankgw.service", "bankgw@.service"))


def start() -> str:
    """The command that starts the daemon."""
    return "`systemctl start bankgw`" if installed() else "`bankgw run --config FILE`"


def reload() -> Bilingual:
    """The command that makes the daemon read senders, accounts and certificates again."""
    command = "`systemctl reload bankgw`"
    return (command, command) if installed() else ("send SIGHUP to the daemon", "向守护进程发送 SIGHUP")


def restart() -> Bilingual:
    """The command that makes the daemon read everything again."""
    command = "`systemctl restart bankgw`"
    return (command, command) if installed() else ("stop the daemon and start it again", "停止守护进程再启动")
