"""Connects to a bank: a connection exists once the handshake is done and the peer is verified.

Twisted's own TLS endpoints fire at TCP level. A bank that rejects us then looks like a connection that opened and
closed, and a client would dial again at full speed. Here the application's protocol is built only after the verified
handshake, so that a failure before it proves that nothing was sent.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Generic, Literal, TypeVar, cast

from OpenSSL import SSL
from twisted.internet import error as tcp_error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IDelayedCall,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
    ISystemHandle,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.bank.handshake_errors import HandshakeRefusal, Reason, explain
from gateway.bank.tls import ClientTls
from gateway.settings import is_loopback

_P = TypeVar("_P", bound=IProtocol)
_log = Logger()


class NotConnected(Exception):  # noqa: N818 - it is an outcome, and proof that nothing was sent
    """No verified connection was made, so no application byte was sent.

    `reason` is a slug, `detail` is the observed fault, `reason.remedy` is the remedy.
    """

    def __init__(self, where: str, reason: Reason, detail: str) -> None:
        super().__init__(f"{where}: {reason}: {detail}; nothing was sent; {reason.remedy}")
        self.reason = reason
        self.detail = detail


class BankDialer:
    """Connects to one bank address. Without `tls` the address must be loopback, or `plaintext = "pinned-lan"` must be
    set.

    A plain address elsewhere raises ValueError. `tcp_user_timeout_ms` bounds how long written bytes may stay
    unacknowledged before the kernel gives the connection up (0: the kernel's default).
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        tls: ClientTls | None,
        *,
        plaintext: Literal["refuse", "pinned-lan"] = "refuse",
        connect_timeout_s: float = 5.0,
        handshake_timeout_s: float = 5.0,
        tcp_user_timeout_ms: int = 10_000,
    ) -> None:
        self.where = f"{host}:{port}"
        self.tls = tls
        self.connect_timeout_s = connect_timeout_s
        self.handshake_timeout_s = handshake_timeout_s
        self.tcp_user_timeout_ms = tcp_user_timeout_ms
        self.clock = cast(IReactorTime, reactor)
        if tls is None and not is_loopback(host):
            if plaintext != "pinned-lan":
                raise ValueError(
                    f"{self.where}: plain TCP is allowed only to loopback; "
                    'give TLS settings, or plaintext = "pinned-lan" for a leased line that you trust'
                )
            _log.warn("{where}: payments are sent without encryption (plaintext = pinned-lan)", where=self.where)
        self._tcp = _tcp_endpoint(reactor, host, port)

    def connect(self, protocol_factory: Callable[[], _P]) -> Deferred[_P]:
        """Connect; fires with the connected protocol, or fails with NotConnected. Cancelling closes the connection.

        Under TLS 1.3 the bank judges our certificate after this has fired: treat the session as ready only
        after its first application answer. The protocol's `connectionLost` gets ConnectionDone after a clean
        end, and ConnectionLost or an OpenSSL error (see `handshake_errors.explain`) otherwise.
        """
        return _Gate(self, protocol_factory).dial(self._tcp)


