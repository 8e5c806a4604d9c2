"""A TCP proxy with faults: it cuts connections, swallows, delays and halves what passes between two programs."""

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
"""How long half a message lies there before the connection breaks."""


class LinkState(StrEnum):
    """What a link does with what passes. `HOLE` keeps connections open and lets nothing through."""

    FAIR = "fair"
    HOLE = "hole"
    SLOW = "slow"
    REFUSE = "refuse"


class Proxy:
    """Listens on a free port of the loopback and carries bytes to `target`, which is asked at each connection."""

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
        """Where it listens."""
        assert self._listening is not None
        return cast(IPv4Address, self._listening.getHost()).port

    def listen(self, interface: str = "127.0.0.1") -> None:
        """Begin."""
        factory = Factory.forProtocol(lambda: _End(_Pair(self)))
        factory.noisy = False
        self._listening = self.reactor.listenTCP(0, factory, interface=interface)

    def lose(self, word: bytes | None, *, arrives: bool = True) -> None:
        """Break off the next connection whose client says `word`: with `arrives` once the server has answered, and
        that answer is lost; else before the word has arrived. None: never mind."""
        self._word = None if word is None else (word, arrives)

    def heard(self, data: bytes) -> bool | None:
        """Whether the word that is to be lost was said now: None, or whether it is to arrive."""
        if self._word is None or self._word[0] not in data:
            return None
        arrives, self._word = self._word[1], None
        self.lost_words += 1
        return arrives

    @property
    def data_out(self) -> int:
        """Bytes of the records that may carry something, from clients over the connections that are open now."""
        return sum(pair.data_out for pair in self.pairs)

    def cut(self) -> int:
        """Break every connection off; returns how many there were."""
        pairs = list(self.pairs)
        for pair in pairs:
            pair.cut()
        return len(pairs)

    def halve(self, times: int = 1) -> None:
        """Of the next `times` pieces that pass, let the first half through and break the connection off."""
        self.halves = times

    def set(self, state: LinkState, delay_s: float = 0.0) -> None:
        """Change the link's state; back to FAIR, what was held goes on."""
        self.state, self.delay_s = state, delay_s
        if state is LinkState.REFUSE:
            self.cut()
        for pair in list(self.pairs):
            pair.flush()

    def shuts(self, shut: bool) -> None:
        """Let nobody through whatever the state, or go by the state again."""
        self.shut = shut
        if shut:
            self.cut()

    async def close(self) -> None:
        """Stop listening and break everything off."""
        listening, self._listening = self._listening, None
        if listening is not None:
            await maybeDeferred(listening.stopListening)
        self.cut()


class _Pair:
    """One connection through the proxy: both its ends."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.ends: list[_End] = []
        self._held: deque[tuple[float, int, bytes]] = deque()
        self._over = False
        self._last_words = False
        self._records = _Records()

    def opened(self, end: _End) -> None:
        """The client has come: reach for its server."""
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
        """Bytes of the client's records that may carry something."""
        return self._records.data

    def _joined(self, end: Any) -> None:
        if self._over:
            end.abort()
            return
        self.ends.append(end)
        self.flush()

    def passed(self, end: _End, data: bytes) -> None:
        """Bytes came in at one end."""
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
        """Let through what may pass."""
        while self._held and len(self.ends) == 2 and self.proxy.state is not LinkState.HOLE and not self._over:
            due_s, side, data = self._held[0]
            # What comes later waits behind what is held: a stream keeps its order, also when the state changes.
            if self.proxy.state is LinkState.SLOW and due_s > self.proxy.reactor.seconds():
                return
            self._held.popleft()
            if self.proxy.halves and len(data) > 1:
                self.proxy.halves -= 1
                self.ends[1 - side].write(data[: len(data) // 2])
                # Nothing may pass any more: a stream loses its end, never its middle.
                self._over = True
                self._held.clear()
                self.proxy.reactor.callLater(HALF_S, self.cut)
                return
            self.ends[1 - side].write(data)

    def lost(self, end: _End) -> None:
        """One end is gone; what it had sent still arrives, then the other goes too."""
        self.proxy.pairs.discard(self)
        self.flush()
        self._over = True
        for other in self.ends:
            if other is not end:
                other.finish()

    def cut(self) -> None:
        """Break both ends off."""
        self._over = True
        self.proxy.pairs.discard(self)
        for end in self.ends:
            end.abort()


class _Records:
    """Reads a TLS client's record headers: what is longer than a farewell (an alert of two bytes, sealed) is data."""

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

    def write(self, data: bytes) -> None:
        if self._open and self.transport is not None:
            self.transport.write(data)

    def finish(self) -> None:
        if self._open and self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        if self._open and self.transport is not None:
            self._open = False
            cast(ITCPTransport, self.transport).abortConnection()
