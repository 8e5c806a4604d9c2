"""A TCP proxy with faults: it cuts connections, and swallows, delays or halves the bytes between two programs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Any, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

CONNECT_S = 5
HALF_S = 0.05
"""How long the first half of a message is there before the connection breaks."""


class LinkState(StrEnum):
    """The states of a link. `HOLE` keeps connections open and lets nothing through."""

    FAIR = "fair"
    HOLE = "hole"
    SLOW = "slow"
    REFUSE = "refuse"


class Proxy:
    """Listens on a free port of the loopback, and forwards bytes to `target`, which is called at each connection."""

    def __init__(self, reactor: Any, target: Callable[[], tuple[str, int]]) -> None:
        self.reactor = reactor
        self.target = target
        self.state = LinkState.FAIR
        self.shut = False
        self.delay_s = 0.0
        self.bytes_out = 0
        self.halves = 0
        self.dialled = 0
        self.lost_words = 0
        self.pairs: set[_Pair] = set()
        self._word: tuple[bytes, bool] | None = None
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """The port at which the proxy listens."""
        assert self._listening is not None
        return cast(IPv4Address, self._listening.getHost()).port

    def listen(self, interface: str = "127.0.0.1") -> None:
        """Begin to listen."""
        factory = Factory.forProtocol(lambda: _End(_Pair(self)))
        factory.noisy = False
        self._listening = self.reactor.listenTCP(0, factory, interface=interface)

    def lose(self, word: bytes | None, *, arrives: bool = True) -> None:
        """Break off the next connection whose client sends `word`. With `arrives`, the server gets the word and its
        answer is lost; otherwise the word does not arrive. None cancels this."""
        self._word = None if word is None else (word, arrives)

    def heard(self, data: bytes) -> bool | None:
        """Whether the bytes contain the word to lose. None if they do not; else whether the word is to arrive."""
        if self._word is None or self._word[0] not in data:
            return None
        arrives, self._word = self._word[1], None
        self.lost_words += 1
        return arrives

    @property
    def data_out(self) -> int:
        """Bytes of records that may carry data, from clients over the connections that are open now."""
        return sum(pair.data_out for pair in self.pairs)

    def cut(self) -> int:
        """Break off every connection. Returns how many there were."""
        pairs = list(self.pairs)
        for pair in pairs:
            pair.cut()
        return len(pairs)

    def halve(self, times: int = 1) -> None:
        """For the next `times` pieces of data, forward the first half and break the connection off."""
        self.halves = times

    def set(self, state: LinkState, delay_s: float = 0.0) -> None:
        """Change the link's state. On the change back to FAIR the held bytes are forwarded."""
        self.state, self.delay_s = state, delay_s
        if state is LinkState.REFUSE:
            self.cut()
        for pair in list(self.pairs):
            pair.flush()

    def shuts(self, shut: bool) -> None:
        """Let no bytes through, whatever the state is; or follow the state again."""
        self.shut = shut
        if shut:
            self.cut()

    async def close(self) -> None:
        """Stop listening and break off every connection."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)
        self.cut()


class _Pair:
    """The two ends of one connection through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.ends: list[_End] = []
        self._held: deque[tuple[float, int, bytes]] = deque()
        self._over = False
        self._last_words = False
        self._records = _Records()

    def opened(self, end: _End) -> None:
        """A client has connected: connect to the server."""
        self.ends.append(end)
        self.proxy.pairs.add(self)
        self.proxy.dialled += 1
        if self.proxy.shut or self.proxy.state is LinkState.REFUSE:
            self.cut()
            return
        host, port = self.proxy.target()
        endpoint = TCP4ClientEndpoint(self.proxy.reactor, host, port, timeout=CONNECT_S)
        factory = Factory.forProtocol(lambda: _End(self))
        factory.noisy = False
        connecting: Deferred[Any] = endpoint.connect(factory)
        connecting.addCallbacks(self._joined, lambda _failure: self.cut())

    @property
    def data_out(self) -> int:
        """The number of bytes in the client's records that may carry data."""
        return self._records.data

    def _joined(self, end: Any) -> None:
        if self._over:
            end.abort()
            return
        self.ends.append(end)
        self.flush()

    def passed(self, end: _End, data: bytes) -> None:
        """Handle bytes from one end."""
        side = self.ends.index(end)
        if side == 0:
            self.proxy.bytes_out += len(data)
            self._records.feed(data)
            arrives = self.proxy.heard(data)
            if arrives is False:
                self.cut()
                return
            self._last_words = self._last_words or arrives is True
        elif self._last_words:
            self.cut()
            return
        slow_s = self.proxy.delay_s if self.proxy.state is LinkState.SLOW else 0.0
        self._held.append((self.proxy.reactor.seconds() + slow_s, side, data))
        if slow_s:
            self.proxy.reactor.callLater(slow_s, self.flush)
        else:
            self.flush()

    def flush(self) -> None:
        """Forward the bytes that the state allows."""
        while self._held and len(self.ends) == 2 and self.proxy.state is not LinkState.HOLE and not self._over:
            due_s, side, data = self._held[0]
            # Later bytes wait behind held ones, because a stream keeps its order, also when the state changes.
            if self.proxy.state is LinkState.SLOW and due_s > self.proxy.reactor.seconds():
                return
            self._held.popleft()
            if self.proxy.halves and len(data) > 1:
                self.proxy.halves -= 1
                self.ends[1 - side].send_bytes(data[: len(data) // 2])
                # Nothing may pass any more, so that a stream loses its end and never a part in the middle.
                self._over = True
                self._held.clear()
                self.proxy.reactor.callLater(HALF_S, self.cut)
                return
            self.ends[1 - side].send_bytes(data)

    def lost(self, end: _End) -> None:
        """Handle the end of one side. The bytes that it sent still arrive, then the other side is closed too."""
        self.proxy.pairs.discard(self)
        self.flush()
        self._over = True
        for other in self.ends:
            if other is not end:
                other.finish()

    def cut(self) -> None:
        """Break off both sides."""
        self._over = True
        self.proxy.pairs.discard(self)
        for end in self.ends:
            end.abort()


class _Records:
    """Reads the record headers of a TLS client. A record longer than a sealed alert of two bytes counts as data."""

    FAREWELL = 32

    def __init__(self) -> None:
        self.data = 0
        self._left = 0
        self._head = b""

    def feed(self, data: bytes) -> None:
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left -= taken
                data = data[taken:]
                continue
            head = (self._head + data)[:5]
            data = data[len(head) - len(self._head) :]
            self._head = head
            if len(head) == 5:
                self._left, self._head = int.from_bytes(head[3:5], "big"), b""
                if head[0] == 0x17 and self._left > self.FAREWELL:
                    self.data += self._left


class _End(Protocol):
    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self._open = False
        self._server = bool(pair.ends)

    def connectionMade(self) -> None:
        self._open = True
        assert self.transport is not None
        cast(ITCPTransport, self.transport).setTcpNoDelay(True)
        if not self._server:
            self._pair.opened(self)

    def dataReceived(self, data: bytes) -> None:
        if self in self._pair.ends:
            self._pair.passed(self, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._open = False
        self._pair.lost(self)

    def send_bytes(self, data: bytes) -> None:
        if self._open and self.transport is not None:
            self.transport.write(data)

    def finish(self) -> None:
        if self._open and self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        if self._open and self.transport is not None:
            self._open = False
            cast(ITCPTransport, self.transport).abortConnection()