@implementer(IHandshakeListener)
class _Gate(Protocol, Generic[_P]):
    """Takes the place of the application's protocol until the peer is verified, then passes everything on."""

    def __init__(self, endpoint: BankDialer, build: Callable[[], _P]) -> None:
        self._endpoint = endpoint
        # A reload may replace the dialer's settings while this handshake goes on.
        self._tls = endpoint.tls
        self._build = build
        self._inner: _P | None = None
        self._result: Deferred[_P] = Deferred(lambda _: self._end())
        self._over = False
        self._timer: IDelayedCall | None = None
        self._hang_up: Callable[[], object] | None = None

    def dial(self, tcp: IStreamClientEndpoint) -> Deferred[_P]:
        self._watch(self._endpoint.connect_timeout_s, Reason.CONNECT_TIMEOUT, lambda: dialling.cancel())
        dialling = tcp.connect(self._factory())
        dialling.addErrback(self._no_tcp)
        return self._result

    def _factory(self) -> IProtocolFactory:
        factory: Factory[Protocol] = Factory.forProtocol(lambda: self)
        factory.noisy = False
        if self._tls is None:
            return factory
        secure = TLSMemoryBIOFactory(self._tls, True, factory, self._endpoint.clock)
        # The default protocol holds each write back for one turn of the reactor, to gather small ones. We
        # write whole frames, and a payment should leave in the turn that decided it.
        secure.protocol = TLSMemoryBIOProtocol
        return secure

    def _no_tcp(self, failure: Failure) -> None:
        self._hang_up = None
        self._fail(_tcp_refusal(failure.value))

    def connectionMade(self) -> None:
        transport = cast(ITCPTransport, self.transport)
        _tune(transport, self._endpoint)
        if self._tls is None:
            self._open()
        else:
            self._watch(self._endpoint.handshake_timeout_s, Reason.HANDSHAKE_TIMEOUT, transport.abortConnection)

    def handshakeCompleted(self) -> None:
        tls = self._tls
        if tls is None or self._over:
            return  # the callback is called again for a renegotiation
        refusal = tls.completed(self._handle())
        if refusal is None:
            self._open()
        else:
            self._fail(refusal)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._hang_up = None  # there is nothing left to abort
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            self._fail(self._why_lost(reason.value))

    def _open(self) -> None:
        self._hang_up = None
        self._end()
        try:
            inner = self._inner = self._build()
            inner.makeConnection(cast(ITransport, self.transport))
        except BaseException as bug:
            # A defect of the caller is raised to the caller, never as NotConnected, because the protocol may have
            # written.
            cast(ITCPTransport, self.transport).abortConnection()
            self._result.errback(bug)
        else:
            self._result.callback(inner)

    def _handle(self) -> SSL.Connection:
        return cast(SSL.Connection, cast(ISystemHandle, self.transport).getHandle())

    def _why_lost(self, error: BaseException | None) -> HandshakeRefusal:
        tls = self._tls
        refusal = tls.refusal(self._handle()) if tls is not None else None
        if refusal is not None:
            return refusal
        if error is None or isinstance(error, tcp_error.ConnectionDone | tcp_error.ConnectionLost):
            return HandshakeRefusal(Reason.CLOSED, f"the peer closed in the handshake ({type(error).__name__})")
        return explain(error)

    def _watch(self, timeout_s: float, reason: Reason, hang_up: Callable[[], object]) -> None:
        """Begin a stage of connecting, with its time limit and how to abort it."""
        if self._timer is not None:
            self._timer.cancel()
        self._hang_up = hang_up
        why = HandshakeRefusal(reason, f"not done within {timeout_s:g} s")
        self._timer = self._endpoint.clock.callLater(timeout_s, self._fail, why)

    def _fail(self, why: HandshakeRefusal) -> None:
        if not self._over:
            self._end()
            self._result.errback(NotConnected(self._endpoint.where, why.reason, why.detail))

    def _end(self) -> None:
        """Stop the timer, and abort a stage that is still under way."""
        self._over = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        hang_up, self._hang_up = self._hang_up, None
        if hang_up is not None:
            hang_up()


def _tune(transport: ITCPTransport, endpoint: BankDialer) -> None:
    """Set the socket's options: small frames are sent at once instead of waiting to fill a packet, and a dead line is
    noticed soon."""
    transport.setTcpNoDelay(True)
    raw = transport.transport if isinstance(transport, TLSMemoryBIOProtocol) else transport
    handle = cast(socket.socket, cast(ISystemHandle, raw).getHandle())
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, endpoint.tcp_user_timeout_ms)


def _tcp_endpoint(reactor: IReactorTCP, host: str, port: int) -> IStreamClientEndpoint:
    # The gate has its own time limit, because a name look-up has none. The endpoints' limit must not expire first.
    never_s = 3600
    try:
        version = ip_address(host).version
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=never_s)
    return (TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint)(reactor, host, port, timeout=never_s)


def _tcp_refusal(error: BaseException | None) -> HandshakeRefusal:
    for kind, reason in (
        (tcp_error.ConnectionRefusedError, Reason.REFUSED),
        (tcp_error.DNSLookupError, Reason.DNS),
        (tcp_error.TCPTimedOutError, Reason.CONNECT_TIMEOUT),
        (tcp_error.TimeoutError, Reason.CONNECT_TIMEOUT),
    ):
        if isinstance(error, kind):
            return HandshakeRefusal(reason, str(error))
    return HandshakeRefusal(Reason.UNREACHABLE, str(error) or repr(error))
