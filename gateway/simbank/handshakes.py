"""Notes of a simulated bank about its clients' TLS handshakes: the certificate, the reason of a refusal, the first
bytes.

A joint test shows these to the client's people, because OpenSSL alone states only that a handshake failed.
"""

from __future__ import annotations

from typing import Any, cast
from weakref import WeakKeyDictionary

from cryptography import x509
from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from gateway.bank.tls import ServerTls, subject_of
from gateway.simbank.exchange_log import ConnectionTrouble

_FIRST_BYTES_MAX = 200
_CLIENT_HELLO = b"\x16\x03"
_CODES = SSL.X509VerificationCodes
_UNKNOWN_AUTHORITY = "is of an authority that this bank does not know"
_REFUSALS = {
    _CODES.ERR_CERT_HAS_EXPIRED: "has expired",
    _CODES.ERR_CERT_NOT_YET_VALID: "is not valid yet",
    _CODES.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: _UNKNOWN_AUTHORITY,
    _CODES.ERR_SELF_SIGNED_CERT_IN_CHAIN: _UNKNOWN_AUTHORITY,
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT: _UNKNOWN_AUTHORITY,
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: _UNKNOWN_AUTHORITY,
    _CODES.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: _UNKNOWN_AUTHORITY,
    _CODES.ERR_CERT_SIGNATURE_FAILURE: _UNKNOWN_AUTHORITY,
}
_OPENSSL_WORDS = (
    ("did not return a certificate", ConnectionTrouble.NO_CERTIFICATE),
    ("unsupported protocol", ConnectionTrouble.TLS_VERSION),
    ("alert protocol version", ConnectionTrouble.TLS_VERSION),
    ("no shared cipher", ConnectionTrouble.TLS_CIPHERS),
    ("alert handshake failure", ConnectionTrouble.TLS_CIPHERS),
    ("alert unknown ca", ConnectionTrouble.CLIENT_REFUSED_BANK),
    ("alert bad certificate", ConnectionTrouble.CLIENT_REFUSED_BANK),
    ("alert certificate", ConnectionTrouble.CLIENT_REFUSED_BANK),
    ("http request", ConnectionTrouble.NOT_TLS),
    ("wrong version number", ConnectionTrouble.NOT_TLS),
    ("bad record type", ConnectionTrouble.NOT_TLS),
    ("packet length too long", ConnectionTrouble.NOT_TLS),
)


@implementer(IOpenSSLServerConnectionCreator)
class ObservedServerTls:
    """Server connections of `tls` that require a client certificate, with a note of each certificate refused."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._refused: WeakKeyDictionary[SSL.Connection, str] = WeakKeyDictionary()
        tls.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new server connection."""
        return self._tls.serverConnectionForTLS(tlsProtocol)

    def refused_certificate(self, connection: SSL.Connection) -> str:
        """The subject of the client's certificate and why OpenSSL refused it; empty if it did not."""
        return self._refused.get(connection, "")

    def _verify(self, connection: SSL.Connection, raw: crypto.X509, error: int, depth: int, ok: int) -> bool:
        if not ok:
            why = _REFUSALS.get(error, "cannot be verified")
            self._refused[connection] = f"{subject_of(raw.to_cryptography())} {why} (OpenSSL verify error {error})"
        return bool(ok)


class ObservedTlsProtocol(TLSMemoryBIOProtocol):
    """TLS on the server's side that keeps the first bytes that came."""

    first_bytes = b""

    def dataReceived(self, data: bytes) -> None:
        """Keep the first bytes, then go on as before."""
        if len(self.first_bytes) < _FIRST_BYTES_MAX:
            self.first_bytes = (self.first_bytes + data)[:_FIRST_BYTES_MAX]
        cast(Any, super()).dataReceived(data)


def handshake_trouble(transport: object, tls: object, reason: Failure) -> tuple[ConnectionTrouble, str, bytes]:
    """Why a handshake did not come to its end, with a detail in English and the client's first bytes."""
    first = transport.first_bytes if isinstance(transport, ObservedTlsProtocol) else b""
    if isinstance(tls, ObservedServerTls) and isinstance(transport, ObservedTlsProtocol):
        refused = tls.refused_certificate(cast(Any, transport).getHandle())
        if refused:
            return ConnectionTrouble.WRONG_CERTIFICATE, refused, first
    if first and not first.startswith(_CLIENT_HELLO):
        return ConnectionTrouble.NOT_TLS, f"the first bytes are {first[:40]!r}", first
    if reason.check(ConnectionClosed):
        return ConnectionTrouble.LEFT_IN_HANDSHAKE, f"{len(first)} bytes had come", first
    detail = _openssl_words(cast(BaseException, reason.value))
    found = next((trouble for words, trouble in _OPENSSL_WORDS if words in detail), ConnectionTrouble.TLS_OTHER)
    return found, detail, first


def _openssl_words(error: BaseException) -> str:
    """OpenSSL's own text about a failed handshake."""
    told = error.args[0] if error.args else ""
    return "; ".join(str(one[-1]) for one in told) if isinstance(told, list) and told else repr(error)


def client_of(transport: object) -> str:
    """The subject and serial number of the client's certificate, empty without TLS."""
    shown = getattr(transport, "getPeerCertificate", lambda: None)()
    if shown is None:
        return ""
    certificate: x509.Certificate = shown.to_cryptography()
    return f"{subject_of(certificate)} (serial {certificate.serial_number:x})"


def speaks_tls(data: bytes) -> bool:
    """Whether these first bytes of a connection are a TLS handshake."""
    return data.startswith(_CLIENT_HELLO)
