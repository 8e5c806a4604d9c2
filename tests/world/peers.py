"""Test peers of every kind: servers on loopback, good and bad, that keep what a client sent them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.bank.tls import ServerTls, TlsSettings
from gateway.simbank.pki import CLIENT_PURPOSE, Authority, new_key, write_certificates, write_key

LOOPBACK = "127.0.0.1"
NAME = "fep.bank.test"
PAYMENT = b"pay 1.00 to somebody"


@implementer(IOpenSSLServerConnectionCreator)
class BareTls:
    """Makes server connections from a context without any check."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """One connection (IOpenSSLServerConnectionCreator)."""
        return SSL.Connection(self.context, None)


def bad_context(
    chain: Sequence[x509.Certificate],
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    *,
    ask: Path | None,
    versions: tuple[int, int] = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION),
    ciphers: bytes = b"ALL",
) -> SSL.Context:
    """A TLS context that presents any certificate, however weak; `ask` is the file of the client CA that it
    requires."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_cipher_list(ciphers + b":@SECLEVEL=0")
    context.set_min_proto_version(versions[0])
    context.set_max_proto_version(versions[1])
    context.use_certificate(chain[0])
    context.use_privatekey(key)
    for above in chain[1:]:
        context.add_extra_chain_cert(above)
    if ask is not None:
        context.load_verify_locations(ask)
        context.load_client_ca(os.fsencode(ask))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        context.set_session_id(b"peer")
    return context


class Peer:
    """One listening peer and its records: `heard` is every application byte that any client sent.

    For a peer without TLS, `heard` is every byte after the connection, TLS records included.
    """

    def __init__(self, greet: bytes = b"", behave: Callable[[bytes, ITCPTransport], None] | None = None) -> None:
        self.greet = greet
        self.behave = behave
        self.heard = b""
        self.connections = 0
        self.port = 0
        self.open: list[PeerProtocol] = []

    @asynccontextmanager
    async def listening(self, reactor: IReactorTCP, context: SSL.Context | ServerTls | None) -> AsyncIterator[Peer]:
        """Listen on a free port until the block ends; with `context`, speak TLS. Leaves nothing open."""
        factory = Factory.forProtocol(lambda: PeerProtocol(self))
        factory.noisy = False
        if context is not None:
            creator = BareTls(context) if isinstance(context, SSL.Context) else context
            factory = cast(Factory[PeerProtocol], TLSMemoryBIOFactory(creator, False, factory))
        listener: Any = reactor.listenTCP(0, cast(Any, factory), interface=LOOPBACK)
        self.port = listener.getHost().port
        try:
            yield self
        finally:
            await listener.stopListening()
            for one in list(self.open):
                one.drop()
                await one.lost


class PeerProtocol(Protocol):
    """One connection of a peer."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.lost: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        """Count the connection, and send the greeting."""
        self.peer.connections += 1
        self.peer.open.append(self)
        if self.peer.greet:
            self.tcp.write(self.peer.greet)

    def dataReceived(self, data: bytes) -> None:
        """Count the bytes, and react to them; the default is to echo."""
        self.peer.heard += data
        if self.peer.behave is not None:
            self.peer.behave(data, self.tcp)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Remove the connection from the peer's list."""
        self.peer.open.remove(self)
        self.lost.callback(None)

    @property
    def tcp(self) -> ITCPTransport:
        """The transport, with its real type."""
        return cast(ITCPTransport, self.transport)

    def drop(self) -> None:
        """Abort the connection."""
        self.tcp.abortConnection()


class EagerClient(Protocol):
    """A client that sends a payment as soon as it believes itself connected."""

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self.lost: Deferred[BaseException | None] = Deferred()

    def connectionMade(self) -> None:
        """Send the payment at once."""
        cast(ITCPTransport, self.transport).write(PAYMENT)

    def dataReceived(self, data: bytes) -> None:
        """Keep the first answer."""
        if not self.answer.called:
            self.answer.callback(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        self.lost.callback(reason.value)

    def hang_up(self) -> None:
        """Close cleanly."""
        cast(ITCPTransport, self.transport).loseConnection()


class TlsFiles:
    """The files of a good peer and its client, made once: root, server key, client files."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder
        self.now = now
        self.root = Authority.root("Bank of Tests root", now)
        self.key = new_key()
        self.client_key = new_key()
        self.files = 0
        self.ca_file = folder / "ca.pem"
        write_certificates(self.ca_file, self.root.certificate)
        write_certificates(folder / "client.pem", self.client_certificate())
        write_key(folder / "client.key", self.client_key)

    def client_certificate(self, **other: Any) -> x509.Certificate:
        """The gateway's certificate; `other` is given to Authority.issue."""
        return self.root.issue("gateway", self.client_key.public_key(), self.now, purpose=CLIENT_PURPOSE, **other)

    def leaf(self, authority: Authority | None = None, subject: str | None = NAME, **other: Any) -> x509.Certificate:
        """The server's certificate, good unless `other` (given to Authority.issue) says otherwise."""
        names = other.pop("names", (NAME, LOOPBACK))
        return (authority or self.root).issue(subject, self.key.public_key(), self.now, names=names, **other)

    def settings(self, **other: Any) -> TlsSettings:
        """The client's settings; `other` replaces fields."""
        good: dict[str, Any] = {
            "server_name": NAME,
            "ca_file": self.ca_file,
            "client_cert": self.folder / "client.pem",
            "client_key": self.folder / "client.key",
        }
        return TlsSettings(**{**good, **other})

    def file(self, octets: bytes) -> Path:
        """A fresh file with these octets."""
        self.files += 1
        path = self.folder / f"extra-{self.files}.pem"
        path.write_bytes(octets)
        return path


def signed_with_sha1(certificate: x509.Certificate, issuer: rsa.RSAPrivateKey) -> x509.Certificate:
    """The same certificate signed RSA-SHA1, which the cryptography library itself will not make."""
    tbs = certificate.tbs_certificate_bytes.replace(_RSA_SHA256, _RSA_SHA1)
    signature = issuer.sign(tbs, padding.PKCS1v15(), hashes.SHA1())
    der = certificate.public_bytes(Encoding.DER)
    start = der.index(certificate.tbs_certificate_bytes)
    tail = der[start + len(tbs) :].replace(_RSA_SHA256, _RSA_SHA1).replace(certificate.signature, signature)
    return x509.load_der_x509_certificate(der[:start] + tbs + tail)


# The two algorithm identifiers have the same length, so nothing around them moves.
_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")
_RSA_SHA1 = bytes.fromhex("06092a864886f70d010105")


def echo(data: bytes, transport: ITCPTransport) -> None:
    """A reaction for `Peer`: send the request back."""
    transport.write(data)
