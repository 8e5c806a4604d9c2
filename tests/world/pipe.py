"""Connections in memory: bytes take time, arrive in order, and stop when either end closes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocol
from twisted.python.failure import Failure

from tests.world.clock import HeapClock
from tests.world.points import LifeEnded


class End:
    """One end of a pipe, used as the transport of its protocol."""

    def __init__(self, clock: HeapClock, latency_s: float) -> None:
        self._clock = clock
        self._latency_s = latency_s
        self.protocol: IProtocol | None = None
        self.peer: End | None = None
        self.open = True
        self.lane = ""
        self.written: list[bytes] = []
        self.hit: Callable[[str], None] = lambda _point: None

    def write(self, data: bytes) -> None:
        """Send data. Data after the end of the connection is lost, as on a socket."""
        if self.open and self.peer is not None:
            self.hit("bank.write.request.before")
            self.written.append(data)
            self._clock.callLater(self._latency_s, self.peer._arrive, data)
            self.hit("bank.write.request.after")

    def writeSequence(self, data: list[bytes]) -> None:  # noqa: N802 - the name is Twisted's
        """Send several pieces."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        """Close in order, so that everything written arrives first."""
        self._end(ConnectionDone(), ConnectionDone())

    def abortConnection(self) -> None:  # noqa: N802 - the name is Twisted's
        """Break off the connection; the peer sees a loss."""
        self._end(ConnectionAborted(), ConnectionLost())

    def vanish(self) -> None:
        """End as with a killed process: the own side gets nothing any more, and the peer sees a loss."""
        if self.open:
            self.open = False
            self.protocol = None
            if self.peer is not None:
                self._clock.callLater(self._latency_s, self.peer._gone, ConnectionLost())

    def getPeer(self) -> Any:  # noqa: N802 - the name is Twisted's
        """No address, because the connection is in memory."""
        return "pipe"

    getHost = getPeer  # noqa: N815 - the name is Twisted's

    def _end(self, mine: Exception, theirs: Exception) -> None:
        if not self.open:
            return
        self.open = False
        self._clock.callLater(0, self._lost, mine)
        if self.peer is not None:
            self._clock.callLater(self._latency_s, self.peer._gone, theirs)

    def _arrive(self, data: bytes) -> None:
        if self.open and self.protocol is not None:
            try:
                self.hit("bank.read.answer.before")
                self.protocol.dataReceived(data)
                self.hit("bank.read.answer.after")
            except LifeEnded:
                return

    def _gone(self, reason: Exception) -> None:
        if self.open:
            self.open = False
            self._lost(reason)

    def _lost(self, reason: Exception) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(reason))


def connect(clock: HeapClock, client: IProtocol, server: IProtocol, latency_s: float = 0.001) -> tuple[End, End]:
    """Join two protocols; both are connected when this returns."""
    ours, theirs = End(clock, latency_s), End(clock, latency_s)
    ours.peer, theirs.peer = theirs, ours
    ours.protocol, theirs.protocol = client, server
    server.makeConnection(theirs)  # type: ignore[arg-type]
    client.makeConnection(ours)  # type: ignore[arg-type]
    return ours, theirs
