"""Mutual TLS to a bank or another verified peer. A failed check of any kind ends the handshake.

A peer is verified by the configured CA file and nothing else, by the subjectAltName (never the common name) and, if
configured, by pins of the leaf's public key. Twisted's `optionsForClientTLS` is not used, because it accepts a
certificate with a valid chain if the check of its names raises any other exception than the expected one.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from gateway.bank.handshake_errors import HandshakeRefusal, Reason, chain_refusal, explain
from gateway.bank.signers import MIN_RSA_BITS, KeyFileError, read_certificates, read_private_key
from gateway.kernel.clock import Clock

Version = Literal["1.2", "1.3"]
DEFAULT_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
SESSION_LIFETIME_S = 300.0
"""How long a TLS 1.2 session may be resumed before the bank's certificate is judged afresh."""

_VERSIONS: Mapping[Version, int] = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_GOOD_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
# Ed25519 and Ed448 have no digest of their own
_GOOD_DIGESTS = frozenset({"", "sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"})
_ASKED = b"certificate request"
_log = Logger()


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """How one peer is verified, and which certificate is shown to it. Contradictory settings raise ValueError.

    `server_name` is the DNS name or IP address that must be in the certificate; `name_check = "pin-only"` is
    for banks whose certificate has no names; it needs pins. `pins` are base64 SHA-256 of the leaf's public
    key (SPKI), current and next. `resumption` resumes TLS 1.2 sessions for banks that want short connections.
    `legacy` makes concessions to old TLS stacks in the handshake, none in the judgement of certificates.
    """

    server_name: str
    ca_file: Path
    client_cert: Path | None = None
    client_key: Path | None = None
    key_password_file: Path | None = None
    name_check: Literal["san", "pin-only"] = "san"
    pins: tuple[str, ...] = ()
    min_version: Version = "1.2"
    max_version: Version = "1.3"
    ciphers: str = DEFAULT_CIPHERS
    resumption: bool = False
    crl_file: Path | None = None
    legacy: bool = False
    require_mutual: bool = True

    def __post_init__(self) -> None:
        if (self.client_cert is None) != (self.client_key is None):
            raise ValueError("client_cert and client_key belong together: give both or neither")
        if self.require_mutual and self.client_cert is None:
            raise ValueError("require_mutual needs client_cert and client_key")
        if self.name_check == "pin-only" and not self.pins:
            raise ValueError("name_check = pin-only needs at least one pin")
        if self.min_version > self.max_version:
            raise ValueError("min_version is above max_version")
        if "@" in self.ciphers:
            raise ValueError(
                "ciphers must not set @SECLEVEL or @STRENGTH; for a bank with an old TLS there is `legacy`"
            )
        for pin in self.pins:
            if not _is_pin(pin):
                raise ValueError(f"pin {pin!r} is not the base64 of a SHA-256 (44 characters)")


@dataclass(slots=True)
class _Verdict:
    """The result of verifying the peer of one connection. The peer is not verified until `leaf` is set."""

    leaf: x509.Certificate | None = None
    refusal: HandshakeRefusal | None = None
    asked_for_certificate: bool = False
    offered: _KeptSession | None = None


@dataclass(frozen=True, slots=True)
class _KeptSession:
    session: SSL.Session
    leaf_der: bytes
    until_s: float


