"""Keys of peers that the settings trust. Keys in a message are never used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import (
    Certificate,
    ExtensionNotFound,
    KeyUsage,
    load_der_x509_certificate,
    load_pem_x509_certificate,
)

from protocols.kit.errors import ProtocolError


@dataclass(frozen=True, slots=True)
class PinnedKey:
    """An RSA public key that the settings trust; make one with `of`, `from_pem` or `from_der`.

    A key pinned by certificate also has the certificate's days; they are enforced where a caller of
    `verify` says which day it is.
    """

    public: RSAPublicKey
    pem: bytes
    fingerprint: str
    first_day: date | None = None
    last_day: date | None = None

    @staticmethod
    def of(source: RSAPublicKey | Certificate) -> PinnedKey:
        """A pin of a key or of a certificate. Raises "wrong_key" on a type or key usage that cannot sign."""
        if isinstance(source, Certificate):
            return _of_certificate(source)
        return _of_key(source, None, None)

    @staticmethod
    def from_pem(data: bytes) -> PinnedKey:
        """A pin of a PEM certificate or public key. Raises "wrong_key"."""
        try:
            if b"BEGIN CERTIFICATE" in data:
                return _of_certificate(load_pem_x509_certificate(data))
            return _of_key(serialization.load_pem_public_key(data), None, None)
        except ValueError as error:
            raise ProtocolError("wrong_key", f"neither a PEM certificate nor a PEM public key: {error}") from None

    @staticmethod
    def from_der(data: bytes) -> PinnedKey:
        """A pin of a DER certificate or public key. Raises "wrong_key"."""
        try:
            return _of_certificate(load_der_x509_certificate(data))
        except ValueError:
            pass
        try:
            return _of_key(serialization.load_der_public_key(data), None, None)
        except ValueError:
            raise ProtocolError("wrong_key", "neither a certificate nor a public key, in PEM or DER") from None

    def valid_on(self, day: date) -> bool:
        """Whether the certificate from which the key was pinned is valid on `day`; always true for a bare key."""
        return (self.first_day is None or self.first_day <= day) and (self.last_day is None or day <= self.last_day)


def spki_fingerprint(public: object) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in hexadecimal."""
    assert hasattr(public, "public_bytes")
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def _of_certificate(certificate: Certificate) -> PinnedKey:
    try:
        usage = certificate.extensions.get_extension_for_class(KeyUsage).value
        may_sign = usage.digital_signature or usage.content_commitment
    except ExtensionNotFound:
        may_sign = True
    if not may_sign:
        raise ProtocolError("wrong_key", "the certificate's key usage does not allow signing messages")
    first, last = certificate.not_valid_before_utc.date(), certificate.not_valid_after_utc.date()
    return _of_key(certificate.public_key(), first, last)


def _of_key(public: object, first_day: date | None, last_day: date | None) -> PinnedKey:
    if not isinstance(public, RSAPublicKey):
        raise ProtocolError("wrong_key", f"a pinned key must be RSA, not {type(public).__name__}")
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return PinnedKey(public, pem, spki_fingerprint(public), first_day, last_day)
