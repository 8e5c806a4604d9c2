"""systemd's notification protocol: datagrams to the socket named in NOTIFY_SOCKET. Silent when there is none."""

from __future__ import annotations

import socket
from collections.abc import Mapping


class Notify:
    """Reports the daemon's condition to systemd. Without systemd every call does nothing."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog_us) / 1_000_000 if watchdog_us.isdigit() else None

    def ready(self, status: str) -> None:
        """Report that start-up is complete: the journal is open and the broker's objects are declared."""
        self._send(f"READY=1\nSTATUS={_line(status)}")

    def stopping(self) -> None:
        """Report that the daemon is stopping in order."""
        self._send("STOPPING=1\nSTATUS=draining")

    def status(self, status: str) -> None:
        """Report one line of text for `systemctl status`."""
        self._send(f"STATUS={_line(status)}")

    def alive(self) -> None:
        """Reset the watchdog's timer. `Watch` decides when."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            # A manager that does not read must not delay payments, so a message that does not fit its queue is dropped.
            sender.setblocking(False)
            try:
                sender.sendto(text.encode(), address)
            except OSError:
                return


def _line(text: str) -> str:
    return text.replace("\n", " ")
