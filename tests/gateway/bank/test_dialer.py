"""Dialling: every failure to connect has its reason and its time limit, and leaves nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from gateway.bank.dialer import BankDialer, NotConnected
from gateway.bank.handshake_errors import Reason
from gateway.bank.tls import ClientTls, client_context
from gateway.kernel.clock import SystemClock
from tests.world.peers import LOOPBACK, PAYMENT, EagerClient, Peer, TlsFiles, bad_context, echo


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return TlsFiles(tmp_path_factory.mktemp("yard"), datetime.now(UTC))


@pytest.fixture
def net() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest.fixture
def tls(yard: TlsFiles, net: Any) -> ClientTls:
    return client_context(yard.settings(), SystemClock(net))


def never() -> Protocol:
    raise AssertionError("no protocol may be built before the peer is proven")


async def refused(endpoint: BankDialer) -> NotConnected:
    with pytest.raises(NotConnected) as refusal:
        await endpoint.connect(never)
    return refusal.value


def goodbye(data: bytes, transport: ITCPTransport) -> None:
    transport.loseConnection()


def reset(data: bytes, transport: ITCPTransport) -> None:
    transport.abortConnection()


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("greeting", "behave", "reason"),
    [
        (b"\xff" * 600, None, Reason.NOT_TLS),
        (b"00000042<?xml version='1.0'?>", None, Reason.NOT_TLS),
        (HTTP, None, Reason.NOT_TLS),
        (b"", lambda data, transport: transport.write(HTTP), Reason.NOT_TLS),
        (b"", goodbye, Reason.CLOSED),
        (b"", reset, Reason.CLOSED),
        (b"\x15\x03\x03\x00\x02\x02\x28", None, Reason.HANDSHAKE_FAILURE),
        (b"\x15\x03\x03\x00\x02\x02\x46", None, Reason.PROTOCOL_VERSION),
        (b"\x15\x03\x03\x00\x02\x02\x50", None, Reason.ALERT),
    ],
)
async def test_a_peer_that_speaks_no_tls_is_named_for_what_it_does(
    net: Any, tls: ClientTls, greeting: bytes, behave: Callable[[bytes, ITCPTransport], None] | None, reason: Reason
) -> None:
    peer = Peer(greeting, behave)
    async with peer.listening(net, None):
        refusal = await refused(BankDialer(net, LOOPBACK, peer.port, tls))
    assert refusal.reason is reason, refusal
    assert PAYMENT not in peer.heard


@pytest.mark.parametrize("greeting", [b"", b"\x16", b"\x16\x03\x03\x00\x7a\x02\x00"])
async def test_a_handshake_that_stalls_ends_in_its_own_time(net: Any, tls: ClientTls, greeting: bytes) -> None:
    peer = Peer(greeting)
    async with peer.listening(net, None):
        began_s = net.seconds()
        refusal = await refused(BankDialer(net, LOOPBACK, peer.port, tls, handshake_timeout_s=0.2))
        assert 0.15 < net.seconds() - began_s < 2.0
        for one in list(peer.open):
            await one.lost
    assert refusal.reason is Reason.HANDSHAKE_TIMEOUT


async def test_a_port_nobody_accepts_from_is_given_up_in_time(net: Any, tls: ClientTls) -> None:
    # A listener whose queue is full keeps further connections in SYN-SENT.
    with socket.create_server((LOOPBACK, 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        refusal = await refused(BankDialer(net, LOOPBACK, full.getsockname()[1], tls, connect_timeout_s=0.2))
    assert refusal.reason is Reason.CONNECT_TIMEOUT


async def test_a_refused_connection_says_where_and_what_to_do(net: Any, tls: ClientTls) -> None:
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = gone.getsockname()[1]
    refusal = await refused(BankDialer(net, LOOPBACK, port, tls))
    assert refusal.reason is Reason.REFUSED
    for word in (f"{LOOPBACK}:{port}", "refused", "nothing was sent", Reason.REFUSED.remedy):
        assert word in str(refusal)


async def test_a_host_name_is_looked_up(net: Any, tls: ClientTls) -> None:
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = gone.getsockname()[1]
    assert (await refused(BankDialer(net, "localhost", port, tls))).reason is Reason.REFUSED


@implementer(IHostnameResolver)
class EmptyResolver:
    """A resolver that finds nothing; with `ends` unset it never finishes."""

    def __init__(self, *, ends: bool) -> None:
        self.ends = ends

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *_: Any, **__: Any) -> Any:
        """Begin and end (IHostnameResolver)."""
        resolution = cast(IHostResolution, self)
        resolutionReceiver.resolutionBegan(resolution)
        if self.ends:
            resolutionReceiver.resolutionComplete()
        return resolution

    def cancel(self) -> None:
        """Cancel the resolution: there is nothing to cancel (IHostResolution)."""


@pytest.mark.parametrize(("ends", "reason"), [(True, Reason.DNS), (False, Reason.CONNECT_TIMEOUT)])
async def test_a_name_that_is_not_found_or_never_answered(net: Any, tls: ClientTls, ends: bool, reason: Reason) -> None:
    before = net.installNameResolver(EmptyResolver(ends=ends))
    try:
        refusal = await refused(BankDialer(net, "fep.bank.test", 443, tls, connect_timeout_s=0.2))
    finally:
        net.installNameResolver(before)
    assert refusal.reason is reason


async def test_cancelling_hangs_up_in_every_stage(net: Any, tls: ClientTls) -> None:
    peer = Peer()
    async with peer.listening(net, None):
        endpoint = BankDialer(net, LOOPBACK, peer.port, tls)
        at_once = endpoint.connect(never)
        at_once.cancel()
        with pytest.raises(CancelledError):
            await at_once
        in_handshake = endpoint.connect(never)
        while not peer.open:
            await turn(net)
        in_handshake.cancel()
        with pytest.raises(CancelledError):
            await in_handshake
        await peer.open[0].lost


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION])
async def test_the_end_of_a_connection_reaches_the_protocol_as_it_was(
    net: Any, yard: TlsFiles, tls: ClientTls, version: int
) -> None:
    for behave, kinds in ((goodbye, (ConnectionDone,)), (reset, (ConnectionLost,))):
        peer = Peer(behave=behave)
        context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file, versions=(version, version))
        async with peer.listening(net, context):
            talker = await BankDialer(net, LOOPBACK, peer.port, tls).connect(EagerClient)
            assert isinstance(await talker.lost, kinds)


class FaultyProtocol(Protocol):
    """A protocol with a defect."""

    def connectionMade(self) -> None:
        """Raise the defect."""
        raise RuntimeError("a bug when connected")


def cannot_build() -> Protocol:
    raise RuntimeError("a bug when built")


@pytest.mark.parametrize("secure", [True, False])
async def test_a_bug_in_the_protocol_leaves_nobody_waiting(
    net: Any, yard: TlsFiles, tls: ClientTls, secure: bool
) -> None:
    peer = Peer()
    context = bad_context([yard.leaf()], yard.key, ask=yard.ca_file) if secure else None
    async with peer.listening(net, context):
        endpoint = BankDialer(net, LOOPBACK, peer.port, tls if secure else None)
        with pytest.raises(RuntimeError, match="a bug when built"):
            await endpoint.connect(cannot_build)
        with pytest.raises(RuntimeError, match="a bug when connected"):
            await endpoint.connect(FaultyProtocol)
        for one in list(peer.open):
            await one.lost
    assert (peer.connections, peer.heard) == (2, b"")


async def test_plain_tcp_to_loopback_works(net: Any) -> None:
    peer = Peer(behave=echo)
    async with peer.listening(net, None):
        talker = await BankDialer(net, LOOPBACK, peer.port, None).connect(EagerClient)
        assert await talker.answer == PAYMENT
        talker.hang_up()
        assert isinstance(await talker.lost, ConnectionDone)


async def test_the_socket_does_not_dawdle_and_notices_a_dead_line(net: Any, yard: TlsFiles, tls: ClientTls) -> None:
    peer = Peer(behave=echo)
    async with peer.listening(net, bad_context([yard.leaf()], yard.key, ask=yard.ca_file)):
        talker = await BankDialer(net, LOOPBACK, peer.port, tls, tcp_user_timeout_ms=1234).connect(EagerClient)
        transport = cast(Any, talker.transport)
        assert type(transport) is TLSMemoryBIOProtocol  # its subclass holds writes back for a turn
        handle = cast(Any, transport.transport).getHandle()
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1234
        talker.hang_up()
        await talker.lost


@pytest.mark.parametrize("host", ["192.0.2.1", "fep.bank.test", "2001:db8::1"])
def test_plain_tcp_elsewhere_must_be_said_aloud(net: Any, host: str) -> None:
    with pytest.raises(ValueError, match="plain TCP is allowed only to loopback"):
        BankDialer(net, host, 8080, None)
    BankDialer(net, host, 8080, None, plaintext="pinned-lan")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_recognised(net: Any, host: str) -> None:
    BankDialer(net, host, 8080, None)


def test_every_reason_is_a_slug_with_a_remedy() -> None:
    for reason in Reason:
        assert reason == reason.value == str(reason)
        assert reason.replace("_", "").isalnum()
        assert len(reason.remedy) > 10


async def turn(net: Any) -> None:
    waited: Deferred[None] = Deferred()
    net.callLater(0.01, waited.callback, None)
    await waited
