"""The UNIX user at the other end of the control socket, as the kernel reports it (SO_PEERCRED)."""

from __future__ import annotations

import socket
import struct

from gateway.call import PeerCredentials

_UCRED = struct.Struct("3i")


def peer_of(connection: socket.socket) -> PeerCredentials:
    """Process, user and group at the other end of a connected UNIX socket (SO_PEERCRED), as they were when it
    connected."""
    _pid, uid, _gid = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return PeerCredentials(uid)