def peer_der(connection: SSL.Connection) -> bytes | None:
    """The peer's certificate as it was sent, in DER. Building one of `cryptography` takes longer than resuming a
    session."""
    peer = connection.get_peer_certificate()
    return None if peer is None else crypto.dump_certificate(crypto.FILETYPE_ASN1, peer)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """Makes client connections that verify as the settings say. Immutable: rotation is a new object.

    The chain, names, pins and key strength are judged inside the handshake. Whether the peer asked for our
    certificate is known only after it, so the caller that completes the handshake must call `completed`.

    `own` is our certificate as it was read, None without one. `resumed` counts handshakes that resumed a session;
    `peer_not_after` is when the certificate last seen ends. `last_seen` are the certificates that were judged, by their
    depth in the chain; it proves nothing.
    """

    def __init__(self, settings: TlsSettings, clock: Clock) -> None:
        self.settings = settings
        self.resumed = 0
        self.peer_not_after: datetime | None = None
        self.last_seen: dict[int, x509.Certificate] = {}
        self._clock = clock
        self._pins = frozenset(settings.pins)
        self._kept: _KeptSession | None = None
        self._verdicts: WeakKeyDictionary[SSL.Connection, _Verdict] = WeakKeyDictionary()
        self._is_ip = _is_ip(settings.server_name)
        self._server_name = settings.server_name.encode("idna")
        self._context, self.own = _client_openssl_context(settings)
        self._context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        self._context.set_info_callback(self._note_request)

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new client connection. It offers the kept TLS 1.2 session if there is one."""
        connection = SSL.Connection(self._context, None)
        verdict = self._verdicts[connection] = _Verdict()
        if not self._is_ip:
            connection.set_tlsext_host_name(self._server_name)
        if self._kept is not None and self._clock.now_ms() / 1000 < self._kept.until_s:
            # OpenSSL drops a session when its connection is aborted, so that a peer that fails on resumption gets a
            # full handshake the next time.
            verdict.offered = self._kept
            connection.set_session(self._kept.session)
        return connection

    def completed(self, connection: SSL.Connection) -> HandshakeRefusal | None:
        """Check a connection whose handshake OpenSSL reports as complete. None: it may be used."""
        verdict = self._verdicts[connection]
        if verdict.refusal is not None:
            return verdict.refusal
        if verdict.leaf is None:
            return self._completed_by_resumption(connection, verdict)
        if self.settings.require_mutual and not verdict.asked_for_certificate:
            return HandshakeRefusal(Reason.NOT_MUTUAL, "the handshake ended without a request for our certificate")
        self.peer_not_after = verdict.leaf.not_valid_after_utc
        session = connection.get_session()
        if self.settings.resumption and session is not None and connection.get_protocol_version() == SSL.TLS1_2_VERSION:
            until_s = min(
                self._clock.now_ms() / 1000 + SESSION_LIFETIME_S, verdict.leaf.not_valid_after_utc.timestamp()
            )
            self._kept = _KeptSession(session, verdict.leaf.public_bytes(Encoding.DER), until_s)
        return None

    def refusal(self, connection: SSL.Connection) -> HandshakeRefusal | None:
        """Why the verification refused this connection's peer; None if it did not."""
        return self._verdicts[connection].refusal

    def _completed_by_resumption(self, connection: SSL.Connection, verdict: _Verdict) -> HandshakeRefusal | None:
        kept = verdict.offered
        if kept is None or peer_der(connection) != kept.leaf_der:
            return HandshakeRefusal(Reason.BAD_CERTIFICATE, "the handshake ended without a certificate being verified")
        self.resumed += 1
        return None

    def _note_request(self, connection: SSL.Connection, where: int, code: int) -> None:
        # Only this callback shows that the server asked for a certificate. A client gets an empty list of CA names both
        # if the server did not ask and if it asked without naming any.
        if connection.get_state_string().endswith(_ASKED):
            self._verdicts[connection].asked_for_certificate = True

    def _verify(self, connection: SSL.Connection, raw: crypto.X509, error: int, depth: int, ok: int) -> bool:
        verdict = self._verdicts.get(connection)
        if verdict is None or verdict.refusal is not None:
            return False
        try:
            certificate = self.last_seen[depth] = raw.to_cryptography()
            verdict.refusal = self._judge(certificate, depth) if ok == 1 else chain_refusal(error, depth)
            if verdict.refusal is None and depth == 0:
                verdict.leaf = certificate
        except Exception as problem:
            # C calls this method and would lose an exception, so that any error refuses the peer.
            verdict.refusal = HandshakeRefusal(Reason.BAD_CERTIFICATE, f"could not be verified: {problem!r}")
        return verdict.refusal is None

    def _judge(self, certificate: x509.Certificate, depth: int) -> HandshakeRefusal | None:
        """Apply the gateway's own rules to a certificate of the chain that OpenSSL has accepted."""
        weak = weakness(certificate)
        if weak is not None or depth > 0:
            return weak
        if self._pins and spki_pin(certificate) not in self._pins:
            return HandshakeRefusal(Reason.WRONG_PIN, f"the peer's public key has pin {spki_pin(certificate)}")
        return None if self.settings.name_check == "pin-only" else self._name_refusal(certificate)

    def _name_refusal(self, leaf: x509.Certificate) -> HandshakeRefusal | None:
        expected = self.settings.server_name
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return HandshakeRefusal(Reason.NO_SAN, f"no subjectAltName; the subject {subject_of(leaf)} does not count")
        check = verify_certificate_ip_address if self._is_ip else verify_certificate_hostname
        try:
            check(leaf, expected)
        except VerificationError:
            shown = ", ".join(str(name.value) for name in list(names)[:5])
            return HandshakeRefusal(Reason.WRONG_NAME, f"expected {expected}, the certificate names {shown}")
        except CertificateError as problem:
            return HandshakeRefusal(Reason.BAD_SAN, str(problem))
        return None


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes server connections that require a client certificate of one CA."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A new server connection."""
        return SSL.Connection(self.context, None)


