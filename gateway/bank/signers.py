"""Signing keys behind one interface, and the key in a file. `outside_signer` has the keys of tokens and services."""

from __future__ import annotations

import os
import stat
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.bank.key_trouble import KeyTrouble

MIN_RSA_BITS = 2048
Digest = Literal["sha1", "sha256", "sha384", "sha512"]
HASHES: Mapping[Digest, type[hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
"""The hash of each digest that settings may name."""


class KeyFileError(ValueError):
    """A key or certificate file cannot be used. Carries the file, what is wrong with it and the remedy."""

    def __init__(self, file: Path, what: str, remedy: str) -> None:
        super().__init__(f"{file}: {what}; {remedy}")
        self.file = file
        self.what = what
        self.remedy = remedy


class Signer(Protocol):
    """Signs octets with one private key the caller never sees.

    `sign` is awaited. A file key answers from a plain coroutine, so `await signer.sign(octets)` costs a
    function call: no Deferred, no turn of the reactor. A token or a signing service returns something that really
    waits. Callers do not depend on which one it is. A signer hashes the octets itself, so that keys of another kind
    (SM2) need no other interface.
    """

    @property
    def key_id(self) -> str:
        """The name of this key in settings and journal rows."""

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate of the public half, as registered with the bank."""

    @property
    def trouble(self) -> KeyTrouble | None:
        """Why the key signs nothing now; None while it signs. A key in a file always does."""

    def sign(self, octets: bytes, document: bytes = b"") -> Awaitable[bytes]:
        """The signature value over `octets`. Raises NotSigned if the key signs nothing now: nothing was sent.

        `document` is the message that `octets` stand for, for a signer that judges what it signs."""


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Where one signing key lives and how it signs. `sha1` is only for banks that accept nothing better."""

    key_id: str
    key_file: Path
    cert_file: Path
    password_file: Path | None = None
    digest: Digest = "sha256"


class FileSigner:
    """An RSA key from a PEM file or a systemd credential. It signs PKCS#1 v1.5, in the reactor's thread.

    `load` raises KeyFileError unless the key is RSA of at least 2048 bits and belongs to the certificate.
    """

    def __init__(
        self, key_id: str, key: rsa.RSAPrivateKey, certificate: x509.Certificate, digest: Digest = "sha256"
    ) -> None:
        self.key_id = key_id
        self.certificate = certificate
        self.digest = digest
        self.trouble: KeyTrouble | None = None
        self._key = key
        self._hash = HASHES[digest]()
        self._padding = padding.PKCS1v15()

    @classmethod
    def load(cls, settings: KeySettings, *, production: bool) -> FileSigner:
        """Read key and certificate. In production a key file that others may read is refused."""
        if production:
            refuse_open_key(settings.key_file)
        key = read_private_key(settings.key_file, settings.password_file)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise KeyFileError(settings.key_file, "is not an RSA key", "give the RSA key registered with the bank")
        if key.key_size < MIN_RSA_BITS:
            raise KeyFileError(
                settings.key_file,
                f"is an RSA key of {key.key_size} bits",
                f"make a key of at least {MIN_RSA_BITS} bits and register it with the bank",
            )
        certificate = read_certificates(settings.cert_file)[0]
        if certificate.public_key() != key.public_key():
            raise KeyFileError(
                settings.cert_file,
                f"does not belong to the key in {settings.key_file}",
                "give the certificate that was issued for this key",
            )
        return cls(settings.key_id, key, certificate, settings.digest)

    async def sign(self, octets: bytes, document: bytes = b"") -> bytes:
        """The PKCS#1 v1.5 signature over `octets`."""
        return self._key.sign(octets, self._padding, self._hash)

    def proves_itself(self, nonce: bytes) -> bool:
        """True if a signature over `nonce` verifies with the certificate; called before any payment."""
        public = self.certificate.public_key()
        assert isinstance(public, rsa.RSAPublicKey)
        try:
            public.verify(self._key.sign(nonce, self._padding, self._hash), nonce, self._padding, self._hash)
        except (InvalidSignature, UnsupportedAlgorithm, ValueError):
            return False
        return True

    def __repr__(self) -> str:
        return f"FileSigner({self.key_id!r}, {self.digest})"


def signers(settings: Iterable[KeySettings], *, production: bool, nonce: bytes) -> Mapping[str, Signer]:
    """Load and self-test every configured key, by key id. `nonce` is fresh random octets.

    The first key that cannot be used raises KeyFileError.
    """
    loaded: dict[str, Signer] = {}
    for one in settings:
        if one.key_id in loaded:
            raise KeyFileError(one.key_file, f"key id {one.key_id!r} is given twice", "name each key once")
        signer = FileSigner.load(one, production=production)
        if not signer.proves_itself(nonce):
            raise KeyFileError(
                one.key_file,
                f"makes signatures that its certificate {one.cert_file} does not verify",
                "replace key and certificate; do not send payments with them",
            )
        loaded[one.key_id] = signer
    return loaded


def outside_certificate(file: Path) -> x509.Certificate:
    """The certificate of a key that is not in a file. Raises KeyFileError unless it is RSA of at least 2048 bits."""
    certificate = read_certificates(file)[0]
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey) or public.key_size < MIN_RSA_BITS:
        raise KeyFileError(
            file,
            f"is not the certificate of an RSA key of at least {MIN_RSA_BITS} bits",
            "give the certificate that is registered with the bank",
        )
    return certificate


def read_private_key(path: Path, password_file: Path | None = None) -> PrivateKeyTypes:
    """The private key in a PEM file; `password_file` holds its password (one trailing newline is cut)."""
    password = None if password_file is None else _octets(password_file).removesuffix(b"\n").removesuffix(b"\r")
    try:
        return load_pem_private_key(_octets(path), password)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            path,
            f"is not a readable PEM private key ({error})",
            "check the file, and the password if the key is encrypted",
        ) from error


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Every certificate in a PEM file, in file order; at least one."""
    try:
        certificates = x509.load_pem_x509_certificates(_octets(path))
        for certificate in certificates:
            certificate.public_key()  # OpenSSL would accept a key of a kind that cannot be judged here
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(
            path,
            f"holds no readable PEM certificate ({error})",
            "give a file with -----BEGIN CERTIFICATE----- blocks and RSA or EC keys",
        ) from error
    return certificates


def refuse_open_key(path: Path) -> None:
    """Raise KeyFileError if others than the owner can read or write the key file.

    systemd hands a credential to a service user through an ACL, whose mask shows up as group-read (0440)
    although the group has no access (systemd issue 29435). So group-read alone is accepted inside the
    directory that systemd names in CREDENTIALS_DIRECTORY.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise KeyFileError(path, f"cannot be read ({error.strerror})", "check path, owner and mode") from error
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    is_credential = credentials is not None and path.resolve().is_relative_to(Path(credentials).resolve())
    allowed = 0o640 if is_credential else 0o600
    if mode & ~allowed & 0o777:
        raise KeyFileError(
            path, (f"has mode {mode:04o}: other users than the owner can read or replace the key"), "chmod 0600 it"
        )


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileError(path, f"cannot be read ({error.strerror})", "check path, owner and mode") from error
