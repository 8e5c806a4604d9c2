"""Why a connection to a peer failed: the closed list of reasons, and the reason for each OpenSSL error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from OpenSSL import SSL


class Reason(StrEnum):
    """Why no connection was made, as a slug for metrics and logs, with a remedy. All of them mean that nothing was
    sent."""

    remedy: str

    def __new__(cls, slug: str, remedy: str) -> Reason:
        member = str.__new__(cls, slug)
        member._value_ = slug
        member.remedy = remedy
        return member

    # Our own side.
    LEASE_LAPSED = (
        "lease_lapsed",
        "wait: this node stood still, or its journal could not be reached; it connects again with a new lease",
    )
    # Before TLS.
    DNS = "dns", "check the host name and the resolver"
    REFUSED = "refused", "check host and port, and that the bank's front end is running"
    UNREACHABLE = "unreachable", "check route, leased line and firewall"
    CONNECT_TIMEOUT = "connect_timeout", "check route, leased line and firewall"
    # The handshake itself.
    HANDSHAKE_TIMEOUT = "handshake_timeout", "ask the bank whether this port speaks TLS and is healthy"
    CLOSED = "closed", "the bank closed the connection in the handshake: ask the bank what its log says"
    NOT_TLS = "not_tls", "this port does not speak TLS: check the port, or the plaintext setting"
    PROTOCOL_VERSION = ("protocol_version", "no common TLS version: compare min_version and max_version with the bank")
    HANDSHAKE_FAILURE = (
        "handshake_failure",
        "no common ciphers or parameters: ask the bank which it speaks; else a side-car (conf/stunnel)",
    )
    WEAK_HANDSHAKE = (
        "weak_handshake",
        "the bank's parameters are too weak: ask for better ones; else a side-car (conf/stunnel)",
    )
    LEGACY_PEER = (
        "legacy_peer",
        "the bank's TLS lacks secure renegotiation: ask for an upgrade; else a side-car (conf/stunnel)",
    )
    CLIENT_CERT_REFUSED = ("client_cert_refused", "the bank refused our certificate: check expiry and registration")
    ALERT = "alert", "the bank ended the handshake with an error: ask the bank what its log says"
    OVERSIZE = "oversize", "the bank's certificate message is absurdly large: ask the bank"
    NOT_MUTUAL = (
        "not_mutual",
        "the bank did not ask for our certificate: check the port, and ask the bank to demand it",
    )
    TLS_ERROR = "tls_error", "see the detail; ask the bank what its log says"
    # The bank's certificate.
    EXPIRED = "expired", "the bank must renew its certificate"
    NOT_YET_VALID = "not_yet_valid", "check this machine's clock; else ask the bank"
    UNKNOWN_CA = "unknown_ca", "check ca_file: the bank's certificate does not lead to it"
    BAD_CHAIN = "bad_chain", "the bank's certificate chain is not sound: ask the bank"
    WRONG_NAME = "wrong_name", "check server_name against the certificate the bank announced"
    NO_SAN = "no_san", "ask for a certificate with a subjectAltName; else pins and name_check = pin-only"
    BAD_SAN = "bad_san", "the certificate's subjectAltName is malformed: ask the bank for another"
    WRONG_PIN = "wrong_pin", "confirm the new key with the bank by another way, then add its pin"
    REVOKED = "revoked", "the bank's certificate is revoked: stop, and call the bank"
    STALE_CRL = "stale_crl", "fetch a fresh crl_file"
    NO_CRL = "no_crl", "crl_file has no list of the CA that issued the bank's certificate"
    WEAK_KEY = "weak_key", "the bank must use RSA of 2048 bits or more, or P-256, P-384, P-521"
    WEAK_SIGNATURE = "weak_signature", "the bank's certificate must be signed with SHA-256 or better"
    WRONG_EKU = "wrong_eku", "the certificate is not for TLS servers: ask the bank"
    BAD_CERTIFICATE = "bad_certificate", "see the detail; ask the bank"


@dataclass(frozen=True, slots=True)
class HandshakeRefusal:
    """Why a peer is refused in the handshake: the reason, and the observed fault."""

    reason: Reason
    detail: str


def explain(error: BaseException) -> HandshakeRefusal:
    """The reason and text for an OpenSSL error of a connection.

    Under TLS 1.3 the refusal of our certificate comes this way, to the application's `connectionLost`, after
    a handshake that looked complete.
    """
    words = "; ".join(entry[-1] for entry in error.args[0]) if error.args and isinstance(error.args[0], list) else ""
    seen = words.casefold()
    for reason, marks in _OPENSSL_WORDS:
        if any(mark in seen for mark in marks):
            return HandshakeRefusal(reason, words)
    return HandshakeRefusal(Reason.TLS_ERROR, words or repr(error))


_CLIENT_CERT_ALERTS = tuple(
    f"alert {what}"
    for what in (
        "bad certificate",
        "unsupported certificate",
        "certificate revoked",
        "certificate expired",
        "certificate unknown",
        "unknown ca",
        "certificate required",
        "access denied",
    )
)
_OPENSSL_WORDS: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (Reason.CLIENT_CERT_REFUSED, _CLIENT_CERT_ALERTS),
    (Reason.PROTOCOL_VERSION, ("alert protocol version", "unsupported protocol")),
    (Reason.HANDSHAKE_FAILURE, ("alert handshake failure", "alert insufficient security", "wrong cipher returned")),
    (Reason.ALERT, ("alert ",)),
    (
        Reason.NOT_TLS,
        (
            "wrong version number",
            "http request",
            "packet length too long",
            "record layer failure",
            "bad record type",
            "unexpected message",
        ),
    ),
    (Reason.LEGACY_PEER, ("unsafe legacy renegotiation",)),
    (Reason.WEAK_HANDSHAKE, ("key too small", "dh key", "bad dh value")),
    (Reason.OVERSIZE, ("excessive message size",)),
    (Reason.BAD_CERTIFICATE, ("certificate verify failed",)),
)

_CODES = SSL.X509VerificationCodes
_OPENSSL_VERDICTS: Mapping[int, Reason] = {
    _CODES.ERR_CERT_HAS_EXPIRED: Reason.EXPIRED,
    _CODES.ERR_CERT_NOT_YET_VALID: Reason.NOT_YET_VALID,
    _CODES.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: Reason.UNKNOWN_CA,
    _CODES.ERR_SELF_SIGNED_CERT_IN_CHAIN: Reason.UNKNOWN_CA,
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT: Reason.UNKNOWN_CA,
    _CODES.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: Reason.UNKNOWN_CA,
    _CODES.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: Reason.UNKNOWN_CA,
    _CODES.ERR_CERT_SIGNATURE_FAILURE: Reason.UNKNOWN_CA,
    _CODES.ERR_CERT_REVOKED: Reason.REVOKED,
    _CODES.ERR_CRL_HAS_EXPIRED: Reason.STALE_CRL,
    _CODES.ERR_CRL_NOT_YET_VALID: Reason.STALE_CRL,
    _CODES.ERR_UNABLE_TO_GET_CRL: Reason.NO_CRL,
    _CODES.ERR_CRL_SIGNATURE_FAILURE: Reason.NO_CRL,
    _CODES.ERR_INVALID_CA: Reason.BAD_CHAIN,
    _CODES.ERR_PATH_LENGTH_EXCEEDED: Reason.BAD_CHAIN,
    _CODES.ERR_CERT_CHAIN_TOO_LONG: Reason.BAD_CHAIN,
    _CODES.ERR_KEYUSAGE_NO_CERTSIGN: Reason.BAD_CHAIN,
    _CODES.ERR_INVALID_PURPOSE: Reason.WRONG_EKU,
    66: Reason.WEAK_KEY,  # X509_V_ERR_EE_KEY_TOO_SMALL and the two after it have no name in pyOpenSSL
    67: Reason.WEAK_KEY,
    68: Reason.WEAK_SIGNATURE,
    79: Reason.BAD_CHAIN,  # X509_V_ERR_INVALID_CA since OpenSSL 3
}


def chain_refusal(error: int, depth: int) -> HandshakeRefusal:
    """The reason and text for OpenSSL's error about the certificate at `depth` of the chain (0: the peer's own)."""
    where = "the certificate" if depth == 0 else f"the CA certificate {depth} above it"
    return HandshakeRefusal(
        _OPENSSL_VERDICTS.get(error, Reason.BAD_CERTIFICATE), f"{where}: OpenSSL verify error {error}"
    )
