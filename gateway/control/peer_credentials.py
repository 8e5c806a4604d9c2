"""The UNIX user at the other end of the control socket, as the kernel reports it (SO_PEERCRED)."""

from __future__ import annotations

import pwd
import socket
import struct
from dataclasses import dataclass

_UCRED = struct.Struct("3i")
NOBODY = 65_534
"""Whom the kernel names when the peer's user does not exist in our user namespace."""


@dataclass(frozen=True, slots=True)
class PeerCredentials:
    """A process that connected: its user; or a person in a browser, whose name in the audit trail is `web`."""

    uid: int
    web: str = ""

    @property
    def actor(self) -> str:
        """The name under which the audit trail keeps what it does: `uid:root`, or the number of a user without one."""
        if self.web:
            return self.web
        try:
            return f"uid:{pwd.getpwuid(self.uid).pw_name}"
        except KeyError:
            return f"uid:{self.uid}"


def peer_of(connection: socket.socket) -> PeerCredentials:
    """The peer of a connected UNIX socket (SO_PEERCRED: as it was when it connected)."""
    _pid, uid, _gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return PeerCredentials(uid)
