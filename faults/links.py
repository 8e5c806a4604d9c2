"""A network namespace for one node, with one virtual link to each peer; each link can be taken down.

A pulled cable swallows everything and tells nobody. It needs root; elsewhere the proxies swallow what they are given.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable

ROLES = ("banks", "broker", "database")
LOOPBACK = "127.0.0.1"
NETWORK = "198.18.0.0/15"
"""Reserved for measuring networks, so that no machine has these addresses."""


def to_be_had() -> bool:
    """Whether this machine allows network namespaces."""
    if os.geteuid() != 0:
        return False
    try:
        _ip("netns", "add", f"bgwtry{os.getpid()}")
        _ip("netns", "del", f"bgwtry{os.getpid()}")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


class Links:
    """A network namespace for one node. Addresses are of NETWORK."""

    def __init__(self, number: int) -> None:
        self.name = f"bgw{os.getpid()}-{number}"
        self._tag = f"bg{os.getpid() % 100_000}n{number}"
        self._net = (os.getpid() * 8 + number * 3) % 30_000
        self._made = False

    def address(self, role: str) -> str:
        """This machine's end of a cable: where that role's proxies listen for this node."""
        return self._address(role, 1)

    def _address(self, role: str, end: int) -> str:
        at = (self._net + ROLES.index(role)) * 4 + end
        return f"198.{18 + (at >> 16)}.{at >> 8 & 255}.{at & 255}"

    def make(self) -> None:
        """Make the namespace. Raises subprocess.CalledProcessError."""
        _ip("netns", "add", self.name)
        self._made = True
        _ip("-n", self.name, "link", "set", "lo", "up")
        for role in ROLES:
            ours, theirs = self._cable(role), f"{role}0"
            _ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
            _ip("addr", "add", f"{self._address(role, 1)}/30", "dev", ours)
            _ip("-n", self.name, "addr", "add", f"{self._address(role, 2)}/30", "dev", theirs)
            _ip("link", "set", ours, "up")
            _ip("-n", self.name, "link", "set", theirs, "up")

    def pull(self, roles: Iterable[str]) -> None:
        """Take these links down."""
        for role in roles:
            _ip("link", "set", self._cable(role), "down")

    def plug(self, roles: Iterable[str] = ROLES) -> None:
        """Put these links up again."""
        for role in roles:
            _ip("link", "set", self._cable(role), "up")

    def inside(self) -> tuple[str, ...]:
        """The prefix of a command that runs it inside the namespace."""
        return ("ip", "netns", "exec", self.name)

    def remove(self) -> None:
        """Remove the namespace; does nothing if it was never made."""
        if self._made:
            self._made = False
            _ip("netns", "del", self.name)

    def _cable(self, role: str) -> str:
        return f"{self._tag}{role[:2]}"


def _ip(*words: str) -> None:
    subprocess.run(("ip", *words), check=True, capture_output=True, timeout=10)