def client_context(settings: TlsSettings, clock: Clock) -> ClientTls:
    """Read the files and build the context. A file that cannot be used raises KeyFileError (a ValueError)."""
    if settings.name_check == "pin-only":
        _log.warn("TLS to {name}: names are not checked, only pins (name_check = pin-only)", name=settings.server_name)
    if settings.legacy:
        _log.warn("TLS to {name}: concessions to an old TLS stack are on (legacy)", name=settings.server_name)
    return ClientTls(settings, clock)


def server_context(
    cert_file: Path,
    key_file: Path,
    client_ca_file: Path,
    *,
    min_version: Version = "1.2",
    max_version: Version = "1.3",
    resumption: bool = True,
) -> ServerTls:
    """The context of a server that shows `cert_file` and accepts only clients certified by `client_ca_file`."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _harden(context, min_version, max_version, DEFAULT_CIPHERS, legacy=False)
    own = _present(context, cert_file, key_file, None)
    _trust(context, client_ca_file)
    context.load_client_ca(os.fsencode(client_ca_file))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    # Without an id of its own OpenSSL refuses to resume any session that carried a client certificate.
    context.set_session_id(hashlib.sha256(own.public_bytes(Encoding.DER)).digest())
    if not resumption:
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return ServerTls(context)


def pinned_server_context(cert_file: Path, key_file: Path, client_ca_file: Path, pins: Collection[str]) -> ServerTls:
    """As `server_context`, for clients whose public key is one of `pins`, judged in every handshake.

    Raises KeyFileError, and ValueError for an invalid pin.
    """
    wrong = [pin for pin in pins if not _is_pin(pin)]
    if wrong or not pins:
        raise ValueError(f"client_pins: {', '.join(wrong) or 'none'}: write the base64 of a SHA-256 (44 characters)")
    tls = server_context(cert_file, key_file, client_ca_file, resumption=False)
    known = frozenset(pins)

    def verify(connection: SSL.Connection, raw: crypto.X509, error: int, depth: int, ok: int) -> bool:
        certificate = raw.to_cryptography()
        return bool(ok) and weakness(certificate) is None and (depth > 0 or spki_pin(certificate) in known)

    tls.context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
    return tls


def spki_pin(certificate: x509.Certificate) -> str:
    """The pin of a certificate's public key: base64 of the SHA-256 of its SubjectPublicKeyInfo."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def weakness(certificate: x509.Certificate) -> HandshakeRefusal | None:
    """Why the certificate's key or signature is too weak, or None.

    OpenSSL's security level checks this too, but a legacy profile lowers that level.
    """
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        strong, shown = key.key_size >= MIN_RSA_BITS, f"RSA of {key.key_size} bits"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        strong, shown = isinstance(key.curve, _GOOD_CURVES), f"curve {key.curve.name}"
    else:
        strong, shown = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey), type(key).__name__
    if not strong:
        return HandshakeRefusal(Reason.WEAK_KEY, f"{subject_of(certificate)}: {shown}")
    if certificate.issuer == certificate.subject:
        return None  # a root's signature over itself proves nothing
    try:
        digest = certificate.signature_hash_algorithm
        shown = "" if digest is None else digest.name
    except UnsupportedAlgorithm:
        shown = certificate.signature_algorithm_oid.dotted_string
    if shown in _GOOD_DIGESTS:
        return None
    return HandshakeRefusal(Reason.WEAK_SIGNATURE, f"{subject_of(certificate)}: signed with {shown}")


