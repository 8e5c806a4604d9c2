"""The signer's UNIX socket: frames in, frames out, one after the other, for the daemon's user alone."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from gateway.bank.signer_frames import REQUEST_MAX, BadFrame, SignerFrames, SignRequest, answer_frame, read_request
from gateway.control.peer_credentials import peer_of
from gateway.kernel import log
from gateway.signer.signature_service import SignatureService

CONNECTIONS_MAX = 64
QUEUE_MAX = 64
"""Requests that wait on one connection; the daemon asks one signature at a time with each key."""
_log = log.get("signer.server")
PeerUid = Callable[[Any], int]


def kernel_uid(transport: Any) -> int:
    """The user at the other end of a connection, as the kernel says."""
    connection: socket.socket = transport.getHandle()
    return peer_of(connection).uid


class SignerServer:
    """Listens at a path and answers the processes of one user. `uid_of` is the kernel's word except in tests."""

    def __init__(self, reactor: Any, service: SignatureService, uid: int, uid_of: PeerUid = kernel_uid) -> None:
        self._reactor = reactor
        self._factory = _Connections(service, uid, uid_of)
        self._listening: Any = None

    def open(self, path: Path) -> None:
        """Listen; anybody may connect as far as the folder lets them, and the kernel's word about the user decides.
        Raises CannotListenError, OSError."""
        if path.is_socket():
            path.unlink()
        before = os.umask(0o111)
        try:
            self._listening = self._reactor.listenUNIX(str(path), self._factory, mode=0o666)
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Stop listening, and end the connections."""
        if self._listening is not None:
            await self._listening.stopListening()
        self._factory.end()


class _Connections(Factory):
    noisy = False

    def __init__(self, service: SignatureService, uid: int, uid_of: PeerUid) -> None:
        self.service = service
        self.uid = uid
        self.uid_of = uid_of
        self.open: set[_Connection] = set()

    def buildProtocol(self, _address: Any) -> _Connection:
        return _Connection(self)

    def end(self) -> None:
        for one in tuple(self.open):
            one.transport.abortConnection()


class _Connection(Protocol):
    """One connection. Its requests are answered in their order."""

    transport: Any

    def __init__(self, all_of: _Connections) -> None:
        self._all = all_of
        self._cutter = SignerFrames(REQUEST_MAX)
        self._waiting: list[SignRequest] = []
        self._busy = False

    def connectionMade(self) -> None:
        """Refuse every user but the daemon's."""
        uid = self._all.uid_of(self.transport)
        if uid != self._all.uid or len(self._all.open) >= CONNECTIONS_MAX:
            _log.warning("signer.peer_refused", uid=uid, open=len(self._all.open))
            self.transport.abortConnection()
            return
        self._all.open.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget the requests that nobody waits for any more."""
        self._all.open.discard(self)
        self._waiting.clear()

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests. What is no request ends the connection."""
        if self not in self._all.open:
            return
        try:
            self._waiting += [read_request(body) for body in self._cutter.feed(data)]
            if len(self._waiting) > QUEUE_MAX:
                raise BadFrame("too many requests wait on this connection")
        except BadFrame as error:
            _log.warning("signer.bad_frame", error=str(error))
            self._waiting.clear()
            self.transport.abortConnection()
            return
        if not self._busy:
            self._busy = True
            Deferred.fromCoroutine(self._answer()).addErrback(self._defect)

    async def _answer(self) -> None:
        while self._waiting:
            answer = await self._all.service.answer(self._waiting.pop(0))
            if self in self._all.open:
                self.transport.write(answer_frame(answer))
        self._busy = False

    def _defect(self, failure: Failure) -> None:
        # A defect signs nothing, and ends the connection; the daemon's order stays ready.
        _log.error("signer.defect", error=failure.getTraceback()[-2_000:], action="report this error")
        self.transport.abortConnection()
