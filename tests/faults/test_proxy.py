"""The campaign's TCP proxy, between a client and a server on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from faults.proxy import LinkState, Proxy


class Peer(Protocol):
    """Keeps the received bytes. `until` fires when there are enough of them, `gone` when the connection has ended."""

    def __init__(self) -> None:
        self.said = b""
        self.gone: Deferred[BaseException | None] = Deferred()
        self._wanted: tuple[int, Deferred[bytes]] | None = None

    def until(self, size: int) -> Deferred[bytes]:
        """The received bytes, once there are that many."""
        wanted: Deferred[bytes] = Deferred()
        self._wanted = (size, wanted)
        self._look()
        return wanted

    def _look(self) -> None:
        if self._wanted is not None and len(self.said) >= self._wanted[0]:
            wanted, self._wanted = self._wanted[1], None
            wanted.callback(self.said)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 - the name is Twisted's
        self.said += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802 - the name is Twisted's
        self.gone.callback(reason.value)


class Place:
    """A server, a proxy before it, and clients."""

    def __init__(self) -> None:
        from twisted.internet import reactor as found

        reactor: Any = found
        self.reactor = reactor
        self.servers: list[Peer] = []
        self.came: Deferred[Peer] = Deferred()
        factory = Factory.forProtocol(self._serve)
        factory.noisy = False
        self.listening: Any = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.proxy = Proxy(reactor, lambda: ("127.0.0.1", self.listening.getHost().port))
        self.proxy.listen()

    def _serve(self) -> Peer:
        peer = Peer()
        self.servers.append(peer)
        came, self.came = self.came, Deferred()
        self.reactor.callLater(0, came.callback, peer)
        return peer

    async def client(self) -> Peer:
        """A client that is connected to the proxy."""
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", self.proxy.port, timeout=5)
        return await connectProtocol(endpoint, Peer())  # type: ignore[no-any-return]

    async def both(self) -> tuple[Peer, Peer]:
        """A client and the server's end of its connection."""
        came = self.came
        return await self.client(), await came

    def later(self, seconds: float) -> Deferred[None]:
        """Wait a moment, after which bytes that must not arrive would have arrived."""
        done: Deferred[None] = Deferred()
        self.reactor.callLater(seconds, done.callback, None)
        return done

    async def close(self) -> None:
        """Close every connection."""
        for server in self.servers:
            assert server.transport is not None
            server.transport.loseConnection()
        await maybeDeferred(self.listening.stopListening)
        await self.proxy.close()
        await self.later(0.05)


@pytest_twisted.async_yield_fixture  # type: ignore[untyped-decorator]
async def place() -> AsyncIterator[Place]:
    """A fresh server, proxy and clients for each test."""
    made = Place()
    yield made
    await made.close()


def _write(peer: Peer, data: bytes) -> None:
    assert peer.transport is not None
    peer.transport.write(data)


async def test_a_fair_link_carries_both_ways(place: Place) -> None:
    client, server = await place.both()
    _write(client, b"question")
    assert await server.until(8) == b"question"
    _write(server, b"answer")
    assert await client.until(6) == b"answer"
    assert place.proxy.bytes_out == 8


async def test_a_close_arrives_after_what_was_written(place: Place) -> None:
    client, server = await place.both()
    _write(server, b"last words")
    assert server.transport is not None
    server.transport.loseConnection()
    reason = await client.gone
    assert client.said == b"last words" and isinstance(reason, ConnectionDone)


async def test_a_cut_ends_both_sides(place: Place) -> None:
    client, server = await place.both()
    _write(client, b"x")
    await server.until(1)
    assert place.proxy.cut() == 1
    await client.gone
    await server.gone
    assert not place.proxy.pairs


async def test_a_black_hole_swallows_until_the_link_is_fair(place: Place) -> None:
    client, server = await place.both()
    _write(client, b"before")
    await server.until(6)
    place.proxy.set(LinkState.HOLE)
    _write(client, b" and after")
    await place.later(0.05)
    assert server.said == b"before"
    place.proxy.set(LinkState.FAIR)
    assert await server.until(16) == b"before and after"


async def test_half_a_message_and_then_nothing(place: Place) -> None:
    client, server = await place.both()
    place.proxy.halve()
    _write(client, b"0123456789")
    await server.until(5)
    _write(client, b"and more")
    await server.gone
    await client.gone
    assert server.said == b"01234", "a stream loses its end, never its middle"
    assert place.proxy.halves == 0


async def test_a_delay_keeps_the_order(place: Place) -> None:
    client, server = await place.both()
    place.proxy.set(LinkState.SLOW, 0.2)
    _write(client, b"a")
    await place.later(0.02)
    assert server.said == b""
    _write(client, b"b")
    await place.later(0.02)
    place.proxy.set(LinkState.FAIR)
    _write(client, b"c")
    assert await server.until(3) == b"abc", "what was held goes first"
    await place.later(0.25)
    assert server.said == b"abc"


@pytest.mark.parametrize("refuse", [True, False])
async def test_who_is_refused_or_finds_nobody_is_hung_up_on(place: Place, refuse: bool) -> None:
    if refuse:
        place.proxy.set(LinkState.REFUSE)
    else:
        place.proxy.target = lambda: ("127.0.0.1", 1)
    client = await place.client()
    await client.gone
    assert not place.servers