def _client_openssl_context(settings: TlsSettings) -> tuple[SSL.Context, x509.Certificate | None]:
    context, own = SSL.Context(SSL.TLS_CLIENT_METHOD), None
    _harden(context, settings.min_version, settings.max_version, settings.ciphers, legacy=settings.legacy)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if not settings.resumption:
        context.set_options(SSL.OP_NO_TICKET)
    if settings.client_cert is not None and settings.client_key is not None:
        own = _present(context, settings.client_cert, settings.client_key, settings.key_password_file)
    _trust(context, settings.ca_file)
    if settings.crl_file is not None:
        store = context.get_cert_store()
        assert store is not None
        for crl in read_crls(settings.crl_file):
            store.add_crl(crl)
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)
    return context, own


def _harden(context: SSL.Context, min_version: Version, max_version: Version, ciphers: str, *, legacy: bool) -> None:
    context.set_min_proto_version(_VERSIONS[min_version])
    context.set_max_proto_version(_VERSIONS[max_version])
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION)
    # Level 2 requires 112 bits everywhere; level 1 accepts the 1024-bit Diffie-Hellman of old banks.
    try:
        context.set_cipher_list(f"{ciphers}:@SECLEVEL={1 if legacy else 2}".encode("ascii"))
    except SSL.Error as error:
        raise ValueError(f"ciphers {ciphers!r} names no cipher suite that OpenSSL knows") from error
    if legacy:
        context.set_options(SSL.OP_LEGACY_SERVER_CONNECT)


def _present(context: SSL.Context, cert_file: Path, key_file: Path, password_file: Path | None) -> x509.Certificate:
    """Show this certificate on new connections. Returns it, so that the file is not read a second time."""
    leaf, *above = read_certificates(cert_file)
    key = read_private_key(key_file, password_file)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyFileError(key_file, "is neither an RSA nor an EC key", "give the key the certificate was issued for")
    if key.public_key() != leaf.public_key():
        raise KeyFileError(key_file, f"does not belong to the certificate in {cert_file}", "give the matching key")
    try:
        context.use_certificate(leaf)
        context.use_privatekey(key)
        for certificate in above:
            context.add_extra_chain_cert(certificate)
    except SSL.Error as error:
        raise KeyFileError(
            cert_file, f"is not accepted by OpenSSL: {explain(error).detail}", "have a stronger one issued"
        ) from error
    return leaf


def _trust(context: SSL.Context, ca_file: Path) -> None:
    store = context.get_cert_store()
    assert store is not None
    for anchor in read_certificates(ca_file):
        store.add_cert(crypto.X509.from_cryptography(anchor))


def read_crls(crl_file: Path) -> list[x509.CertificateRevocationList]:
    """Every revocation list in a PEM file; at least one, or KeyFileError."""
    mark = b"-----BEGIN X509 CRL-----"
    try:
        blocks = crl_file.read_bytes().split(mark)[1:]
        crls = [x509.load_pem_x509_crl(mark + block) for block in blocks]
    except (OSError, ValueError) as error:
        raise KeyFileError(crl_file, f"is not a readable PEM CRL ({error})", "fetch it again from the CA") from error
    if not crls:
        raise KeyFileError(crl_file, "holds no PEM CRL", "convert it: openssl crl -inform DER -in … -out …")
    return crls


def subject_of(certificate: x509.Certificate) -> str:
    """The subject as text, for messages only: it is not verified."""
    return certificate.subject.rfc4514_string() or "(no subject)"


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_pin(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == hashlib.sha256().digest_size
    except ValueError:
        return False
